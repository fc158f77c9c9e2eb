"""What ``import sage_native`` adds to the start of a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter_ns

_PAIR_COUNT = 25


def import_ms() -> float:
    """Return the median over pairs of processes, one with and one without the import."""
    bare, ours = "pass", "import sage_native"
    return median((_start_ns(ours) - _start_ns(bare)) / 1e6 for _ in range(_PAIR_COUNT))


def _start_ns(statement: str) -> int:
    started_ns = perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603  # our own words
    return perf_counter_ns() - started_ns
