"""Every nonce is presented by every process at the same time: exactly one of them gets it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sage_native.replay import ReplaySet

from .crew import CONTEXT

if TYPE_CHECKING:
    import multiprocessing
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

BATCH_LEN = 1000
SCOPE = "did:example:alice"


class Duplicates(NamedTuple):
    """What came of a storm."""

    process_count: int
    nonce_count: int
    admitted_once: int
    admitted_twice: int
    never_admitted: int
    seconds: float

    @property
    def passed(self) -> bool:
        return self.admitted_once == self.nonce_count

    def __str__(self) -> str:
        return (
            f"duplicates: {self.process_count} processes x {self.nonce_count:,} nonces in "
            f"{self.seconds:.1f} s: {self.admitted_once:,} admitted once, "
            f"{self.admitted_twice:,} twice, {self.never_admitted:,} never: "
            f"{'PASS' if self.passed else 'FAIL'}"
        )


def storm(path: Path, nonce_count: int, *, process_count: int = 8) -> Duplicates:
    """Have all processes present the same nonces, in one file."""
    now_ms = time.time_ns() // 1_000_000
    ReplaySet.open(path, capacity=nonce_count)
    barrier = CONTEXT.Barrier(process_count)
    results = CONTEXT.SimpleQueue()
    workers = [
        CONTEXT.Process(target=_present, args=(path, nonce_count, number, now_ms, barrier, results))
        for number in range(process_count)
    ]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    counts = np.zeros(nonce_count, np.uint8)
    for _ in workers:
        counts += np.unpackbits(np.frombuffer(results.get(), np.uint8), count=nonce_count)
    seconds = time.perf_counter() - start
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return Duplicates(
        process_count,
        nonce_count,
        int((counts == 1).sum()),
        int((counts > 1).sum()),
        int((counts == 0).sum()),
        seconds,
    )


def _present(  # noqa: PLR0917 - what a process is started with
    path: Path,
    nonce_count: int,
    number: int,
    now_ms: int,
    barrier: Barrier,
    results: multiprocessing.SimpleQueue[bytes],
) -> None:
    replays = ReplaySet.open(path, capacity=nonce_count)
    admitted = np.zeros(nonce_count, np.bool_)
    barrier.wait()
    for first in range(0, nonce_count, BATCH_LEN):
        numbers = np.arange(first, min(first + BATCH_LEN, nonce_count), dtype=np.uint64)
        nonces = numbers.view(np.uint8).reshape(-1, 8)
        # Half of them run through each batch backwards.
        step = 1 if number % 2 else -1
        verdicts = replays.admit_many(
            SCOPE, np.ascontiguousarray(nonces[::step]), now_ms + 170_000, now_ms=now_ms
        )
        admitted[first : first + len(numbers)] = verdicts.admitted[::step]
    results.put(np.packbits(admitted).tobytes())
