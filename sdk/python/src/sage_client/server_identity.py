"""``GET /v1/identity``: what a server says of itself, to be compared with what was pinned."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from sage_native.exceptions import UsageError
from sage_native.keys import VerifyingKey, check_did

from sage_client.commands import JSON, Call, Steps
from sage_client.errors import ServerIdentityError, UnexpectedAnswerError
from sage_client.repeating import repeat
from sage_client.types import ServerIdentity

if TYPE_CHECKING:
    from sage_client.backoff import Budget

__all__ = ["compare", "fetch", "parse"]

MAX_IDENTITY_LEN = 64 << 10
MAX_KEYS = 64


def fetch(budget: Budget, *, timeout_s: float) -> Steps[ServerIdentity]:
    """Ask the server who it is. Nobody vouches for the answer.

    Raises:
        ExchangeError: No answer, or none of this form.
    """
    call = Call("/v1/identity", None, JSON, timeout_s, MAX_IDENTITY_LEN)
    reply = yield from repeat(call, budget)
    return parse(reply.body)


def compare(identity: ServerIdentity, pinned: VerifyingKey) -> None:
    """Compare what a server says of itself with the pinned key.

    Raises:
        ServerIdentityError: The pinned key is not among its keys.
    """
    if all(key != pinned for _, key in identity.keys):
        announced = ", ".join(key.did for _, key in identity.keys)
        raise ServerIdentityError(
            f"the pinned server key is {pinned.did}; the server announces {announced}. Ask its "
            "operator over another channel whether its key has changed before you pin another"
        )


def parse(body: bytes) -> ServerIdentity:
    """Read the document. Unknown fields are skipped: later gateways may say more.

    Raises:
        UnexpectedAnswerError: Not of this form.
    """
    try:
        return _identity(json.loads(body))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnexpectedAnswerError(
            f"the server's identity cannot be read: {type(error).__name__} in {len(body)} bytes; "
            "check that the URL is a SAGE gateway's",
            status=200,
        ) from error


def _identity(document: dict[str, object]) -> ServerIdentity:
    entries = _list(document["keys"])
    if not 1 <= len(entries) <= MAX_KEYS:
        raise ValueError("no keys, or too many")
    confirmation, challenges = document["confirmation"], document["challenges"]
    if confirmation not in {"mac", "signature"} or challenges not in {"always", "when_needed"}:
        raise ValueError("unknown policy")
    limits = document["limits"]
    if not isinstance(limits, dict):
        raise TypeError("limits")
    return ServerIdentity(
        keys=tuple(_key(entry) for entry in entries),
        dids=tuple(_did(did) for did in _list(document["dids"])),
        suites=tuple(_integer(suite) for suite in _list(document["suites"])),
        confirmation="mac" if confirmation == "mac" else "signature",
        challenges="always" if challenges == "always" else "when_needed",
        limits={name: _integer(limit) for name, limit in limits.items()},
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _did(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a DID")
    check_did(value)
    return value


def _key(entry: object) -> tuple[str, VerifyingKey]:
    if not isinstance(entry, dict):
        raise TypeError("not an object")
    text = entry["public_key"]
    if not isinstance(text, str) or len(text) != 43:
        raise UsageError("a public key is 43 characters of base64url")
    key = VerifyingKey(base64.b64decode(text + "=", altchars=b"-_", validate=True))
    key.check()
    return _did(entry["did"]), key
