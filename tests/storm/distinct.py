"""Nonces that are all different: none is refused."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from sage_native.replay import ReplaySet

BATCH_LEN = 10_000


class Distinct(NamedTuple):
    """What came of a storm."""

    nonce_count: int
    admitted: int
    full: int
    seconds: float

    @property
    def passed(self) -> bool:
        return self.admitted == self.nonce_count

    def __str__(self) -> str:
        refused = self.nonce_count - self.admitted - self.full
        return (
            f"distinct: {self.nonce_count:,} nonces at full capacity in {self.seconds:.1f} s: "
            f"{refused:,} taken for replays, {self.full:,} without a place: "
            f"{'PASS' if self.passed else 'FAIL'}"
        )


def storm(nonce_count: int, *, seed: int = 1) -> Distinct:
    """Fill a set to its capacity with random nonces."""
    replays, chance = ReplaySet(nonce_count), np.random.default_rng(seed)
    now_ms = time.time_ns() // 1_000_000
    admitted = full = 0
    start = time.perf_counter()
    for _ in range(nonce_count // BATCH_LEN):
        nonces = np.frombuffer(chance.bytes(BATCH_LEN * 32), np.uint8).reshape(-1, 32)
        verdicts = replays.admit_many("did:example:alice", nonces, now_ms + 170_000, now_ms=now_ms)
        admitted += int(verdicts.admitted.sum())
        full += int(verdicts.full.sum())
    seconds = time.perf_counter() - start
    return Distinct(nonce_count // BATCH_LEN * BATCH_LEN, admitted, full, seconds)
