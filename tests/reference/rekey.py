"""R1 and R2: making, checking, and the secret that follows.

Source: docs/protocol.md, "Rekey and resume".
"""

from __future__ import annotations

from dataclasses import dataclass

from .messages import R1, R2
from .primitives import equal, expand, hmac_sha256, sha256
from .wire import u32


@dataclass(frozen=True)
class RekeyMacKeys:
    """The MAC keys of one epoch; they outlive its secrets until a record of the next verifies."""

    client: bytes
    server: bytes

    @classmethod
    def derive(cls, c2s: bytes, s2c: bytes) -> RekeyMacKeys:
        """Derive from both secrets of the epoch; the context is the empty byte string."""
        return cls(expand(c2s, b"rekey", b"", 32), expand(s2c, b"rekey", b"", 32))

    def make_r1(self, session_id: bytes, epoch: int, nonce: bytes) -> R1:
        """Ask for epoch + 1."""
        mac = hmac_sha256(self.client, b"R1", session_id, u32(epoch), nonce)
        return R1(session_id, epoch, nonce, mac)

    def make_r2(self, r1: R1, nonce: bytes) -> R2:
        """Answer one R1, MAC of R1 included."""
        return R2(nonce, hmac_sha256(self.server, b"R2", r1.encode(), nonce))

    def is_r1(self, r1: R1) -> bool:
        """Say whether the client of this epoch made it."""
        return equal(self.make_r1(r1.session_id, r1.epoch, r1.nonce).mac, r1.mac)

    def is_r2(self, r1: R1, r2: R2) -> bool:
        """Say whether the server of this epoch made it for this R1."""
        return equal(self.make_r2(r1, r2.nonce).mac, r2.mac)


def next_secret(secret: bytes, r1: R1, r2: R2) -> bytes:
    """Return ``secret_{n+1} = Expand(secret_n, "next", H(R1 || R2), 32)``."""
    return expand(secret, b"next", sha256(r1.encode(), r2.encode()), 32)
