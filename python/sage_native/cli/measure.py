"""Measuring several ways to do one thing so that a busy machine is fair to all of them.

They take turns in short slices, A B C A B C. What disturbs the machine for longer than a slice
disturbs neighbours alike, so the ratio within each round stays true where the rates do not; the
median over the rounds drops what hit one slice alone.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MAX_SLICE_S", "Comparison", "compare"]

MAX_SLICE_S = 0.05


@dataclass(frozen=True)
class Comparison:
    """What one comparison found, by the names of the contestants."""

    rounds: list[dict[str, float]]
    """Calls per second, of each contestant in each round."""

    def rate(self, name: str) -> float:
        """Return the median of a contestant's calls per second."""
        return median(rates[name] for rates in self.rounds)

    def ratios(self, name: str, other: str) -> list[float]:
        """Return in each round, sorted, how many times faster one was than the other."""
        return sorted(rates[name] / rates[other] for rates in self.rounds)


def compare(
    contestants: Mapping[str, Callable[[], object]], *, round_count: int, slice_s: float
) -> Comparison:
    """Measure contestants in turns.

    Args:
        contestants: The calls to compare, each doing the same work.
        round_count: How many slices each gets.
        slice_s: About how long a slice takes, at most MAX_SLICE_S.

    Cost: ``len(contestants) * (round_count + 1) * slice_s`` seconds; the garbage collector rests.
    """
    if not 0 < slice_s <= MAX_SLICE_S or round_count < 1:
        raise ValueError(f"slices of {slice_s} s in {round_count} rounds: see MAX_SLICE_S")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        counts = {name: _count_for(call, slice_s) for name, call in contestants.items()}
        return Comparison(
            [
                {name: _rate(call, counts[name]) for name, call in contestants.items()}
                for _ in range(round_count)
            ]
        )
    finally:
        if was_enabled:
            gc.enable()


def _count_for(call: Callable[[], object], slice_s: float) -> int:
    """Return how many calls fill a slice; warms up on the way."""
    count = 1
    while (elapsed_s := count / _rate(call, count)) < slice_s / 4:
        count *= 2
    return max(1, round(count * slice_s / elapsed_s))


def _rate(call: Callable[[], object], count: int) -> float:
    started = perf_counter()
    for _ in repeat(None, count):
        call()
    return count / (perf_counter() - started)
