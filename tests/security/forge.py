"""Messages that no honest agent sends, made with the reference's pen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sage_native import SigningKey
from tests.agents import NOW_MS
from tests.reference import ed25519, schedule
from tests.reference.messages import M1, M2, Accept, Initiate
from tests.reference.primitives import x25519, x25519_public
from tests.reference.setups import derived_bytes

if TYPE_CHECKING:
    from sage_native import SigningKey
    from tests.agents import Agents

EPHEMERAL = derived_bytes("forger's ephemeral secret")


def m1(agents: Agents, **changes: Any) -> M1:  # noqa: ANN401 - any field of M1
    """Return the M1 that Alice would send to Bob, with fields changed."""
    honest = M1(
        suites=(1,),
        client_did=agents.alice.did,
        client_public_key=agents.alice.verifying_key_bytes,
        server_did=agents.bob.did,
        server_public_key=agents.bob.verifying_key_bytes,
        client_key_share=x25519_public(EPHEMERAL),
        nonce=derived_bytes("forger's nonce"),
        timestamp_ms=NOW_MS,
    )
    return replace(honest, **changes)


def signed(message: M1, key: SigningKey, role: bytes = b"initiate") -> Initiate:
    """Sign an M1 as a handshake signs."""
    signing_input = schedule.signing_input(role, schedule.th1(message.encode()))
    return Initiate(message, ed25519.sign(key.to_bytes(), signing_input))


def initiate(agents: Agents, **changes: Any) -> bytes:  # noqa: ANN401 - any field of M1
    """Return M1 with fields changed, signed by Alice."""
    return signed(m1(agents, **changes), agents.alice).encode()


def accept(
    agents: Agents,
    message: bytes,
    *,
    server_did: str = "",
    shared: bytes | None = None,
    **changes: Any,  # noqa: ANN401 - any field of M2
) -> bytes:
    """Answer an M1 as Bob, with fields changed and all authenticators right."""
    begun, secret = Initiate.decode(message), derived_bytes("forger's server secret")
    honest = M2(
        suite=1,
        session_id=derived_bytes("forger's session", 16),
        server_key_share=x25519_public(secret),
        server_nonce=derived_bytes("forger's server nonce"),
        expires_at_ms=NOW_MS + 60_000,
        idle_timeout_s=60,
    )
    m2 = replace(honest, **changes)
    th2 = schedule.th2(schedule.th1(begun.m1.encode()), begun.signature, m2.encode())
    signature = ed25519.sign(agents.bob.to_bytes(), schedule.signing_input(b"accept", th2))
    th3 = schedule.th3(th2, signature)
    shared = x25519(secret, begun.m1.client_key_share) if shared is None else shared
    secrets = schedule.derive(m2.suite, shared, th2, th3)
    confirmation = schedule.server_confirmation(secrets.finish_s, th3)
    return Accept(server_did or begun.m1.server_did, m2, signature, confirmation).encode()
