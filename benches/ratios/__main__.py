"""``python -m benches.ratios``: measure the table, print it, record it.

A whole run is recorded in benches/baselines/latest.json and shown in docs/performance.md; both
change together. The exit code is 0 whatever the figures are; only a failure of the run itself is
an error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import backends, docs
from .clock import ClockProbe
from .facts import facts
from .imports import import_ms
from .memory import ROW, measure_footprints
from .report import lines
from .results import Run
from .run import FULL, QUICK, measure_costs, measure_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sides import Row


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    if options.write_docs and (options.rows or options.json):
        raise SystemExit(
            "--write-docs wants the whole table in its own place: no --rows, no --json"
        )
    if options.again and (not options.rows or options.quick or options.json):
        raise SystemExit("--again wants --rows, measured at length: no --quick, no --json")
    run = _measured(options.rows, is_quick=options.quick)
    print("\n".join(lines(run)))
    is_whole = not options.quick and not options.rows
    if options.json:
        run.write(options.json)
        print(f"recorded in {options.json}")
    elif is_whole or options.write_docs or options.again:
        recorded = Run.read(docs.LATEST).with_again(run) if options.again else run
        recorded.write(docs.LATEST)
        docs.write(Run.read(docs.LATEST))
        print(f"recorded in {docs.LATEST}; {docs.PAGE} and its chart show it")
    else:
        print("a part of the table, or a quick one, is recorded only with --json")


def _measured(numbers: Sequence[int], *, is_quick: bool) -> Run:
    from .costs import steps  # noqa: PLC0415  # the contenders are imported when options are right
    from .rows import all_rows  # noqa: PLC0415  # as above

    rows: list[Row] = [row for row in all_rows() if not numbers or row.number in numbers]
    missing = set(numbers) - {ROW, *(row.number for row in rows)}
    if missing:
        raise SystemExit(f"not measured here: row {', '.join(map(str, sorted(missing)))}")
    probe, effort = ClockProbe(), QUICK if is_quick else FULL
    try:
        results = measure_rows(rows, probe, effort, _notice)
    finally:
        backends.close()
    costs = [] if numbers else measure_costs(steps(), probe, effort)
    footprints = measure_footprints(_notice) if not numbers or ROW in numbers else []
    _notice("import")
    import_cost = {} if numbers else {"import_ms": round(import_ms(), 1)}
    _notice("")
    return Run({**facts(), **import_cost}, results, costs, footprints)


def _notice(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.ratios", description=__doc__)
    parser.add_argument("--rows", type=_numbers, default=[], help="only these, such as 1,2,8")
    parser.add_argument("--quick", action="store_true", help="a glance: short slices, few pairs")
    parser.add_argument("--json", type=Path, help="record here, and leave the docs")
    parser.add_argument("--write-docs", action="store_true", help="record a quick run as well")
    parser.add_argument(
        "--again", action="store_true", help="put the rows into the recorded run, which says so"
    )
    return parser


if __name__ == "__main__":
    main()
