"""``ed25519_strict.json``: signatures on which implementations are known to disagree.

Verdicts are computed twice: by the integers of `edwards` and by the reference's `verify`.
Source: docs/protocol.md, "Notation"; RFC 8032; Chalkias, Garillot, Nikolaenko, "Taming the many
EdDSAs" (2020) for the classes of edge cases. All byte strings here are our own except the three
keys and messages of RFC 8032 section 7.1.
"""

from __future__ import annotations

import hashlib

from tests.reference import ed25519, edwards
from tests.reference.edwards import ORDER, P, Point
from tests.reference.setups import derived_bytes

Case = dict[str, object]


def build() -> dict[str, object]:
    """Return the file."""
    cases = [
        *_ordinary_cases(),
        *_scalar_cases(),
        *_torsion_cases(),
        *_small_order_cases(),
        *_spelling_cases(),
        *_length_cases(),
    ]
    return {
        "description": (
            "Strict Ed25519. 'valid': the one verdict of single, cached and batch verification. "
            "'key_acceptable': whether a DID may list the key (canonical, on the curve, of prime "
            "order). Byte strings are lower-case hex."
        ),
        "source": "python -m tests.reference.generate; RFC 8032; docs/protocol.md, Notation",
        "cases": cases,
    }


def _case(name: str, comment: str, key: bytes, message: bytes, signature: bytes) -> Case:
    valid = _verdict(key, message, signature)
    if ed25519.verify(key, message, signature) != valid:
        raise AssertionError(f"two verdicts on {name}")
    return {
        "name": name,
        "comment": comment,
        "key": key.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "valid": valid,
        "key_acceptable": len(key) == 32 and ed25519.is_acceptable_identity(key),
    }


def _verdict(key: bytes, message: bytes, signature: bytes) -> bool:
    """Judge by plain arithmetic: [S]B = R + [k]A with k reduced modulo l, no cofactor."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = edwards.decode(key), edwards.decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    eight_torsion = edwards.SMALL_ORDER_ENCODINGS
    if key in eight_torsion or signature[:32] in eight_torsion:
        return False
    k = _challenge(signature[:32], key, message)
    right = edwards.add(r, edwards.multiply(k, a))
    return edwards.is_equal(edwards.multiply(s, edwards.BASE), right)


def _challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def _scalar(name: str) -> int:
    return int.from_bytes(derived_bytes(name, 64), "little") % ORDER


def _int32(value: int) -> bytes:
    return value.to_bytes(32, "little")


def _ordinary_cases() -> list[Case]:
    rows = (
        ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", ""),
        ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72"),
        ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82"),
    )
    cases = []
    for number, (seed_hex, message_hex) in enumerate(rows, start=1):
        seed, message = bytes.fromhex(seed_hex), bytes.fromhex(message_hex)
        key, signature = ed25519.public_key(seed), ed25519.sign(seed, message)
        cases.append(_case(f"RFC 8032 test {number}", "ordinary", key, message, signature))
        wrong = signature[:63] + bytes((signature[63] ^ 1,))
        cases.append(_case(f"RFC 8032 test {number}, S changed", "", key, message, wrong))
        cases.append(
            _case(f"RFC 8032 test {number}, message longer", "", key, message + b"\0", signature)
        )
    return cases


def _scalar_cases() -> list[Case]:
    seed, message = derived_bytes("strict scalar seed"), b"scalars"
    key, signature = ed25519.public_key(seed), ed25519.sign(seed, message)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    cases = [_case("S as signed", "ordinary", key, message, signature)]
    for factor in range(1, 16):
        shifted = s + factor * ORDER
        if shifted < 2**256:
            comment = "same residue, S >= l: malleable, refused"
            cases.append(_case(f"S + {factor}l", comment, key, message, r + _int32(shifted)))
    for name, value in (
        ("S = 0", 0),
        ("S = l - 1", ORDER - 1),
        ("S = l", ORDER),
        ("S = l + 1", ORDER + 1),
        ("S = 2^253", 2**253),
        ("S = 2^256 - 1", 2**256 - 1),
    ):
        cases.append(_case(name, "does not satisfy the equation", key, message, r + _int32(value)))
    return cases


def _torsion_cases() -> list[Case]:
    """All defects A = A0 + iT, R = R0 + jT with T of order 8 and S right for the prime part.

    The equation without cofactor then says j + k i = 0 modulo 8, with k the reduced hash. Every
    defect gets a message that satisfies it where one exists, and one that does not.
    """
    a, r = _scalar("torsion a"), _scalar("torsion r")
    a_point, r_point = edwards.multiply(a, edwards.BASE), edwards.multiply(r, edwards.BASE)
    torsion = edwards.torsion_generator()
    cases = []
    for i in range(8):
        key = edwards.encode(edwards.add(a_point, edwards.multiply(i, torsion)))
        for j in range(8):
            r_bytes = edwards.encode(edwards.add(r_point, edwards.multiply(j, torsion)))
            wanted = {True, False}
            for attempt in range(200):
                message = b"torsion %d %d %d" % (i, j, attempt)
                k = _challenge(r_bytes, key, message)
                holds = (j + k * i) % 8 == 0
                if holds not in wanted:
                    continue
                wanted.discard(holds)
                signature = r_bytes + _int32((r + k * a) % ORDER)
                comment = (
                    f"k = {k % 8} (mod 8): equation {'holds' if holds else 'fails by torsion'}"
                )
                name = f"A0 + {i}T, R0 + {j}T, {'satisfied' if holds else 'not satisfied'}"
                case = _case(name, comment, key, message, signature)
                assert case["valid"] == holds
                cases.append(case)
    cases.append(_unreduced_case(a, r, a_point, r_point, torsion))
    return cases


def _unreduced_case(a: int, r: int, a_point: Point, r_point: Point, torsion: Point) -> Case:
    """Make a signature that holds with the 512-bit hash as scalar and fails with k reduced."""
    key = edwards.encode(edwards.add(a_point, torsion))
    r_bytes = edwards.encode(r_point)
    attempt = 0
    while True:
        message = b"unreduced %d" % attempt
        full = int.from_bytes(hashlib.sha512(r_bytes + key + message).digest(), "little")
        if full % 8 == 0 and full % ORDER % 8 != 0:
            signature = r_bytes + _int32((r + full * a) % ORDER)
            comment = "holds only if k is not reduced modulo l before [k]A: refused"
            return _case("A0 + T, k not reduced", comment, key, message, signature)
        attempt += 1


def _small_order_cases() -> list[Case]:
    cases = []
    scalar = _scalar("small order a")
    key = edwards.encode(edwards.multiply(scalar, edwards.BASE))
    for number, encoding in enumerate(edwards.SMALL_ORDER_ENCODINGS):
        cases.append(_small_order_key_case(number, encoding))
        message = b"small-order R %d" % number
        s = _challenge(encoding, key, message) * scalar % ORDER
        comment = "cofactored verification accepts; small-order R: refused"
        cases.append(_case(f"small-order R {number}", comment, key, message, encoding + _int32(s)))
    for number, encoding in enumerate(edwards.SMALL_ORDER_ENCODINGS):
        signature = encoding + bytes(32)
        comment = "both of small order, S = 0: fits many messages without strictness"
        cases.append(_case(f"small-order A and R {number}", comment, encoding, b"any", signature))
    return cases


def _small_order_key_case(number: int, encoding: bytes) -> Case:
    """Find a message for which [S]B = R + [k]A holds although nobody knows a secret."""
    point = edwards.decode(encoding)
    assert point is not None
    r = _scalar(f"small order r {number}")
    r_bytes = edwards.encode(edwards.multiply(r, edwards.BASE))
    attempt = 0
    while True:
        message = b"small-order A %d %d" % (number, attempt)
        k = _challenge(r_bytes, encoding, message)
        if edwards.is_equal(edwards.multiply(k, point), edwards.IDENTITY):
            comment = "the equation holds without any secret; small-order A: refused"
            signature = r_bytes + _int32(r)
            return _case(f"small-order A {number}", comment, encoding, message, signature)
        attempt += 1


def _spelling_cases() -> list[Case]:
    """Second spellings of points as A and as R: y >= p, and x = 0 with the sign bit."""
    spellings = [
        (f"y = p + {y - P}, sign {sign}", _int32(y | sign << 255))
        for y in range(P, 2**255)
        for sign in (0, 1)
    ]
    spellings.append(("y = 1, sign 1 (negative zero)", _int32(1 | 1 << 255)))
    spellings.append(("y = -1, sign 1 (negative zero)", _int32(P - 1 | 1 << 255)))
    scalar = _scalar("spelling a")
    key = edwards.encode(edwards.multiply(scalar, edwards.BASE))
    r = _scalar("spelling r")
    r_bytes = edwards.encode(edwards.multiply(r, edwards.BASE))
    cases = []
    for name, encoding in spellings:
        message = b"spelling"
        as_key = r_bytes + _int32(r)
        cases.append(_case(f"A: {name}", "not canonical: refused", encoding, message, as_key))
        s = _challenge(encoding, key, message) * scalar % ORDER
        as_r = encoding + _int32(s)
        cases.append(_case(f"R: {name}", "not canonical: refused", key, message, as_r))
    off_curve = next(_int32(y) for y in range(2, 50) if edwards.decode(_int32(y)) is None)
    cases.append(
        _case("A not on the curve", "refused", off_curve, b"spelling", r_bytes + _int32(r))
    )
    cases.append(_case("R not on the curve", "refused", key, b"spelling", off_curve + _int32(r)))
    return cases


def _length_cases() -> list[Case]:
    seed, message = derived_bytes("strict length seed"), b"lengths"
    key, signature = ed25519.public_key(seed), ed25519.sign(seed, message)
    return [
        _case("signature of 63 bytes", "refused", key, message, signature[:63]),
        _case("signature of 65 bytes", "refused", key, message, signature + b"\0"),
        _case("empty signature", "refused", key, message, b""),
        _case("key of 31 bytes", "refused", key[:31], message, signature),
        _case("key of 33 bytes", "refused", key + b"\0", message, signature),
    ]
