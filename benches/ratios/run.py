"""Measures rows: every row once, then again those that a slow minute has spoilt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .interleave import Interleaved
from .results import Cost, Result
from .statistics import compare, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .clock import ClockProbe
    from .costs import Step
    from .interleave import Round
    from .sides import Row


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        slice_ns: The length of a slice.
        round_count: Rounds of a row at first, and again each time it is topped up.
        steady_count: Rounds that must have been steady, or the row is marked noisy.
        pass_count: How often a row may be measured until it has them.
    """

    slice_ns: int
    round_count: int
    steady_count: int
    pass_count: int


FULL = Effort(slice_ns=2_000_000, round_count=100, steady_count=60, pass_count=6)
QUICK = Effort(slice_ns=1_000_000, round_count=15, steady_count=5, pass_count=1)


def measure_rows(
    rows: Sequence[Row],
    probe: ClockProbe,
    effort: Effort,
    notice: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Measure all rows; `notice` is told which one is under way."""
    runs = [Interleaved(row.sides(), probe, effort.slice_ns) for row in rows]
    names = [f"{row.number} {row.operation}, {row.peer}" for row in rows]
    _measure(runs, names, effort, notice)
    return [_result(row, run, effort) for row, run in zip(rows, runs, strict=True)]


def measure_costs(steps: Sequence[Step], probe: ClockProbe, effort: Effort) -> list[Cost]:
    """Measure the steps of the breakdown against each other; all sides in every round."""
    run = Interleaved([step.side for step in steps], probe, effort.slice_ns // 4)
    _measure([run], ["where the nanoseconds go"], effort, lambda _: None)
    rounds = _rounds(run, effort)
    times_ns = [percentile([one.times_ns[at] for one in rounds], 0.5) for at in range(len(steps))]
    return [Cost(step.name, step.group, ns) for step, ns in zip(steps, times_ns, strict=True)]


def _measure(
    runs: Sequence[Interleaved],
    names: Sequence[str],
    effort: Effort,
    notice: Callable[[str], None],
) -> None:
    for _ in range(effort.pass_count):
        for run, name in zip(runs, names, strict=True):
            if len(run.steady()) < effort.steady_count:
                notice(name)
                run.extend(effort.round_count)


def _rounds(run: Interleaved, effort: Effort) -> list[Round]:
    """Return the rounds that count: the steady ones, or all where too few were."""
    steady = run.steady()
    return steady if len(steady) >= effort.steady_count else run.rounds


def _result(row: Row, run: Interleaved, effort: Effort) -> Result:
    rounds = _rounds(run, effort)
    pairs = [one.times_ns for one in rounds]
    figure = compare(pairs, row.unit)
    return Result(
        row=row.number,
        operation=row.operation,
        peer=row.peer,
        unit=row.unit,
        figure=figure.median,
        low=figure.low,
        high=figure.high,
        ours_ns=percentile([ours for ours, _ in pairs], 0.5),
        peer_ns=percentile([peer for _, peer in pairs], 0.5),
        must=row.must,
        goal=row.goal,
        standing=row.standing,
        pair_count=len(pairs),
        dropped_slice_count=run.dropped_slice_count(),
        is_noisy=len(run.steady()) < effort.steady_count,
    )
