# ruff: noqa: D103 - the names say what is measured
"""Absolute baselines: the replay memory, in a table of a million places that is nearly empty."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ReplayDetectedError
from sage_native.replay import ReplaySet, ReplayWindowTable

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

SCOPE = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
CALL_COUNT = 20_000


def until_ms() -> int:
    return time.time_ns() // 1_000_000 + 120_000


@pytest.mark.parametrize("place", ["memory", "file"])
def test_admit(benchmark: BenchmarkFixture, tmp_path: Path, place: str) -> None:
    replays = ReplaySet(path=tmp_path / "replays" if place == "file" else None)
    benchmark.pedantic(  # type: ignore[no-untyped-call]  # has no annotations
        replays.admit,
        setup=lambda: ((SCOPE, os.urandom(32), until_ms()), {}),
        rounds=CALL_COUNT,
    )
    assert replays.statistics().admitted == CALL_COUNT


def test_refuse(benchmark: BenchmarkFixture) -> None:
    replays, nonce, until = ReplaySet(), os.urandom(32), until_ms()
    replays.admit(SCOPE, nonce, until)

    def refuse() -> None:
        with pytest.raises(ReplayDetectedError):
            replays.admit(SCOPE, nonce, until)

    benchmark(refuse)


@pytest.mark.parametrize("length", [64, 1000])
def test_admit_many(benchmark: BenchmarkFixture, length: int) -> None:
    replays = ReplaySet()
    verdicts = benchmark.pedantic(  # type: ignore[no-untyped-call]  # has no annotations
        replays.admit_many,
        setup=lambda: ((SCOPE, [os.urandom(32) for _ in range(length)], until_ms()), {}),
        rounds=300,
    )
    assert verdicts.admitted.all()


def test_window(benchmark: BenchmarkFixture) -> None:
    windows, seqs, expires_ms = ReplayWindowTable(1_000), iter(range(1 << 24)), until_ms()

    def admit() -> None:
        windows.admit(
            "00000000-0000-0000-0000-000000000001",
            peer_did=SCOPE,
            epoch=0,
            incarnation=bytes(16),
            seq=next(seqs),
            expires_ms=expires_ms,
        )

    benchmark(admit)
    assert len(windows) == 1


def test_statistics(benchmark: BenchmarkFixture) -> None:
    assert benchmark(ReplaySet().statistics).live == 0
