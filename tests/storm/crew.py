"""Worker processes that are killed at any moment and replaced, and the answers that they leave.

A worker writes each answer into a mapped file of its own, after the verdict, as a gateway sends an
answer. What it has written stays when it is killed; what it had not is lost with it.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from numpy.typing import NDArray

# Processes that start with nothing: what they share, they share by a file.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["numpy", "sage_native", "tests.storm"])
LOG_LEN = 200_000


class Log:
    """Answers of one worker: numbers other than 0, in order."""

    def __init__(self, path: Path) -> None:
        self._answers = np.memmap(path, np.int64, "r+", shape=(LOG_LEN,))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count > LOG_LEN - 1000

    def add(self, *answers: int) -> None:
        self._answers[self._count : self._count + len(answers)] = answers
        self._count += len(answers)


class Crew:
    """Workers that call ``work(log, seed, *arguments)`` until they are killed or their log is full.

    ``consume`` gets every worker's answers when it is dead.
    """

    def __init__(
        self,
        directory: Path,
        work: Callable[..., None],
        arguments: tuple[object, ...],
        consume: Callable[[NDArray[np.int64]], None],
        *,
        seed: int,
    ) -> None:
        self._directory = directory
        self._target = (work, arguments)
        self._consume = consume
        self._chance = random.Random(seed)
        self._workers: list[tuple[ForkServerProcess, Path]] = []
        self._started_count = 0
        self.kill_count = 0
        self.answer_count = 0

    def run(self, seconds: float, *, worker_count: int) -> None:
        """Kill one after the other, at random moments."""
        self._workers = [self._start() for _ in range(worker_count)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self._chance.uniform(0, 0.04))
            at = self._chance.randrange(worker_count)
            self._finish(*self._workers[at])
            self._workers[at] = self._start()
        for worker in self._workers:
            self._finish(*worker)

    def _start(self) -> tuple[ForkServerProcess, Path]:
        path = self._directory / f"log-{self._started_count}"
        self._started_count += 1
        np.memmap(path, np.int64, "w+", shape=(LOG_LEN,))
        work, arguments = self._target
        process: Any = CONTEXT.Process(
            target=_work, args=(work, path, self._chance.random(), arguments), daemon=True
        )
        process.start()
        return process, path

    def _finish(self, process: ForkServerProcess, path: Path) -> None:
        is_killed = process.is_alive()
        process.kill()
        process.join()
        assert is_killed or process.exitcode == 0, process.exitcode
        self.kill_count += is_killed
        log = np.memmap(path, np.int64, "r", shape=(LOG_LEN,))
        answers = log[: int(np.count_nonzero(log))]
        self.answer_count += len(answers)
        self._consume(answers)
        path.unlink()


def _work(
    work: Callable[..., None], path: Path, seed: float, arguments: tuple[object, ...]
) -> None:
    work(Log(path), random.Random(seed), *arguments)
