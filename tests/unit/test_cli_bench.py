"""bench, and the measuring that it shares with the demonstration."""

from __future__ import annotations

import gc
import json
from functools import partial

import pytest

from sage_native.cli import contestants, measure, rates
from tests.command_line import run


def test_bench_prints_json_that_parses() -> None:
    done = run("bench", "--rounds", "1", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    document = json.loads(done.stdout)
    assert [row["operation"] for row in document["operations"]] == list(contestants.OPERATIONS)
    assert "cryptography" in document["peers"]
    for row in document["operations"]:
        ours = row["per_second"]["sage_native"]
        ratio = row["ratio"]["cryptography"]
        assert ours > 0
        assert ratio["low"] <= ratio["median"] <= ratio["high"]


def test_bench_prints_a_table() -> None:
    done = run("bench", "--rounds", "1")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    for operation in contestants.OPERATIONS:
        assert operation in text
    assert "public-key operations alone" in text


def test_a_library_that_is_missing_loses_its_column_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rates, "peer_versions", lambda: {"cryptography": "0"})
    rows = rates.measure(round_count=1, slice_s=0.001)
    rates.show(rows)
    text = capsys.readouterr().out
    assert "PyNaCl is not installed: no column for it" in text
    assert text.count("PyNaCl") == 1
    assert "ratio" in text


def test_every_library_does_every_operation() -> None:
    given = contestants.Inputs()
    for calls in (
        contestants.native_calls(given),
        contestants.cryptography_calls(given),
        contestants.pynacl_calls(given),
    ):
        assert set(calls) <= set(contestants.OPERATIONS)
        for call in calls.values():
            call()
    assert set(contestants.native_calls(given)) == set(contestants.OPERATIONS)


def test_contestants_take_turns_and_the_collector_rests() -> None:
    order: list[str] = []

    def contestant(name: str) -> None:
        assert not gc.isenabled()
        if not order or order[-1] != name:
            order.append(name)

    comparison = measure.compare(
        {name: partial(contestant, name) for name in "ab"}, round_count=3, slice_s=0.001
    )
    assert gc.isenabled()
    assert order == list("abababab")  # once to count, then three rounds
    assert len(comparison.rounds) == 3
    assert comparison.ratios("a", "b") == sorted(comparison.ratios("a", "b"))
    assert comparison.rate("a") > 0


@pytest.mark.parametrize(("round_count", "slice_s"), [(0, 0.01), (1, 0.0), (1, 0.051)])
def test_slices_are_short(round_count: int, slice_s: float) -> None:
    with pytest.raises(ValueError, match="MAX_SLICE_S"):
        measure.compare({}, round_count=round_count, slice_s=slice_s)
