"""The stateless challenge: a cookie that proves that an M1 is fresh.

Source: docs/protocol.md, "Freshness, and what the early client signature costs".
"""

from __future__ import annotations

from typing import Final

from .primitives import equal, hmac_sha256
from .wire import lp, u8, u64

LIFETIME_MS: Final = 60_000
CHALLENGE_LEN: Final = 25


def mint(key: bytes, *, issued_ms: int, client_did: str, server_did: str) -> bytes:
    """Return ``u8 1 || u64 issued_ms || 16 bytes of HMAC``, 25 bytes."""
    mac = hmac_sha256(
        key,
        b"challenge",
        u64(issued_ms),
        lp(client_did.encode("ascii")),
        lp(server_did.encode("ascii")),
    )
    return u8(1) + u64(issued_ms) + mac[:16]


def is_valid(
    challenge: bytes, key: bytes, *, now_ms: int, client_did: str, server_did: str
) -> bool:
    """Say whether this server minted it for this pair at most 60 s ago."""
    if len(challenge) != CHALLENGE_LEN:
        return False
    issued_ms = int.from_bytes(challenge[1:9], "big")
    expected = mint(key, issued_ms=issued_ms, client_did=client_did, server_did=server_did)
    return equal(challenge, expected) and issued_ms <= now_ms <= issued_ms + LIFETIME_MS
