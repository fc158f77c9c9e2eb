# ruff: noqa: D103 - the names say what is measured
"""Absolute baselines: AES-256-GCM under nonces of the caller's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sage_native.aead import AeadKey

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

KEY = AeadKey(bytes(range(32)))
NONCE, AAD = bytes(12), bytes(13)
LENGTHS = [16, 64, 256, 1024, 4096, 16_384, 1 << 20]
COUNTS = [64, 1024]


@pytest.mark.parametrize("length", LENGTHS)
def test_seal(benchmark: BenchmarkFixture, length: int) -> None:
    assert len(benchmark(KEY.seal, NONCE, bytes(length), AAD)) == length + 16


@pytest.mark.parametrize("length", LENGTHS)
def test_open(benchmark: BenchmarkFixture, length: int) -> None:
    sealed = KEY.seal(NONCE, bytes(length), AAD)
    assert benchmark(KEY.open, NONCE, sealed, AAD) == bytes(length)


@pytest.mark.parametrize("length", [64, 16_384])
def test_seal_into(benchmark: BenchmarkFixture, length: int) -> None:
    out = bytearray(length + 16)
    assert benchmark(KEY.seal_into, NONCE, bytes(length), out, AAD) == length + 16


@pytest.mark.parametrize("count", COUNTS)
def test_seal_many_lists(benchmark: BenchmarkFixture, count: int) -> None:
    nonces = [number.to_bytes(12, "big") for number in range(count)]
    benchmark.extra_info["operations"] = count
    assert len(benchmark(KEY.seal_many, nonces, [bytes(64)] * count)) == count


@pytest.mark.parametrize("count", COUNTS)
def test_seal_many_arrays(benchmark: BenchmarkFixture, count: int) -> None:
    nonces, plaintexts = np.zeros((count, 12), np.uint8), np.zeros((count, 64), np.uint8)
    benchmark.extra_info["operations"] = count
    assert benchmark(KEY.seal_many, nonces, plaintexts).shape == (count, 80)


@pytest.mark.parametrize("count", COUNTS)
def test_open_many_arrays(benchmark: BenchmarkFixture, count: int) -> None:
    nonces, plaintexts = np.zeros((count, 12), np.uint8), np.zeros((count, 64), np.uint8)
    sealed = KEY.seal_many(nonces, plaintexts)
    benchmark.extra_info["operations"] = count
    assert benchmark(KEY.open_many, nonces, sealed)[1].all()


def test_expand_key(benchmark: BenchmarkFixture) -> None:
    assert not benchmark(AeadKey, bytes(32)).closed
