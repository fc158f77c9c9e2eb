# ruff: noqa: D103 - the names say what is measured
"""Absolute baselines: identities, signatures, agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.keys import (
    EphemeralSecret,
    SigningKey,
    StaticSecret,
    VerifyingKey,
    X25519PublicKey,
    resolve_did_key,
    verify_many,
)

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

MESSAGE = bytes(range(256))
KEY = SigningKey(bytes(range(32)))
SIGNATURE = KEY.sign(MESSAGE)
SECRET = StaticSecret(bytes(range(32)))
SHARE = StaticSecret(bytes(range(32, 64))).public_key


@pytest.mark.parametrize("length", [0, 256, 16_384])
def test_sign(benchmark: BenchmarkFixture, length: int) -> None:
    signature = benchmark(KEY.sign, bytes(length))
    assert KEY.verifying_key.is_valid(signature, bytes(length))


def test_verify(benchmark: BenchmarkFixture) -> None:
    assert benchmark(KEY.verifying_key.verify, SIGNATURE, MESSAGE) is None


def test_verify_from_raw_key(benchmark: BenchmarkFixture) -> None:
    key = KEY.verifying_key_bytes

    def verify() -> bool:
        return VerifyingKey(key).is_valid(SIGNATURE, MESSAGE)

    assert benchmark(verify)


def test_refuse(benchmark: BenchmarkFixture) -> None:
    assert not benchmark(KEY.verifying_key.is_valid, SIGNATURE, MESSAGE[1:])


@pytest.mark.parametrize("count", [64, 1024])
def test_sign_many(benchmark: BenchmarkFixture, count: int) -> None:
    benchmark.extra_info["operations"] = count
    assert benchmark(KEY.sign_many, [MESSAGE] * count).shape == (count, 64)


@pytest.mark.parametrize("count", [64, 1024])
def test_verify_many(benchmark: BenchmarkFixture, count: int) -> None:
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, count + 1)]
    encoded = [key.verifying_key_bytes for key in keys]
    signatures = [key.sign(MESSAGE) for key in keys]
    benchmark.extra_info["operations"] = count
    assert benchmark(verify_many, encoded, signatures, [MESSAGE] * count).all()


def test_generate_signing_key(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(SigningKey.generate).verifying_key_bytes) == 32


def test_check_key(benchmark: BenchmarkFixture) -> None:
    assert benchmark(KEY.verifying_key.check) is None


def test_resolve_did_key(benchmark: BenchmarkFixture) -> None:
    assert benchmark(resolve_did_key, KEY.did) == (KEY.verifying_key,)


def test_exchange(benchmark: BenchmarkFixture) -> None:
    assert not benchmark(SECRET.exchange, SHARE).closed


def test_exchange_from_raw_share(benchmark: BenchmarkFixture) -> None:
    share = SHARE.to_bytes()
    assert not benchmark(lambda: SECRET.exchange(X25519PublicKey(share))).closed


def test_key_pair(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(lambda: EphemeralSecret.generate().public_key_bytes)) == 32
