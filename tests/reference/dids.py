"""DID syntax and the did:key method for Ed25519.

Source: docs/protocol.md, "Order of work on M2" (last line); W3C DID Core section 3.1; the did:key
method: multibase ``z`` (base58btc) of the multicodec prefix ``ed 01`` and the 32-byte key.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import ProtocolError

MAX_DID_LEN: Final = 256
ED25519_MULTICODEC: Final = b"\xed\x01"
BASE58_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_DID = re.compile(rb"did:[a-z0-9]+:(?:[A-Za-z0-9._-]*:)*[A-Za-z0-9._-]+")


def parse(data: bytes) -> str:
    """Return the DID, or raise ``invalid_did``.

    A DID is ASCII, at most 256 bytes, with a lower-case method, without ``%``, path, query and
    fragment; the last segment is not empty.
    """
    if len(data) > MAX_DID_LEN or _DID.fullmatch(data) is None:
        raise ProtocolError("invalid_did", repr(data[:40]))
    return data.decode("ascii")


def base58_encode(data: bytes) -> str:
    """Return base58btc; every leading zero byte is a ``1``."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    value, digits = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        digits = BASE58_ALPHABET[digit] + digits
    return "1" * zeros + digits


def base58_decode(text: str) -> bytes | None:
    """Invert `base58_encode`; None when a character is outside the alphabet."""
    value = 0
    for character in text:
        digit = BASE58_ALPHABET.find(character)
        if digit < 0:
            return None
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def key_to_did(key: bytes) -> str:
    """Return the ``did:key`` of an Ed25519 verifying key."""
    return "did:key:z" + base58_encode(ED25519_MULTICODEC + key)


def did_to_key(did: str) -> bytes | None:
    """Return the key of an Ed25519 ``did:key``; None for every other DID."""
    if not did.startswith("did:key:z"):
        return None
    data = base58_decode(did.removeprefix("did:key:z"))
    if data is None or len(data) != 34 or not data.startswith(ED25519_MULTICODEC):
        return None
    return data[2:]
