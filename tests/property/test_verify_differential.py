"""Verification by every way against PyNaCl: damaged signatures, torsion, encodings, and ``S``.

PyNaCl is libsodium, whose verdict is strict as ours is. What ours accepts, OpenSSL accepts too.
Every path that this processor has is taken in turn. The number of random mutations can be raised
by ``SAGE_MUTATIONS``.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from sage_native import SigningKey, UsageError, VerifyingKey, VerifyingKeyCache, verify_many
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _take_curve25519_path,
)
from tests.reference import edwards

if TYPE_CHECKING:
    from collections.abc import Iterator

MUTATION_COUNT = int(os.environ.get("SAGE_MUTATIONS", "10000"))
CHUNK_LEN = 500


@dataclass(frozen=True)
class Case:
    key: bytes
    signature: bytes
    message: bytes

    def nacl_accepts(self) -> bool:
        try:
            crypto_sign_open(self.signature + self.message, self.key)
        except BadSignatureError:
            return False
        return True

    def pyca_accepts(self) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(self.signature, self.message)
        except (InvalidSignature, ValueError):
            return False
        return True


@pytest.fixture(autouse=True)
def fastest_again() -> Iterator[None]:
    """Leave the fastest path behind, whatever has failed."""
    yield
    _take_curve25519_path(None)


def compare(cases: list[Case]) -> int:
    """Hold every way on every path against PyNaCl; say how many are accepted."""
    expected = [case.nacl_accepts() for case in cases]
    for case, accepted in zip(cases, expected, strict=True):
        assert case.pyca_accepts() or not accepted
    loaded = {}
    for at, case in enumerate(cases):
        try:
            key = VerifyingKey(case.key)
            loaded[at] = (key, key.expand())
        except UsageError:
            assert not expected[at]
    for path in _curve25519_paths():
        _take_curve25519_path(path)
        compare_here(cases, expected, loaded)
    return sum(expected)


def compare_here(
    cases: list[Case], expected: list[bool], loaded: dict[int, tuple[VerifyingKey, VerifyingKey]]
) -> None:
    """Hold every way against what is expected, on the path that is taken."""
    signatures, messages = [case.signature for case in cases], [case.message for case in cases]
    raw = [case.key for case in cases]
    assert verify_many(raw, signatures, messages).tolist() == expected
    assert verify_many(raw, signatures, messages, threads=3).tolist() == expected
    cache = VerifyingKeyCache()
    for at, (key, expanded) in loaded.items():
        cache.register(key)
        case = cases[at]
        assert key.is_valid(case.signature, case.message) is expected[at], case
        assert expanded.is_valid(case.signature, case.message) is expected[at], case
    some = ([signatures[at] for at in loaded], [messages[at] for at in loaded])
    wanted = [expected[at] for at in loaded]
    for keys in zip(*loaded.values(), strict=True):
        assert verify_many(list(keys), *some).tolist() == wanted
    for threads in (1, 1, 3, 1):
        verdicts = cache.verify_many([raw[at] for at in loaded], *some, threads=threads)
        assert verdicts.tolist() == wanted


def mutated(draw: random.Random, kind: int) -> Case:
    signing = SigningKey(draw.randbytes(32))
    message = draw.randbytes(draw.randrange(1, 80))
    parts = [bytearray(signing.verifying_key_bytes), bytearray(signing.sign(message))]
    parts.append(bytearray(message))
    if kind < 3:
        bit = draw.randrange(8 * len(parts[kind]))
        parts[kind][bit // 8] ^= 1 << bit % 8
    elif kind == 3:
        parts[1][:32] = draw.randbytes(32)
    elif kind == 4:
        parts[1][32:] = (draw.randrange(1 << 256)).to_bytes(32, "little")
    return Case(*map(bytes, parts))


@pytest.mark.parametrize("first", range(0, MUTATION_COUNT, CHUNK_LEN))
def test_random_mutations(first: int) -> None:
    draw = random.Random(first)
    cases = [mutated(draw, number % 6) for number in range(CHUNK_LEN)]
    assert compare(cases) == CHUNK_LEN // 6


def test_every_torsion_defect() -> None:
    """All 64 combinations of small-order components in key and ``R``, eight messages each."""
    small = [edwards.multiply(order, edwards.torsion_generator()) for order in range(8)]
    a, r = 0x1234567 * 2**200 + 1, 0x7654321 * 2**190 + 5
    cases = []
    for in_key in small:
        key = edwards.encode(edwards.add(edwards.multiply(a, edwards.BASE), in_key))
        for in_r in small:
            signed = edwards.encode(edwards.add(edwards.multiply(r, edwards.BASE), in_r))
            for number in range(8):
                message = bytes([number])
                digest = hashlib.sha512(signed + key + message).digest()
                s = (r + int.from_bytes(digest, "little") * a) % edwards.ORDER
                cases.append(Case(key, signed + s.to_bytes(32, "little"), message))
    accepted = compare(cases)
    assert 32 <= accepted <= 128  # an eighth on average


def test_encodings_and_s_beyond_the_order() -> None:
    signing = SigningKey(bytes(range(32)))
    key, signature = signing.verifying_key_bytes, signing.sign(b"m")
    encodings = [
        (2**255 - 19 + excess + (sign << 255)).to_bytes(32, "little")
        for excess in range(-1, 19)
        for sign in (0, 1)
    ]
    encodings += edwards.SMALL_ORDER_ENCODINGS
    cases = [Case(encoding, signature, b"m") for encoding in encodings]
    cases += [Case(key, encoding + signature[32:], b"m") for encoding in encodings]
    cases += [Case(one, two + bytes(32), b"m") for one in encodings for two in encodings]
    s = int.from_bytes(signature[32:], "little")
    beyond = [s + many * edwards.ORDER for many in range(1, 15)]
    beyond += [edwards.ORDER + offset for offset in (-1, 0, 1)]
    cases += [Case(key, signature[:32] + one.to_bytes(32, "little"), b"m") for one in beyond]
    assert compare([*cases, Case(key, signature, b"m")]) == 1
