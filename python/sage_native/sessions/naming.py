"""How a session is named in messages."""

from __future__ import annotations

__all__ = ["session_id_of"]


def session_id_of(message: bytes) -> str:
    """Spell the session id that M3 and R1 begin with, lower-case hex, 8-4-4-4-12."""
    digits = message[:16].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
