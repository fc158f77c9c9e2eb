"""docs/seed-map.md: what it calls here exists, and what it calls open does not."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.docs.walks import ROOT

ROW = re.compile(r"^\| (.+?) \| (here|open|dropped) \| ?(.*?) ?\|$", re.MULTILINE)
TABLE_LINE = re.compile(r"^\| (?!plan|what|---)", re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    plan: str
    state: str
    where: str


TEXT = (ROOT / "docs/seed-map.md").read_text("utf-8")
ROWS = [Row(*found) for found in ROW.findall(TEXT)]


def paths(text: str) -> list[str]:
    """What is quoted and is a path: with a slash inside, or a file at the top."""
    quoted = QUOTED.findall(text)
    return [
        name
        for name in quoted
        if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+/?", name) or name == "Makefile"
    ]


def test_every_line_has_a_state() -> None:
    assert len(ROWS) == len(TABLE_LINE.findall(TEXT))
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", [row for row in ROWS if row.state == "here"], ids=str)
def test_what_is_here_exists(row: Row) -> None:
    named = paths(row.where)
    assert named or row.where == "the same folders"
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("row", [row for row in ROWS if row.state == "open"], ids=str)
def test_what_is_open_does_not_exist(row: Row) -> None:
    # Where it will be is named first; what the plan called it may be that.
    for path in [*paths(row.plan), *paths(row.where)[:1]]:
        assert not (ROOT / path).exists() or path == "rust/sage-core", path


@pytest.mark.parametrize("row", [row for row in ROWS if row.state == "dropped"], ids=str)
def test_what_is_dropped_has_a_reason(row: Row) -> None:
    assert row.where


def test_paths_in_prose_exist() -> None:
    prose = "\n".join(line for line in TEXT.splitlines() if not line.startswith("|"))
    assert len(paths(prose)) >= 3
    for path in paths(prose):
        assert (ROOT / path).exists(), path
