"""Row 19: what a live nonce and an idle session take, on the native side.

Each figure comes from a process of its own, so that nothing of another is counted. A replay set is
filled to its capacity, and the growth of the resident memory (shared memory included) is divided by
its nonces. For sessions it is what malloc handed out (glibc's ``mallinfo2``), since freed gaps that
the next session fills say nothing about a session; where there is no ``mallinfo2``, the resident
memory again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Verdict: TypeAlias = Literal["goal", "must", "MISSED", "beside"]

ROW = 19
CAPACITIES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
_NONCE_LINES, _SESSION_LINES = (32, 16), (1024, 512)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Footprint:
    """Bytes for each of so many things.

    Attributes:
        operation: What was measured, in words.
        count: How many things there were.
        each_len: Bytes for each of them.
        must: The most that is allowed, if the row has a line.
        goal: Where it is going.
    """

    operation: str
    count: int
    each_len: float
    must: int | None = None
    goal: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What was reached."""
        if self.must is None or self.goal is None:
            return "beside"
        if self.each_len <= self.goal:
            return "goal"
        return "must" if self.each_len <= self.must else "MISSED"


def measure_footprints(notice: Callable[[str], None] = lambda _: None) -> list[Footprint]:
    """Measure all of row 19, and the same nonces in a dict beside it."""
    return list(_footprints(notice))


def _footprints(notice: Callable[[str], None]) -> Iterator[Footprint]:
    for capacity in CAPACITIES:
        notice(f"{ROW} memory of {capacity:,} live nonces")
        is_main = capacity == 1_000_000
        lines = _NONCE_LINES if is_main else (None, None)
        each_len = footprint_of("nonces", capacity)
        yield Footprint(f"Live nonce, set for {capacity:,}", capacity, each_len, *lines)
    notice(f"{ROW} memory of nonces in a dict")
    count = 1_000_000
    yield Footprint("Live nonce, dict and deque", count, footprint_of("dict", count))
    notice(f"{ROW} memory of sessions")
    count = 10_000
    yield Footprint("Idle session", count, footprint_of("idle", count), *_SESSION_LINES)
    yield Footprint("Session in use", count, footprint_of("used", count))


def footprint_of(kind: str, count: int) -> float:
    """Measure one figure in a process of its own."""
    command = [sys.executable, "-m", "benches.ratios.footprint", kind, str(count)]
    answer = subprocess.run(  # noqa: S603 - constant arguments
        command, cwd=_ROOT, capture_output=True, text=True, check=True
    )
    each_len: float = json.loads(answer.stdout)
    return each_len
