"""Headers, sealing and opening of single records; no state lives here.

Source: docs/protocol.md, "Records" and "HTTP carrier of records".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .errors import ProtocolError, malformed
from .primitives import gcm_open, gcm_seal
from .schedule import record_key
from .wire import Reader, u8, u32, u64

VERSION: Final = 1
C2S: Final = 0
S2C: Final = 1
FLAG_CLOSE: Final = 1
FLAG_REKEY_WANTED: Final = 2
FLAG_BINARY_HTTP: Final = 4
KNOWN_FLAGS: Final = FLAG_CLOSE | FLAG_REKEY_WANTED | FLAG_BINARY_HTTP
HEADER_LEN: Final = 48
TAG_LEN: Final = 16
MAX_PLAINTEXT_LEN: Final = 1 << 20
MAX_RECORD_LEN: Final = HEADER_LEN + MAX_PLAINTEXT_LEN + TAG_LEN

HTTP_REQUEST_AAD: Final = b"SAGE-HTTP/1 request"
HTTP_RESPONSE_AAD: Final = b"SAGE-HTTP/1 response"
"""Followed by the 48-byte header of the request."""


@dataclass(frozen=True)
class Header:
    """The 48 bytes in front of every record."""

    suite: int
    direction: int
    flags: int
    session_id: bytes
    incarnation: bytes
    epoch: int
    seq: int
    version: int = VERSION

    def encode(self) -> bytes:
        """Return 48 bytes."""
        return b"".join(
            (
                u8(self.version),
                u8(self.suite),
                u8(self.direction),
                u8(self.flags),
                self.session_id,
                self.incarnation,
                u32(self.epoch),
                u64(self.seq),
            )
        )


def parse(record: bytes) -> Header:
    """Parse the header of a whole record; nothing in it is authentic yet.

    Raises:
        ProtocolError: ``payload_too_large``, ``malformed_request`` (too short, unknown flags) or
            ``unsupported_version``. Suite and direction are for the session to judge.

    """
    if len(record) > MAX_RECORD_LEN:
        raise ProtocolError("payload_too_large", f"{len(record)} bytes")
    if len(record) < HEADER_LEN + TAG_LEN:
        raise malformed(f"record of {len(record)} bytes")
    reader = Reader(record)
    version = reader.uint(1)
    if version != VERSION:
        raise ProtocolError("unsupported_version", str(version))
    suite, direction, flags = reader.uint(1), reader.uint(1), reader.uint(1)
    if flags & ~KNOWN_FLAGS:
        raise malformed(f"flags {flags:#04x}")
    return Header(
        suite=suite,
        direction=direction,
        flags=flags,
        session_id=reader.take(16),
        incarnation=reader.take(16),
        epoch=reader.uint(4),
        seq=reader.uint(8),
    )


@dataclass(frozen=True)
class RecordKey:
    """The AES key and IV of one direction, epoch and incarnation."""

    key: bytes
    iv: bytes

    @classmethod
    def derive(cls, secret: bytes, incarnation: bytes) -> RecordKey:
        """Derive from the direction's secret of the epoch."""
        return cls(*record_key(secret, incarnation))

    def nonce(self, seq: int) -> bytes:
        """Return ``iv XOR (00000000 || seq)``."""
        return bytes(a ^ b for a, b in zip(self.iv, bytes(4) + u64(seq), strict=True))

    def seal(self, header: Header, plaintext: bytes, caller_aad: bytes = b"") -> bytes:
        """Return ``header || ciphertext || tag``."""
        head = header.encode()
        return head + gcm_seal(self.key, self.nonce(header.seq), plaintext, head + caller_aad)

    def open(self, record: bytes, caller_aad: bytes = b"") -> bytes:
        """Return the plaintext of a parsed record, or raise ``authentication_failed``."""
        head, sealed = record[:HEADER_LEN], record[HEADER_LEN:]
        seq = int.from_bytes(head[40:48], "big")
        return gcm_open(self.key, self.nonce(seq), sealed, head + caller_aad)
