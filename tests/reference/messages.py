"""The five messages and their binary carriers.

Encoding a value that decoding would refuse is possible on purpose: tests build attacks with it.
Source: docs/protocol.md, "Messages" and "Rekey and resume".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from . import dids
from .errors import ProtocolError, malformed
from .wire import Reader, lp, u8, u16, u32, u64

VERSION: Final = 1
MAX_SUITE_COUNT: Final = 4
MAX_HANDSHAKE_LEN: Final = 16 * 1024
R1_LEN: Final = 84
R2_LEN: Final = 64

_SESSION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def session_id_text(session_id: bytes) -> str:
    """Spell a 16-byte session id as lower-case 8-4-4-4-12 hex."""
    text = session_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def session_id_bytes(text: str) -> bytes:
    """Invert `session_id_text`; every other spelling is ``malformed_request``."""
    if _SESSION_ID.fullmatch(text) is None:
        raise malformed("session_id")
    return bytes.fromhex(text.replace("-", ""))


def check_suites(suites: tuple[int, ...]) -> None:
    """Refuse an empty, too long or repetitive list: ``malformed_request``."""
    if not 1 <= len(suites) <= MAX_SUITE_COUNT or len(set(suites)) != len(suites):
        raise malformed(f"suites {suites}")


@dataclass(frozen=True)
class M1:
    """``initiate``, without its signature."""

    suites: tuple[int, ...]
    client_did: str
    client_public_key: bytes
    server_did: str
    server_public_key: bytes
    client_key_share: bytes
    nonce: bytes
    timestamp_ms: int
    challenge: bytes = b""
    channel_binding: bytes = b""
    version: int = VERSION

    def encode(self) -> bytes:
        """Return the bytes that are hashed and signed."""
        return b"".join(
            (
                u8(self.version),
                u8(len(self.suites)),
                *(u16(suite) for suite in self.suites),
                lp(self.client_did.encode("latin-1")),
                self.client_public_key,
                lp(self.server_did.encode("latin-1")),
                self.server_public_key,
                lp(self.client_key_share),
                self.nonce,
                u64(self.timestamp_ms),
                lp(self.challenge),
                lp(self.channel_binding),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> M1:
        """Parse strictly; an unknown version ends the parse, for its layout is unknown."""
        version = reader.uint(1)
        if version != VERSION:
            raise ProtocolError("unsupported_version", str(version))
        count = reader.uint(1)
        if not 1 <= count <= MAX_SUITE_COUNT:
            raise malformed(f"{count} suites")
        suites = tuple(reader.uint(2) for _ in range(count))
        check_suites(suites)
        return cls(
            suites=suites,
            client_did=dids.parse(reader.lp()),
            client_public_key=reader.take(32),
            server_did=dids.parse(reader.lp()),
            server_public_key=reader.take(32),
            client_key_share=reader.lp(),
            nonce=reader.take(32),
            timestamp_ms=reader.uint(8),
            challenge=reader.lp(),
            channel_binding=reader.lp(),
        )


@dataclass(frozen=True)
class M2:
    """``accept``, without its signature and confirmation."""

    suite: int
    session_id: bytes
    server_key_share: bytes
    server_nonce: bytes
    expires_at_ms: int
    idle_timeout_s: int

    def encode(self) -> bytes:
        """Return the bytes that are hashed."""
        return b"".join(
            (
                u16(self.suite),
                self.session_id,
                lp(self.server_key_share),
                self.server_nonce,
                u64(self.expires_at_ms),
                u32(self.idle_timeout_s),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> M2:
        """Parse strictly."""
        return cls(
            suite=reader.uint(2),
            session_id=reader.take(16),
            server_key_share=reader.lp(),
            server_nonce=reader.take(32),
            expires_at_ms=reader.uint(8),
            idle_timeout_s=reader.uint(4),
        )


@dataclass(frozen=True)
class Initiate:
    """The carrier of M1: ``M1 || client_signature(64)``."""

    m1: M1
    signature: bytes

    def encode(self) -> bytes:
        """Return the binary carrier."""
        return self.m1.encode() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Initiate:
        """Parse the binary carrier, at most 16 KiB."""
        reader = sized_reader(data)
        message = cls(M1.read(reader), reader.take(64))
        reader.finish()
        return message


@dataclass(frozen=True)
class Accept:
    """The carrier of M2: ``lp server_did || M2 || signature(64) || confirmation(32)``."""

    server_did: str
    m2: M2
    signature: bytes
    confirmation: bytes

    def encode(self) -> bytes:
        """Return the binary carrier."""
        did = lp(self.server_did.encode("latin-1"))
        return did + self.m2.encode() + self.signature + self.confirmation

    @classmethod
    def decode(cls, data: bytes) -> Accept:
        """Parse the binary carrier, at most 16 KiB."""
        reader = sized_reader(data)
        message = cls(dids.parse(reader.lp()), M2.read(reader), reader.take(64), reader.take(32))
        reader.finish()
        return message


@dataclass(frozen=True)
class Confirm:
    """The carrier of M3: ``session_id(16) || confirmation(32) [|| signature(64)]``."""

    session_id: bytes
    confirmation: bytes
    signature: bytes = b""

    def encode(self) -> bytes:
        """Return the binary carrier."""
        return self.session_id + self.confirmation + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Confirm:
        """Parse the binary carrier: 48 or 112 bytes."""
        reader = sized_reader(data)
        session_id, confirmation = reader.take(16), reader.take(32)
        signature = reader.take(64) if reader.remaining_len else b""
        reader.finish()
        return cls(session_id, confirmation, signature)


@dataclass(frozen=True)
class R1:
    """The request of a rekey; its binary form is its carrier."""

    session_id: bytes
    epoch: int
    nonce: bytes
    mac: bytes

    def encode(self) -> bytes:
        """Return 84 bytes."""
        return self.session_id + u32(self.epoch) + self.nonce + self.mac

    @classmethod
    def decode(cls, data: bytes) -> R1:
        """Parse exactly 84 bytes."""
        reader = sized_reader(data)
        message = cls(reader.take(16), reader.uint(4), reader.take(32), reader.take(32))
        reader.finish()
        return message


@dataclass(frozen=True)
class R2:
    """The answer to a rekey: nonce and MAC."""

    nonce: bytes
    mac: bytes

    def encode(self) -> bytes:
        """Return 64 bytes."""
        return self.nonce + self.mac


@dataclass(frozen=True)
class RekeyReply:
    """The carrier of R2: ``R2 [|| committed R1]``, the latter when another R1 was committed."""

    r2: R2
    adopted: R1 | None = None

    def encode(self) -> bytes:
        """Return 64 or 148 bytes."""
        return self.r2.encode() + (self.adopted.encode() if self.adopted else b"")

    @classmethod
    def decode(cls, data: bytes) -> RekeyReply:
        """Parse 64 or 148 bytes."""
        reader = sized_reader(data)
        r2 = R2(reader.take(32), reader.take(32))
        adopted = R1.decode(reader.take(R1_LEN)) if reader.remaining_len else None
        reader.finish()
        return cls(r2, adopted)


def sized_reader(data: bytes) -> Reader:
    """Refuse more than 16 KiB before anything is looked at."""
    if len(data) > MAX_HANDSHAKE_LEN:
        raise ProtocolError("payload_too_large", f"{len(data)} bytes")
    return Reader(data)
