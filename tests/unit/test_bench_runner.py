"""The ratio runner: arithmetic under a fake clock, files, and that both sides do the same."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, count, repeat
from typing import TYPE_CHECKING

import pytest

from benches.ratios import __main__ as command
from benches.ratios import backends, docs, report
from benches.ratios.clock import ClockProbe
from benches.ratios.costs import steps
from benches.ratios.facts import facts, machine_class
from benches.ratios.http import contenders
from benches.ratios.interleave import MAX_SLICE_NS, Interleaved, Slice, fit, time_slice
from benches.ratios.memory import Footprint, footprint_of
from benches.ratios.results import Cost, Result, Run
from benches.ratios.rows import all_rows
from benches.ratios.rows.replay import Load
from benches.ratios.run import Effort, measure_rows
from benches.ratios.sides import Row, Side, always, in_turn
from benches.ratios.statistics import compare, percentile, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benches.ratios.sides import Arguments, Standing, Unit


class FakeClock:
    """Stands still until somebody works."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def work(self, ns: int) -> None:
        self.ns += ns

    def probe(self, spins_ns: Iterable[int] = repeat(100)) -> ClockProbe:
        times = iter(spins_ns)
        return ClockProbe(self, lambda: self.work(next(times)), self)

    def side(self, call_ns: int, operation_count: int = 1) -> Side:
        return Side(self.work, always(call_ns), operation_count)


RESULT = Result(
    row=8,
    operation="seal",
    peer="pyca",
    unit="x",
    figure=4.56789,
    low=4.0,
    high=5.0,
    ours_ns=100.0,
    peer_ns=456.789,
    must=4,
    goal=5,
    standing="due",
    pair_count=60,
    dropped_slice_count=3,
    is_noisy=False,
)


def test_percentiles() -> None:
    assert [percentile([3, 1, 2], share) for share in (0, 0.5, 1)] == [1, 2, 3]
    assert percentile([1, 2], 0.5) == 1.5
    assert percentile([7], 0.9) == 7
    figures = spread([float(value) for value in range(101)])
    assert (figures.low, figures.median, figures.high) == (10, 50, 90)
    with pytest.raises(ValueError, match="no value"):
        percentile([], 0.5)


def test_ratios_are_taken_pair_by_pair() -> None:
    """A machine at half speed during one pair changes nothing."""
    pairs = [(10.0, 40.0), (20.0, 80.0), (10.0, 40.0)]
    assert compare(pairs, "x") == spread([4.0, 4.0, 4.0])
    assert compare([(50.0, 30.0), (55.0, 35.0)], "ns") == spread([20.0, 20.0])


def test_preparation_is_not_timed() -> None:
    clock = FakeClock()

    def prepare(count: int) -> Iterator[Arguments]:
        clock.work(1_000_000)
        return iter([(7,)] * count)

    assert time_slice(Side(clock.work, prepare), 10, clock.probe()) == Slice(70, 70)


def test_a_side_may_have_a_clock_of_its_own() -> None:
    """What a server used counts, not how long it took."""
    clock, server = FakeClock(), FakeClock()

    def call() -> None:
        clock.work(1_000)
        server.work(30)

    assert time_slice(Side(call, always(), clock=server), 2, clock.probe()).elapsed_ns == 60


@pytest.mark.parametrize(("call_ns", "call_count"), [(10, 100), (1_000, 1), (5_000, 1), (3, 333)])
def test_fit(call_ns: int, call_count: int) -> None:
    clock = FakeClock()
    assert fit(clock.side(call_ns), 1_000, clock.probe()) == call_count


def test_an_interruption_does_not_fit() -> None:
    clock, counts = FakeClock(), count(1)

    def call() -> None:
        clock.work(5_000 if next(counts) == 1 else 10)

    assert fit(Side(call, always()), 1_000, clock.probe()) == 100


def test_sides_take_turns_with_probes_between() -> None:
    clock, log = FakeClock(), list[str]()

    def side(name: str, ns: int) -> Side:
        def call() -> None:
            clock.work(ns)
            log.append(name)

        return Side(call, always())

    def spin() -> None:
        clock.work(5)
        log.append("probe")

    run = Interleaved([side("A", 10), side("B", 30)], ClockProbe(clock, spin, clock), 30)
    run.extend(1)
    log.clear()
    run.extend(2)
    probe = ["probe"] * 3
    one = [*probe, *"AAA", *probe, *"B", *probe]
    assert log == one * 2
    assert [one.times_ns for one in run.rounds] == [(10, 30)] * 3


def test_time_is_per_operation() -> None:
    clock = FakeClock()
    run = Interleaved([clock.side(6400, operation_count=64)], clock.probe(), 10_000)
    run.extend(1)
    assert run.rounds[0].times_ns == (100,)


def test_rounds_with_an_unsteady_slice_are_dropped() -> None:
    """A probe more than 5 % off the run's best spoils the slices on both sides of it."""
    clock = FakeClock()
    steady, slow = [100] * 3, [106] * 3
    probes = chain(steady, steady, steady, steady, slow, steady, slow, steady, steady)
    run = Interleaved([clock.side(10), clock.side(20)], clock.probe(probes), 100)
    run.extend(3)
    assert [len(run.steady()), run.dropped_slice_count()] == [1, 3]


def test_rounds_with_an_interrupted_slice_are_dropped() -> None:
    """The wall clock went on while another process had the processor."""
    clock, cpu = FakeClock(), FakeClock()
    waits_ns = iter([0, 0, 0, 0, 100, 0])  # three slices fit the count

    def call() -> None:
        cpu.work(100)
        clock.work(100 + next(waits_ns))

    probe = ClockProbe(clock, lambda: clock.work(10), cpu)
    run = Interleaved([Side(call, always())], probe, 100)
    run.extend(3)
    assert [one.times_ns for one in run.rounds] == [(100,), (200,), (100,)]
    assert [one.interrupted for one in run.rounds] == [(False,), (True,), (False,)]
    assert [len(run.steady()), run.dropped_slice_count()] == [2, 1]
    assert Slice(1000, 950).was_interrupted is False


def test_one_interruption_does_not_spoil_a_probe() -> None:
    probe = FakeClock().probe([100, 5_000, 101])
    assert probe.measure() == 100
    assert probe.is_steady(105)
    assert not probe.is_steady(100, 106)


def test_a_faster_clock_later_drops_what_came_before() -> None:
    clock = FakeClock()
    run = Interleaved([clock.side(10)], clock.probe(chain([120] * 6, repeat(100))), 100)
    run.extend(1)
    assert len(run.steady()) == 1
    run.extend(1)
    assert [len(run.rounds), len(run.steady())] == [2, 1]


def test_slices_are_short() -> None:
    clock = FakeClock()
    for slice_ns in (0, MAX_SLICE_NS + 1):
        with pytest.raises(ValueError, match="50000000"):
            Interleaved([clock.side(1)], clock.probe(), slice_ns)


def test_rows_are_topped_up_until_enough_rounds_were_steady() -> None:
    clock = FakeClock()
    row = Row(1, "sign", "pyca", lambda: (clock.side(10), clock.side(40)), 3.5, 4.5)
    effort = Effort(slice_ns=100, round_count=2, steady_count=3, pass_count=4)
    (result,) = measure_rows([row], clock.probe(), effort)
    assert (result.figure, result.ours_ns, result.peer_ns) == (4, 10, 40)
    assert (result.pair_count, result.dropped_slice_count, result.is_noisy) == (4, 0, False)
    noise = chain.from_iterable([100, 100, 100, 200, 200, 200] for _ in repeat(None))
    (result,) = measure_rows([row], clock.probe(noise), effort)
    assert (result.figure, result.pair_count, result.is_noisy) == (4, 8, True)
    assert result.dropped_slice_count == 16


@pytest.mark.parametrize(
    ("standing", "unit", "figure", "verdict"),
    [
        ("due", "x", 5.0, "goal"),
        ("due", "x", 4.0, "must"),
        ("due", "x", 3.99, "MISSED"),
        ("due", "ns", 4.0, "must"),
        ("due", "ns", 4.1, "MISSED"),
        ("next", "x", 1.0, "next"),
        ("beside", "x", 9.0, "beside"),
    ],
)
def test_verdicts(standing: Standing, unit: Unit, figure: float, verdict: str) -> None:
    goal = 5 if unit == "x" else 3
    result = replace(RESULT, standing=standing, unit=unit, figure=figure, goal=goal)
    assert result.verdict == verdict


def test_json_layout(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "latest.json"
    nanoseconds = replace(RESULT, row=17, unit="ns", figure=12.0, must=100, goal=65)
    footprints = [Footprint("nonce", 10, 13.1, 32, 16), Footprint("in a dict", 10, 260.0)]
    Run(facts(), [RESULT, nanoseconds], [Cost("sealing", "seal", 12.0)], footprints).write(path)
    document = json.loads(path.read_bytes())
    assert list(document) == ["commit", "taken_at", "machine", "costs", "rows", "memory"]
    assert [one["verdict"] for one in document["memory"]] == ["goal", "beside"]
    assert set(document["machine"]) == {
        "cpu", "flags", "class", "governor", "system", "python", "openssl", "packages",
    }  # fmt: skip
    first, second = document["rows"]
    wanted = {"row", "operation", "peer", "ratio", "low", "high", "ours_ns", "peer_ns"}
    assert wanted < set(first)
    assert (first["ratio"], first["difference_ns"]) == (4.568, None)
    assert (second["ratio"], second["difference_ns"]) == (None, 12)
    assert (first["verdict"], first["peer_ns"]) == ("must", 456.8)
    again = Run.read(path)
    again.write(path)
    assert json.loads(path.read_bytes()) == document
    assert again.results[1] == replace(nanoseconds, peer_ns=456.8)
    assert again.footprints == footprints


def test_rows_are_measured_again() -> None:
    other = replace(RESULT, peer="another")
    run = Run({"commit": "one", "taken_at": "then"}, [other, RESULT], [])
    better = replace(RESULT, figure=9.0)
    again = run.with_again(Run({"commit": "two", "taken_at": "now"}, [better], []))
    assert again.results == [other, better]
    noted = {"rows": [RESULT.row], "commit": "two", "taken_at": "now"}
    assert again.facts == {**run.facts, "again": [noted]}
    assert again.with_again(Run(run.facts, [other], [])).facts["again"][0] == noted
    with pytest.raises(ValueError, match="no row"):
        run.with_again(Run(run.facts, [replace(RESULT, operation="unknown")], []))


@pytest.mark.parametrize(
    "arguments", [["--again"], ["--again", "--rows", "1", "--quick"], ["--again", "--quick"]]
)
def test_again_wants_rows_at_length(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="--again wants --rows"):
        command.main(arguments)


def test_footprints_have_their_lines() -> None:
    verdicts = [Footprint("nonce", 1, each_len, 32, 16).verdict for each_len in (16, 32, 32.1)]
    assert verdicts == ["goal", "must", "MISSED"]


def test_a_footprint_is_measured_in_a_process_of_its_own() -> None:
    nonce, other = footprint_of("nonces", 100_000), footprint_of("dict", 100_000)
    assert 8 < nonce < other
    assert 256 < footprint_of("idle", 500) < footprint_of("used", 500)


def test_machine_classes() -> None:
    old = ["adx", "avx2", "avx512f"]
    new = [*old, "avx512ifma", "vaes", "vpclmulqdq", "sha_ni"]
    assert [machine_class(flags) for flags in (old, new, [])] == [
        "old server",
        "new server",
        "other",
    ]


def test_report_names_what_is_missed() -> None:
    noisy = replace(RESULT, row=9, figure=1.0, is_noisy=True)
    text = "\n".join(report.lines(Run(facts(), [RESULT, noisy], [])))
    assert "MISSED their must: 9 seal (pyca)" in text
    assert "~1.00x" in text
    text = "\n".join(report.lines(Run(facts(), [RESULT], [])))
    assert "every row that is due holds its must" in text


def test_steps_add_up_within_their_group() -> None:
    costs = [Cost("a", "one", 10), Cost("b", "one", 25), Cost("c", "two", 7)]
    assert [added for _, added in report.with_added(costs)] == [10, 15, 7]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (78.4, "78 ns"), (1_234, "1.23 µs"), (37_060, "37.1 µs"), (2.5e6, "2.5 ms")],
)
def test_durations(ns: float, text: str) -> None:
    assert report.duration(ns) == text


def test_page_is_filled_between_its_markers() -> None:
    page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n"
    once = docs.filled(page, {"x": r"new \1"})
    assert once == "a\n<!-- x:begin -->\nnew \\1\n<!-- x:end -->\nb\n"
    assert docs.filled(once, {"x": r"new \1"}) == once
    with pytest.raises(ValueError, match="must stand in the page once"):
        docs.filled(page, {"y": ""})


def test_page_shows_what_was_recorded() -> None:
    """No figure in docs/performance.md or README.md differs from benches/baselines/latest.json."""
    run = Run.read(docs.LATEST)
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.filled(page, docs.sections(run)) == page
    front = docs.FRONT.read_text(encoding="utf-8")
    assert docs.filled(front, {"ratios": "\n".join(docs.front(run))}) == front


def test_chart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benches.ratios.chart import draw  # noqa: PLC0415  # matplotlib may be absent

    draw(Run(facts(), [RESULT, replace(RESULT, standing="next")], []), tmp_path / "ratios")
    svg = (tmp_path / "ratios.svg").read_text(encoding="utf-8")
    draw(Run(facts(), [RESULT, replace(RESULT, standing="next")], []), tmp_path / "ratios")
    assert svg.startswith("<?xml")
    assert (tmp_path / "ratios.svg").read_text(encoding="utf-8") == svg
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(autouse=True)
def few_live_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "live_count", 5_000)


@pytest.fixture(autouse=True)
def few_clients_of_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "CLIENT_COUNT", 8)


def first_call(side: Side) -> object:
    (arguments,) = side.prepare(1)
    return side.seen(side.call(*arguments))


@pytest.fixture(scope="module", autouse=True)
def close_backends() -> Iterator[None]:
    """Stop the servers that rows about storage start."""
    yield
    backends.close()


@pytest.mark.parametrize(
    "row", all_rows(), ids=lambda row: f"{row.number} {row.operation} {row.peer}"
)
def test_both_sides_give_the_same(row: Row) -> None:
    ours, peer = row.sides()
    assert first_call(ours) == first_call(peer)
    assert first_call(ours) == first_call(peer)


def test_every_row_that_is_due_has_its_lines() -> None:
    for row in all_rows():
        assert (row.standing == "beside") == (row.must is None) == (row.goal is None)
    assert {row.number for row in all_rows()} == {*range(1, 19), 20, 21}


def test_steps_of_the_breakdown_work() -> None:
    for step in steps():
        first_call(step.side)


def test_arguments_in_turn() -> None:
    assert list(in_turn([(1,), (2,)])(3)) == [(1,), (2,), (1,)]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "part.json"
    command.main(["--quick", "--rows", "17", "--json", str(path)])
    assert {result.row for result in Run.read(path).results} == {17}
    assert "Boundary" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="not measured here: row 99"):
        command.main(["--rows", "99,17"])
    for option in (["--rows", "17"], ["--json", str(path)]):
        with pytest.raises(SystemExit, match="wants the whole table"):
            command.main([*option, "--write-docs"])
