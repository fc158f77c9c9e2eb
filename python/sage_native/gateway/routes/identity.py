"""``/v1/identity``: who the gateway is and what it takes, for a client that pins it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.answers import json_answer
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.wire import unpadded
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["identity"]

MAX_SKEW_MS = 60_000


async def identity(call: Call) -> Answer:
    """Tell DIDs, keys, suites and limits. Nothing of it is authenticated."""
    gateway, settings = call.gateway, call.gateway.settings
    announced = gateway.identities.announced()
    return json_answer(
        {
            "version": 1,
            "suites": [1],
            "dids": list(dict.fromkeys(did for did, _ in announced)),
            "keys": [{"did": did, "public_key": unpadded(key)} for did, key in announced],
            "confirmation": settings.handshake.confirmation,
            "challenges": settings.handshake.challenges,
            "limits": {
                "max_handshake_len": MAX_HANDSHAKE_LEN,
                "max_plaintext_len": MAX_PLAINTEXT_LEN,
                "max_clock_skew_ms": MAX_SKEW_MS,
                "session_lifetime_s": settings.session.max_age,
                "idle_timeout_s": settings.session.idle_timeout,
            },
        }
    )
