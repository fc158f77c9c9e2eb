"""CPU time of other processes, and which cores processes may use.

Linux gives every process a clock of the CPU time of all its threads, those that have ended
included, in nanoseconds; its id is made from the process id (``clock_getcpuclockid(3)``).
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SCHEDULED = 2
"""The kind of clock that counts time on a CPU (``CPUCLOCK_SCHED``)."""


def cpu_ns(pids: Sequence[int]) -> int:
    """Return the CPU time that these processes have used so far.

    Raises:
        OSError: One of them has ended.
    """
    return sum(time.clock_gettime_ns((~pid << 3) | _SCHEDULED) for pid in pids)


def tree(pid: int) -> list[int]:
    """Return a process and everything below it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for thread in Path(f"/proc/{one}/task").iterdir():
            children = (thread / "children").read_text(encoding="ascii")
            waiting += [int(child) for child in children.split()]
    return found


def resident_len(pids: Sequence[int]) -> int:
    """Return the memory of these processes that is in RAM, in bytes, shared memory included."""
    total = 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(frozen=True)
class Cores:
    """Which cores the generator and the servers use.

    Attributes:
        generator: One core.
        servers: All others; the same one where there is no other.
    """

    generator: frozenset[int]
    servers: frozenset[int]

    @classmethod
    def split(cls) -> Cores:
        """Split the cores that this process may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(frozenset(cores[:1]), frozenset(cores[1:] or cores))


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Keep this thread on some cores, and every process that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
