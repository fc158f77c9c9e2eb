"""Strict Ed25519: one verdict, whoever asks.

pyca (OpenSSL) checks the cofactorless equation and S < l; it knows nothing of small order and of
non-canonical keys. The refusals in front of it are ours.
Source: docs/protocol.md, "Notation"; RFC 8032.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from . import edwards


def public_key(seed: bytes) -> bytes:
    """Return the 32-byte verifying key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the deterministic 64-byte signature."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_acceptable_encoding(encoding: bytes) -> bool:
    """Say whether an encoding of A or R passes before any curve arithmetic."""
    return edwards.is_canonical(encoding) and encoding not in edwards.SMALL_ORDER_ENCODINGS


@lru_cache(maxsize=1024)
def is_acceptable_identity(key: bytes) -> bool:
    """Say whether a DID may list this key: canonical, on the curve, of prime order.

    Source: docs/protocol.md, "Notation" ("checked for torsion when it is resolved").
    """
    point = edwards.decode(key)
    if point is None or not is_acceptable_encoding(key):
        return False
    return edwards.is_torsion_free(point)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Give the strict verdict.

    Refused: S >= l, A or R not canonical, A or R of small order, equation without cofactor not
    satisfied. A of mixed order is accepted if the equation holds.
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    r, s = signature[:32], signature[32:]
    if int.from_bytes(s, "little") >= edwards.ORDER:
        return False
    if not (is_acceptable_encoding(key) and is_acceptable_encoding(r)):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
