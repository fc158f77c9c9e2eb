"""Interleaving: A B A B …, in slices so short that both sides meet the same machine.

A round is one slice of every side with clock probes around each: probe A probe B probe. Only
figures from one round are ever compared, so drift between rounds cancels; a round with an unsteady
slice is dropped. A slice has a fixed count of calls, found by `fit`.

Unsteady is a slice next to a probe that is off the run's best, and one that was interrupted, unless
its side waits for another process anyway.
"""

from __future__ import annotations

import gc
from collections import deque
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import TYPE_CHECKING

from .clock import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .clock import ClockProbe
    from .sides import Side

MAX_SLICE_NS = 50_000_000
FIT_COUNT = 3
"""Slices that are tried for each count of calls."""


@dataclass(frozen=True)
class Slice:
    """Some calls of one side: the time on the wall, and how much of it this process had."""

    elapsed_ns: int
    cpu_ns: int

    @property
    def was_interrupted(self) -> bool:
        """Say whether another process took more than `TOLERANCE` of the time."""
        return self.cpu_ns < self.elapsed_ns * (1 - TOLERANCE)


@dataclass(frozen=True)
class Round:
    """One slice of every side: ns per operation, and the probes before, between and after."""

    times_ns: tuple[float, ...]
    interrupted: tuple[bool, ...]
    probes_ns: tuple[int, ...]

    def unsteady_count(self, probe: ClockProbe) -> int:
        """Count the slices that do not count, by what is known of the run now."""
        return sum(
            was_interrupted or not probe.is_steady(*around)
            for was_interrupted, around in zip(
                self.interrupted, pairwise(self.probes_ns), strict=True
            )
        )


def time_slice(side: Side, call_count: int, probe: ClockProbe) -> Slice:
    """Time so many calls; preparing them is not timed.

    The loop is `starmap` into a `deque` that keeps nothing: no bytecode, the same few ns a call for
    every side.
    """
    arguments = list(side.prepare(call_count))
    calls = starmap(side.call, arguments)
    now = probe.now if side.clock is None else side.clock
    start_cpu = probe.cpu()
    start = now()
    deque(calls, maxlen=0)
    end = now()
    return Slice(end - start, probe.cpu() - start_cpu)


def fit(side: Side, slice_ns: int, probe: ClockProbe) -> int:
    """Return how many calls fill a slice of about this length, one at least.

    The fastest of some slices counts: after one that was interrupted, all slices of the run would
    be of a call or two, and measure what comes before and after them.
    """
    call_count = 1
    while True:
        slices = [time_slice(side, call_count, probe).elapsed_ns for _ in range(FIT_COUNT)]
        elapsed_ns = max(min(slices), 1)
        if elapsed_ns >= slice_ns // 4:
            return max(1, call_count * slice_ns // elapsed_ns)
        call_count *= 2


class Interleaved:
    """The rounds of some sides, and which of them count."""

    def __init__(self, sides: Sequence[Side], probe: ClockProbe, slice_ns: int) -> None:
        if not 0 < slice_ns <= MAX_SLICE_NS:
            raise ValueError(f"a slice lasts at most {MAX_SLICE_NS} ns, not {slice_ns}")
        self._sides = tuple(sides)
        self._probe = probe
        self._slice_ns = slice_ns
        self._call_counts: tuple[int, ...] = ()
        self.rounds: list[Round] = []

    def extend(self, round_count: int) -> None:
        """Measure so many more rounds."""
        was_collecting = gc.isenabled()
        gc.disable()
        try:
            if not self._call_counts:
                self._call_counts = tuple(
                    fit(side, self._slice_ns, self._probe) for side in self._sides
                )
            for _ in range(round_count):
                self.rounds.append(self._measure_round())
                gc.collect(0)
        finally:
            if was_collecting:
                gc.enable()

    def _measure_round(self) -> Round:
        times_ns: list[float] = []
        interrupted: list[bool] = []
        probes_ns = [self._probe.measure()]
        for side, call_count in zip(self._sides, self._call_counts, strict=True):
            one = time_slice(side, call_count, self._probe)
            times_ns.append(one.elapsed_ns / (call_count * side.operation_count))
            interrupted.append(one.was_interrupted and not side.waits)
            probes_ns.append(self._probe.measure())
        return Round(tuple(times_ns), tuple(interrupted), tuple(probes_ns))

    def steady(self) -> list[Round]:
        """Return the rounds in which every slice was steady, by what is known of the run now."""
        return [one for one in self.rounds if not one.unsteady_count(self._probe)]

    def dropped_slice_count(self) -> int:
        """Count the unsteady slices."""
        return sum(one.unsteady_count(self._probe) for one in self.rounds)
