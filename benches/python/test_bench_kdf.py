# ruff: noqa: D103 - the names say what is measured
"""Absolute baselines: HKDF-SHA256."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.kdf import Prk, hkdf_sha256

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

IKM, SALT, INFO = bytes(range(32)), bytes(range(32, 64)), b"baseline"


@pytest.mark.parametrize("length", [32, 64, 1024])
def test_derive(benchmark: BenchmarkFixture, length: int) -> None:
    okm = benchmark(hkdf_sha256, IKM, length=length, salt=SALT, info=INFO)
    assert len(okm) == length


def test_extract(benchmark: BenchmarkFixture) -> None:
    assert not benchmark(Prk.extract, IKM, salt=SALT).closed


@pytest.mark.parametrize("length", [32, 64, 1024])
def test_expand(benchmark: BenchmarkFixture, length: int) -> None:
    assert len(benchmark(Prk.from_bytes(IKM).expand, INFO, length)) == length
