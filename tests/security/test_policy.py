"""Whom a responder lets in is what its resolver says, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native import AuthenticationError, VerifyingKey, resolve_did_key
from tests.agents import NOW_MS, Agents

if TYPE_CHECKING:
    from sage_native.protocol import Resolve

REGISTERED: dict[str, list[VerifyingKey]] = {}


def nobody(did: str, /) -> list[VerifyingKey]:
    assert did.startswith("did:key:")
    return []


def test_a_resolver_that_finds_nothing_admits_nobody() -> None:
    """None, as dict.get says it, must not mean "trust the did:key of the caller"."""
    resolvers: tuple[Resolve, ...] = (nobody, REGISTERED.get)
    for resolve in resolvers:
        agents = Agents(resolve=resolve)
        message = agents.initiator.initiate(now_ms=NOW_MS).message
        with pytest.raises(AuthenticationError):
            agents.responder.respond(message, now_ms=NOW_MS)
    agents = Agents(resolve=resolve_did_key)
    agents.responder.respond(agents.initiator.initiate(now_ms=NOW_MS).message, now_ms=NOW_MS)


def test_a_request_cannot_resolve_itself() -> None:
    agents = Agents()
    request = agents.responder.read(agents.initiator.initiate(now_ms=NOW_MS).message, now_ms=NOW_MS)
    with pytest.raises(TypeError):
        request.authenticate(None)  # type: ignore[arg-type]
