"""Workers that deliver the same records through one table of windows, and are killed."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sage_native.exceptions import ReplayDetectedError
from sage_native.replay import ReplayWindowTable

from .crew import Crew

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from numpy.typing import NDArray

    from .crew import Log

CAPACITY = 200
SESSION_COUNT = 20
RUN_LEN = 64


class Windows(NamedTuple):
    """What came of a storm."""

    kill_count: int
    answer_count: int
    delivered_once: int
    delivered_twice: int
    seconds: float

    @property
    def passed(self) -> bool:
        return self.kill_count > 0 and self.delivered_once > 0 and not self.delivered_twice

    def __str__(self) -> str:
        return (
            f"windows: {self.kill_count:,} kills in {self.seconds:.0f} s, {self.answer_count:,} "
            f"answers: {self.delivered_once:,} records delivered once, "
            f"{self.delivered_twice:,} twice: {'PASS' if self.passed else 'FAIL'}"
        )


def storm(path: Path, seconds: float, *, worker_count: int = 4, seed: int = 1) -> Windows:
    """Kill a random worker every few ms, start another, and read all answers."""
    ReplayWindowTable.open(path, capacity=CAPACITY)
    seq_limit = int(seconds * 1000) + 10_000
    delivered_counts = np.zeros(SESSION_COUNT * seq_limit, np.uint32)

    def consume(answers: NDArray[np.int64]) -> None:
        np.add.at(delivered_counts, answers[answers > 0] - 1, 1)

    start = time.monotonic()
    arguments = (path, time.time_ns() // 1_000_000, seq_limit)
    crew = Crew(path.parent, _work, arguments, consume, seed=seed)
    crew.run(seconds, worker_count=worker_count)
    return Windows(
        crew.kill_count,
        crew.answer_count,
        int((delivered_counts == 1).sum()),
        int((delivered_counts > 1).sum()),
        time.monotonic() - start,
    )


def _work(log: Log, chance: random.Random, path: Path, start_ms: int, seq_limit: int) -> None:
    table = ReplayWindowTable.open(path, capacity=CAPACITY)
    while not log.is_full:
        session = chance.randrange(SESSION_COUNT)
        # Everybody is near the same number, which grows with the time.
        around = time.time_ns() // 1_000_000 - start_ms
        for _ in range(RUN_LEN):
            seq = max(0, around + chance.randrange(-1200, 100))
            try:
                table.admit(
                    str(uuid.UUID(int=session)),
                    peer_did="did:example:alice",
                    epoch=session,
                    incarnation=bytes(16),
                    seq=seq,
                    expires_ms=start_ms + 3_600_000,
                )
            except ReplayDetectedError:
                log.add(-1)
            else:
                log.add(session * seq_limit + seq + 1)
