"""M1s for a running gateway that no honest client sends, made with the reference's pen."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.reference import carriers, ed25519, schedule
from tests.reference.messages import M1, Initiate

if TYPE_CHECKING:
    from sage_native import SigningKey
    from tests.security.gateway.arena import Arena

__all__ = ["INITIATE", "Forger", "now_ms"]

INITIATE = "/v1/handshake/initiate"
_KEY_SHARE = b"\t" + bytes(31)
"""The base point: a key share like any other, and made without arithmetic."""


def now_ms() -> int:
    """Return the time that an honest client would sign."""
    return time.time_ns() // 1_000_000


class Forger:
    """Writes M1s of one client to one gateway.

    Args:
        arena: The gateway.
        key: The client's key; its ``did:key`` is the client's name.
    """

    def __init__(self, arena: Arena, key: SigningKey) -> None:
        self._key = key
        self.server_did, self.server_key = arena.gateway.identities.announced()[0]

    def m1(self, **changes: Any) -> M1:  # noqa: ANN401 - any field of M1
        """Return the M1 that the client would send now, with fields changed."""
        honest = M1(
            suites=(1,),
            client_did=self._key.did,
            client_public_key=self._key.verifying_key_bytes,
            server_did=self.server_did,
            server_public_key=self.server_key,
            client_key_share=_KEY_SHARE,
            nonce=secrets.token_bytes(32),
            timestamp_ms=now_ms(),
        )
        return replace(honest, **changes)

    def signed(
        self, message: M1, key: SigningKey | None = None, role: bytes = b"initiate"
    ) -> Initiate:
        """Sign an M1 as a handshake signs."""
        signer = self._key if key is None else key
        text = schedule.signing_input(role, schedule.th1(message.encode()))
        return Initiate(message, ed25519.sign(signer.to_bytes(), text))

    def json(self, **changes: Any) -> bytes:  # noqa: ANN401 - any field of M1
        """Return a signed M1 with fields changed, as JSON."""
        return carriers.encode_initiate(self.signed(self.m1(**changes)))
