"""``python -m benches.ratios.verification``: where each way to verify a batch wins."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benches.ratios import docs
from benches.ratios.clock import ClockProbe
from benches.ratios.facts import facts

from . import dalek
from .measure import FULL, QUICK, Measurement
from .results import Report
from .tables import lines

if TYPE_CHECKING:
    from collections.abc import Sequence

LATEST = docs.ROOT / "benches" / "baselines" / "verification.json"
CHART = docs.ROOT / "docs" / "images" / "verification"
"""Without its suffixes: .svg and .png."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    _notice("building ed25519-dalek")
    peer = dalek.load()
    measurement = Measurement(ClockProbe(), effort, peer, notice=_notice)
    report = measurement.report({**facts(), "ed25519-dalek": dalek.version()})
    _notice("")
    print("\n".join(lines(report)))
    if options.json:
        report.write(options.json)
        print(f"recorded in {options.json}")
    if options.write_docs:
        report.write(LATEST)
        write(Report.read(LATEST))
        print(f"recorded in {LATEST}; {docs.PAGE} and its chart show it")


def write(report: Report) -> None:
    """Update the page and its chart."""
    from .chart import draw  # noqa: PLC0415  # matplotlib takes a second to import

    page = docs.PAGE.read_text(encoding="utf-8")
    page = docs.filled(page, {"verification": "\n".join(lines(report))})
    docs.PAGE.write_text(page, encoding="utf-8")
    draw(report, CHART)


def _notice(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benches.ratios.verification", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="a glance: short slices, few rounds")
    parser.add_argument("--json", type=Path, help="record here")
    parser.add_argument("--write-docs", action="store_true", help="record, fill the page, draw")
    return parser


if __name__ == "__main__":
    main()
