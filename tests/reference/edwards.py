"""The curve edwards25519 in plain integers: enough to judge keys and to build attacks.

Points are extended homogeneous coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Nothing
is constant-time. Source: RFC 8032 sections 5.1.3 and 5.1.4.
"""

from __future__ import annotations

from typing import Final

Point = tuple[int, int, int, int]

P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The prime order of the base point, written l in the texts."""

D: Final = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
IDENTITY: Final[Point] = (0, 1, 1, 0)


def add(left: Point, right: Point) -> Point:
    """Return the sum; complete, so it doubles as well."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * t1 * t2 * D % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def negate(point: Point) -> Point:
    """Return -point."""
    x, y, z, t = point
    return (-x % P, y, z, -t % P)


def multiply(scalar: int, point: Point) -> Point:
    """Return [scalar]point for scalar >= 0, used as the integer that it is: never reduced."""
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def is_equal(left: Point, right: Point) -> bool:
    """Compare as points, whatever the denominators."""
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


def encode(point: Point) -> bytes:
    """Return the canonical 32-byte encoding."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def is_canonical(encoding: bytes) -> bool:
    """Say whether an encoding is the one canonical spelling, were it on the curve.

    Refused: y >= p, and x = 0 (y = 1 or y = -1) with the sign bit set, "negative zero".
    Source: docs/protocol.md, "Notation"; RFC 8032 section 5.1.3.
    """
    value = int.from_bytes(encoding, "little")
    y, sign = value & (2**255 - 1), value >> 255
    return y < P and not (sign == 1 and y in (1, P - 1))


def decode(encoding: bytes) -> Point | None:
    """Return the point of a canonical encoding, else None."""
    if len(encoding) != 32 or not is_canonical(encoding):
        return None
    value = int.from_bytes(encoding, "little")
    y, sign = value & (2**255 - 1), value >> 255
    numerator, denominator = (y * y - 1) % P, (D * y * y + 1) % P
    square = numerator * pow(denominator, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_ONE % P
    if x * x % P != square:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def is_torsion_free(point: Point) -> bool:
    """Say whether the point lies in the subgroup of prime order."""
    return is_equal(multiply(ORDER, point), IDENTITY)


def _base_point() -> Point:
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


BASE: Final[Point] = _base_point()

SMALL_ORDER_ENCODINGS: Final[tuple[bytes, ...]] = tuple(
    bytes.fromhex(text)
    for text in (
        # order 1: (0, 1)
        "0100000000000000000000000000000000000000000000000000000000000000",
        # order 2: (0, -1)
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        # order 4: (+-sqrt(-1), 0)
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        # order 8
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)
"""The canonical encodings of the eight points of small order."""


def torsion_generator() -> Point:
    """Return a point of order exactly 8."""
    point = decode(SMALL_ORDER_ENCODINGS[4])
    assert point is not None
    return point
