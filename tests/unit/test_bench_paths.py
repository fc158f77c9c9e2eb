"""The figures of each path: every path is measured, and page and JSON say the same."""

from __future__ import annotations

import pytest

from benches.ratios import docs, paths
from benches.ratios.clock import ClockProbe
from benches.ratios.facts import facts
from benches.ratios.rows.signatures import ROWS
from benches.ratios.run import Effort
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _kernels,
    _take_curve25519_path,
)

EFFORT = Effort(slice_ns=10_000, round_count=2, steady_count=1, pass_count=1)


def test_every_path_is_measured_and_the_fastest_taken_again() -> None:
    before = _kernels()
    rows = [row for row in ROWS if row.number == 3 and row.must is not None]
    figures = paths.measure(rows, EFFORT, ClockProbe())
    assert [one.path for one in figures] == _curve25519_paths()
    assert all(0 < one.low <= one.ratio <= one.high for one in figures)
    assert _kernels() == before
    text = "\n".join(paths.lines(paths.Report(facts(), figures)))
    assert text.count("\n| ") == 2


def test_a_path_that_is_not_there_is_refused() -> None:
    before = _kernels()
    with pytest.raises(ValueError, match="no such path"):
        _take_curve25519_path("abacus")
    assert _kernels() == before


def test_page_shows_what_was_recorded() -> None:
    text = "\n".join(paths.lines(paths.Report.read(paths.LATEST)))
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.filled(page, {"paths": text}) == page
