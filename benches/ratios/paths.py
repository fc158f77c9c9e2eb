"""``python -m benches.ratios.paths``: signatures on each path that Curve25519 has here.

A processor without AVX-512 IFMA takes another path than one with it. Where a processor has
several, each can be taken in turn: this measures rows 2 to 6 on all of them, in the same rounds.
What counts is the time that this thread had the processor, since a round of five sides is long.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sage_native._native import (
    _curve25519_paths,
    _take_curve25519_path,
)

from . import docs
from .clock import ClockProbe
from .facts import facts
from .interleave import Interleaved, time_slice
from .report import duration, figure, line
from .run import Effort
from .statistics import compare, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from .sides import Arguments, Row, Side

LATEST = docs.ROOT / "benches" / "baselines" / "paths.json"
NUMBERS = (2, 3, 4, 5, 6)
FULL = Effort(slice_ns=4_000_000, round_count=30, steady_count=12, pass_count=4)
QUICK = Effort(slice_ns=1_000_000, round_count=5, steady_count=3, pass_count=1)


@dataclass(frozen=True)
class PathFigure:
    """One row on one path.

    Attributes:
        row: The row of the goals.
        operation: What is done, in words.
        path: Which path is taken.
        ratio: pyca's time over ours, the median of the rounds.
        low: The 10th percentile.
        high: The 90th percentile.
        each_ns: Our time for each signature.
        must: The line below which the row is missed.
        goal: Where it is going.
        is_noisy: Too few rounds were steady; then all are shown.
    """

    row: int
    operation: str
    path: str
    ratio: float
    low: float
    high: float
    each_ns: float
    must: float | None
    goal: float | None
    is_noisy: bool


@dataclass(frozen=True)
class Report:
    """Everything that one run measured, and on what."""

    facts: dict[str, Any]
    figures: list[PathFigure]

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        document = {**self.facts, "figures": [asdict(one) for one in self.figures]}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Invert `write`."""
        document = json.loads(path.read_bytes())
        figures = document.pop("figures")
        return cls(document, [PathFigure(**one) for one in figures])


def measure(
    rows: Sequence[Row],
    effort: Effort,
    probe: ClockProbe,
    notice: Callable[[str], None] = lambda _: None,
) -> list[PathFigure]:
    """Measure rows on every path, which is the fastest again afterwards."""
    try:
        return [one for row in rows for one in _measured(row, effort, probe, notice)]
    finally:
        _take_curve25519_path(None)


def lines(report: Report) -> Iterator[str]:
    """Give the table of docs/performance.md, and of the terminal."""
    machine, paths = (
        report.facts["machine"],
        list(dict.fromkeys(one.path for one in report.figures)),
    )
    yield f"* Processor: {machine['cpu']}, class *{machine['class']}*; {machine['openssl']}"
    yield f"* Taken: {report.facts['taken_at']} at commit `{report.facts['commit']}`"
    yield ""
    yield f"| # | operation | {' | '.join(f'`{path}`' for path in paths)} | must | goal |"
    yield f"|--:|---|{'--:|' * (len(paths) + 2)}"
    for operation in dict.fromkeys(one.operation for one in report.figures):
        here = [one for one in report.figures if one.operation == operation]
        cells = [str(here[0].row), operation, *map(_cell, here)]
        yield f"| {' | '.join([*cells, line(here[0].must, 'x'), line(here[0].goal, 'x')])} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    from .rows.signatures import ROWS  # noqa: PLC0415  # the peers are imported when options are right

    options = _parser().parse_args(arguments)
    rows = [row for row in ROWS if row.number in NUMBERS and row.must is not None]
    effort = QUICK if options.quick else FULL
    report = Report(facts(), measure(rows, effort, ClockProbe(), _notice))
    _notice("")
    print("\n".join(lines(report)))
    if options.write_docs:
        report.write(LATEST)
        text = "\n".join(lines(Report.read(LATEST)))
        page = docs.filled(docs.PAGE.read_text(encoding="utf-8"), {"paths": text})
        docs.PAGE.write_text(page, encoding="utf-8")
        print(f"recorded in {LATEST}; {docs.PAGE} shows it")


def _measured(
    row: Row, effort: Effort, probe: ClockProbe, notice: Callable[[str], None]
) -> Iterator[PathFigure]:
    paths = _curve25519_paths()
    ours, peer = row.sides()
    sides = [*(_on(path, ours) for path in paths), replace(peer, clock=time.thread_time_ns)]
    for side in sides:
        # What is built at first use is no part of a slice, nor of how many calls fill one.
        time_slice(side, 1, probe)
    run = Interleaved(sides, probe, effort.slice_ns)
    for _ in range(effort.pass_count):
        if len(run.steady()) < effort.steady_count:
            notice(row.operation)
            run.extend(effort.round_count)
    is_noisy = len(run.steady()) < effort.steady_count
    times_ns = [one.times_ns for one in (run.rounds if is_noisy else run.steady())]
    for at, path in enumerate(paths):
        ratio = compare([(times[at], times[-1]) for times in times_ns], "x")
        each_ns = percentile([times[at] for times in times_ns], 0.5)
        yield PathFigure(
            row=row.number,
            operation=row.operation,
            path=path,
            ratio=round(ratio.median, 3),
            low=round(ratio.low, 3),
            high=round(ratio.high, 3),
            each_ns=round(each_ns),
            must=row.must,
            goal=row.goal,
            is_noisy=is_noisy,
        )


def _on(path: str, side: Side) -> Side:
    """Return the same side, for which a path is taken before each slice."""

    def prepare(count: int) -> Iterable[Arguments]:
        _take_curve25519_path(path)
        return side.prepare(count)

    return replace(side, prepare=prepare, clock=time.thread_time_ns)


def _cell(one: PathFigure) -> str:
    noisy = " (noisy)" if one.is_noisy else ""
    return f"**{figure(one.ratio, 'x')}**{noisy}, {duration(one.each_ns)}"


def _notice(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.ratios.paths", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a glance: short slices, few rounds")
    parser.add_argument("--write-docs", action="store_true", help="record, and fill the page")
    return parser


if __name__ == "__main__":
    main()
