"""Identity keys that a server knows, judged once and kept as key objects.

Everything that depends only on the key is done when it is registered: canonical encoding, small
order, torsion, the OpenSSL key object. Per signature remain three checks. OpenSSL itself refuses
S >= l, and compares R as bytes with the canonical encoding of [S]B - [k]A, so an R that is not
canonical never matches; an R of small order is one set lookup.
"""

from __future__ import annotations

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import RefusedError

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


def _spellings(y: int) -> tuple[bytes, bytes]:
    return y.to_bytes(32, "little"), (y | 1 << 255).to_bytes(32, "little")


SMALL_ORDER = frozenset(
    spelling for y in (0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y) for spelling in _spellings(y)
)
"""The canonical encodings of the eight points of small order, and both negative zeros."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUE = {character: value for value, character in enumerate(_BASE58)}
_DID = re.compile(rb"did:[a-z0-9]+:(?:[A-Za-z0-9._-]*:)*[A-Za-z0-9._-]+")


def is_did(data: bytes) -> bool:
    """Say whether the bytes are a DID that the protocol allows."""
    return len(data) <= 256 and _DID.fullmatch(data) is not None


def did_key_bytes(did: bytes) -> bytes | None:
    """Return the Ed25519 key of a ``did:key``, None for every other DID."""
    if not did.startswith(b"did:key:z6Mk"):
        return None
    value = 0
    for character in did[9:].decode("ascii"):
        digit = _BASE58_VALUE.get(character)
        if digit is None:
            return None
        value = value * 58 + digit
    if value >> 256 != 0xED01:
        return None
    return value.to_bytes(34, "big")[2:]


def key_did(key: bytes) -> bytes:
    """Return the ``did:key`` of an Ed25519 key."""
    value, digits = int.from_bytes(b"\xed\x01" + key, "big"), []
    while value:
        value, digit = divmod(value, 58)
        digits.append(_BASE58[digit])
    return b"did:key:z" + "".join(reversed(digits)).encode()


def load_identity(key: bytes) -> Ed25519PublicKey:
    """Return the key object of an identity key, or refuse it with ``invalid_key``.

    Cost: about 3 ms for the torsion check, once for every key.
    """
    if key in SMALL_ORDER or not _is_prime_order(key):
        raise RefusedError("invalid_key")
    return Ed25519PublicKey.from_public_bytes(key)


def verify(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Give the strict verdict under a key that `load_identity` passed."""
    if signature[:32] in SMALL_ORDER:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _is_prime_order(key: bytes) -> bool:
    """Decode canonically and check that [l]A is the neutral element."""
    value = int.from_bytes(key, "little")
    y, sign = value & (2**255 - 1), value >> 255
    if y >= _P:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _SQRT_MINUS_ONE % _P
    if x * x % _P != square:
        return False
    if x & 1 != sign:
        x = _P - x
    point = (x, y, 1, x * y % _P)
    total = (0, 1, 1, 0)
    for bit in f"{_ORDER:b}":
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total[0] % _P == 0 and (total[1] - total[2]) % _P == 0


def _add(
    left: tuple[int, int, int, int], right: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P
