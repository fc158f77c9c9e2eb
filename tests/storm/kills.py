"""Workers that are killed at any moment, over clocks that jump, while every answer is read.

Each worker presents nonces of the last seconds again and again, singly and in batches, and answers
which it admitted. A worker that is killed between a verdict and its answer has burnt the nonce:
nobody gets it. No nonce is ever admitted twice.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sage_native.exceptions import ReplayDetectedError
from sage_native.replay import ReplaySet

from .crew import Crew

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from numpy.typing import NDArray

    from .crew import Log

CAPACITY = 60_000
HORIZON_MS = 4_000
ROUND_MS = 250
ROUND_LEN = 2_000
REMEMBERED_MS = 3_000
BATCH_LEN = 100
SCOPE = "did:example:alice"
# A clock that is right, and one that jumps both ways.
CLOCK_STEPS_MS = (0, 0, 0, 0, 0, 0, -2_000, -100, 100, 600)


class Kills(NamedTuple):
    """What came of a storm."""

    kill_count: int
    answer_count: int
    nonce_count: int
    admitted_once: int
    admitted_twice: int
    burnt: int
    seconds: float

    @property
    def passed(self) -> bool:
        was_real = self.kill_count > 0 and self.admitted_once > 0
        # At most one batch is under way in a worker when it dies.
        return was_real and not self.admitted_twice and self.burnt <= self.kill_count * BATCH_LEN

    def __str__(self) -> str:
        return (
            f"kill -9: {self.kill_count:,} kills in {self.seconds:.0f} s, {self.answer_count:,} "
            f"answers on {self.nonce_count:,} nonces: {self.admitted_once:,} admitted once, "
            f"{self.admitted_twice:,} twice, {self.burnt:,} burnt by the kills: "
            f"{'PASS' if self.passed else 'FAIL'}"
        )


def storm(path: Path, seconds: float, *, worker_count: int = 6, seed: int = 1) -> Kills:
    """Kill a random worker every few ms, start another, and read all answers."""
    ReplaySet.open(path, capacity=CAPACITY, horizon_ms=HORIZON_MS)
    nonce_limit = (int(seconds * 1000) // ROUND_MS + 40) * ROUND_LEN
    admitted_counts = np.zeros(nonce_limit, np.uint32)
    was_refused = np.zeros(nonce_limit, np.bool_)

    def consume(answers: NDArray[np.int64]) -> None:
        np.add.at(admitted_counts, answers[answers > 0] - 1, 1)
        was_refused[-answers[answers < 0] - 1] = True

    start = time.monotonic()
    arguments = (path, time.time_ns() // 1_000_000)
    crew = Crew(path.parent, _work, arguments, consume, seed=seed)
    crew.run(seconds, worker_count=worker_count)
    return Kills(
        crew.kill_count,
        crew.answer_count,
        int((was_refused | (admitted_counts > 0)).sum()),
        int((admitted_counts == 1).sum()),
        int((admitted_counts > 1).sum()),
        int((was_refused & (admitted_counts == 0)).sum()),
        time.monotonic() - start,
    )


def _work(log: Log, chance: random.Random, path: Path, start_ms: int) -> None:
    replays = ReplaySet.open(path, capacity=CAPACITY, horizon_ms=HORIZON_MS)
    while not log.is_full:
        now_ms = time.time_ns() // 1_000_000
        last = (now_ms - start_ms) // ROUND_MS
        turn = max(0, last - chance.randrange(16))
        until_ms = start_ms + turn * ROUND_MS + REMEMBERED_MS
        now_ms += chance.choice(CLOCK_STEPS_MS)
        if until_ms - now_ms > HORIZON_MS:
            continue
        first = turn * ROUND_LEN + chance.randrange(ROUND_LEN - BATCH_LEN)
        numbers = chance.sample(range(first, first + BATCH_LEN), BATCH_LEN)
        if chance.random() < 0.5:
            nonces = [number.to_bytes(8, "little") for number in numbers]
            verdicts = replays.admit_many(SCOPE, nonces, until_ms, now_ms=now_ms)
            log.add(*np.where(verdicts.admitted, 1, -1) * (np.array(numbers) + 1))
            continue
        for number in numbers[:20]:
            try:
                replays.admit(SCOPE, number.to_bytes(8, "little"), until_ms, now_ms=now_ms)
            except ReplayDetectedError:
                log.add(-number - 1)
            else:
                log.add(number + 1)
