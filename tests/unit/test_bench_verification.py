"""The chart of verification: every way is checked, and page and JSON say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benches.ratios import docs
from benches.ratios.clock import ClockProbe
from benches.ratios.facts import facts
from benches.ratios.rows import signatures
from benches.ratios.run import Effort
from benches.ratios.verification import __main__ as command
from benches.ratios.verification import dalek, ways
from benches.ratios.verification.cases import Cases, signed, spoilt
from benches.ratios.verification.measure import Measurement, Sizes
from benches.ratios.verification.results import KeyTable, Report
from benches.ratios.verification.tables import lines
from sage_native.keys import VerifyingKeyCache, verify_many

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy import bool_
    from numpy.typing import NDArray

    from benches.ratios.verification.ways import Way

SIZES = Sizes(batches=(1, 4), keys=(1, 8, 24), batch_len=8, wrong=(1, 8))
EFFORT = Effort(slice_ns=10_000, round_count=2, steady_count=1, pass_count=1)


class Batcher:
    """What stands for dalek, whose module takes a minute to build: pyca, asked one by one."""

    Key = staticmethod(Ed25519PublicKey.from_public_bytes)

    @staticmethod
    def verify_batch(keys: list[object], signatures: list[bytes], messages: list[bytes]) -> bool:
        for key, signature, message in zip(keys, signatures, messages, strict=True):
            assert isinstance(key, Ed25519PublicKey)
            try:
                key.verify(signature, message)
            except InvalidSignature:
                return False
        return True


def measured(sizes: Sizes = SIZES) -> Report:
    known = {**facts(), "ed25519-dalek": dalek.version()}
    return Measurement(ClockProbe(), EFFORT, Batcher(), sizes).report(known)


@pytest.fixture(scope="module")
def report() -> Report:
    return measured()


def test_every_way_is_measured_at_every_size(report: Report) -> None:
    shapes = [(one.against, one.count, one.way) for one in report.points]
    peers = ("dalek", "pyca", "PyNaCl")
    assert shapes == [
        *(
            ("batch", n, way)
            for n in (1, 4)
            for way in ("cache", "expanded", "one key", "cold", *peers)
        ),
        *(("keys", n, way) for n in (1, 8, 24) for way in ("cache", "cold", *peers)),
    ]
    assert all(0 < one.low_ns <= one.each_ns <= one.high_ns for one in report.points)
    tables = [one.tables for one in report.points if one.way == "cache"]
    assert tables == [1, 4, 1, 8, 24]
    assert [(one.way, one.batch_len, one.wrong_count) for one in report.wrong] == [
        ("cache", 8, 1),
        ("cache", 8, 8),
        ("cold", 8, 1),
        ("cold", 8, 8),
    ]
    assert all(0 < one.low <= one.ratio <= one.high for one in report.wrong)


def test_a_table_takes_what_the_cache_counts(report: Report) -> None:
    assert f"{report.table.table_len / 1024:.0f} KiB a key" == signatures.TABLE
    assert 32 < report.table.key_len < 1 << 10
    assert report.table.budget_len == VerifyingKeyCache().budget_bytes


def test_a_table_pays_after_its_cost_is_saved() -> None:
    table = KeyTable(320, 24_672, 1 << 26, build_ns=100.0, cold_ns=30.0, hot_ns=5.0)
    assert table.pays_after == 4


def test_cases_are_what_they_say() -> None:
    """Pyca, as a referee, finds wrong exactly what was spoilt."""
    cases = spoilt(signed(3, 12), 5)
    assert (len(set(cases.keys)), len(set(cases.messages)), len(cases.wrong)) == (3, 12, 5)
    assert [pyca_accepts(cases, at) for at in range(12)] == cases.verdicts


def pyca_accepts(cases: Cases, at: int) -> bool:
    key = Ed25519PublicKey.from_public_bytes(cases.keys[at])
    try:
        key.verify(cases.signatures[at], cases.messages[at])
    except InvalidSignature:
        return False
    return True


def cached(cases: Cases, batches: ways.Batches) -> Way:
    cache = VerifyingKeyCache()
    ways.warm(cache, signed(4, 4))
    assert cache.statistics().expanded == 4
    return ways.cached(cases, batches, cache)


@pytest.mark.parametrize("way", [ways.cold, ways.expanded, cached])
def test_a_verdict_too_kind_or_too_strict_ends_the_run(
    way: Callable[[Cases, ways.Batches], Way],
) -> None:
    good = signed(4, 4)
    bad = spoilt(good, 2)
    batches = ways.all_at_once(good)
    way(good, batches).check()
    way(bad, batches).check()
    for one in (
        replace(way(good, batches), verdicts=bad.verdicts),
        replace(way(bad, batches), verdicts=good.verdicts),
    ):
        with pytest.raises(ways.WrongVerdictError, match="instead of"):
            one.check()


@pytest.mark.parametrize("way", [ways.pyca, ways.pynacl])
def test_peers_refuse_wrong_signatures(way: Callable[[Cases, ways.Batches], Way]) -> None:
    good = signed(4, 4)
    way(good, ways.all_at_once(good)).check()
    with pytest.raises(Exception, match=r"^$|forged or corrupt"):
        way(spoilt(good, 4), ways.all_at_once(good)).check()


def test_a_batch_of_one_verdict_is_refused_whole() -> None:
    good = signed(4, 4)
    bad = spoilt(good, 1)
    ways.dalek(good, ways.all_at_once(good), Batcher()).check()
    way = ways.dalek(bad, ways.all_at_once(bad), Batcher())
    way.check()
    assert way.verdicts == [False]
    with pytest.raises(ways.WrongVerdictError, match="dalek"):
        replace(way, verdicts=[True]).check()


def test_version_of_dalek() -> None:
    assert dalek.version().split(".")[0] == "3"


def test_a_way_that_accepts_all_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(*batch: list[bytes]) -> NDArray[bool_]:
        good = signed(8, 8)
        verdicts = verify_many(good.keys, good.signatures, good.messages)
        return verdicts if len(batch[0]) == len(verdicts) else verify_many(*batch)

    monkeypatch.setattr(ways, "verify_many", kind)
    with pytest.raises(ways.WrongVerdictError, match="cold"):
        measured(replace(SIZES, batches=(), keys=()))


def test_batches_by_chance_are_of_different_places() -> None:
    batches = ways.by_chance(signed(24, 24), 8)
    first, second = batches(), batches()
    assert first != second
    assert len(set(first)) == len(set(second)) == 8


def test_report_is_read_as_it_was_written(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "verification.json"
    report.write(path)
    once = Report.read(path)
    once.write(path)
    assert Report.read(path) == once
    assert [one.way for one in once.points] == [one.way for one in report.points]
    text = "\n".join(lines(once))
    assert text.count("\n| ") == 3 + len(SIZES.batches) + len(SIZES.keys) + len(once.wrong)
    assert "(24.1 KiB)" in text
    assert f", ed25519-dalek {dalek.version()}\n" in text
    assert "| dalek, whole batch |" in text


def test_page_shows_what_was_recorded() -> None:
    """No figure of the section differs from benches/baselines/verification.json."""
    text = "\n".join(lines(Report.read(command.LATEST)))
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.filled(page, {"verification": text}) == page


def test_chart(report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benches.ratios.verification.chart import draw  # noqa: PLC0415  # it may be absent

    draw(report, tmp_path / "verification")
    svg = (tmp_path / "verification.svg").read_text(encoding="utf-8")
    draw(report, tmp_path / "verification")
    assert svg.startswith("<?xml")
    assert (tmp_path / "verification.svg").read_text(encoding="utf-8") == svg
    assert (tmp_path / "verification.png").read_bytes().startswith(b"\x89PNG")
