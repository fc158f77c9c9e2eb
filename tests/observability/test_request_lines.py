"""Lines of requests that are told of when they are over: the same, one by one and many at once."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_native.exceptions import UsageError
from sage_native.observability import record_lines
from sage_native.observability.access import RequestLog
from sage_native.observability.answered import RECORD_ROUTE, ended_of
from sage_native.observability.logging import configure_logging
from sage_native.observability.pseudonyms import KEY_LEN, Pseudonyms
from sage_native.observability.record_lines import RecordLines
from tests.observability.records import records_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import Scope

    from sage_native.observability.answered import AnsweredRecord
    from sage_native.observability.middleware import Ended

PSEUDONYMS = Pseudonyms(bytes(KEY_LEN))
SESSION_ID = "01234567-89ab-cdef-0123-456789abcdef"
OTHER_ID = "01234567-89ab-cdef-0123-000000000000"
IDS = ("1" * 32, "2" * 16)
KNOWN = {"sage.route": RECORD_ROUTE, "sage.session": SESSION_ID}


def scope_of(**members: Any) -> Scope:  # noqa: ANN401 - any members
    return {"type": "http", "method": "POST", "path": "/", "headers": [], **members}


def written(path: Path, tell: Callable[[RequestLog], None], **options: Any) -> list[str]:  # noqa: ANN401
    """Return the lines that a log writes of what it is told."""
    log_output = configure_logging(output=str(path), pseudonyms=PSEUDONYMS, **options)
    tell(RequestLog(log_output, PSEUDONYMS, quiet_routes=("/quiet",)))
    log_output.close()
    return path.read_text("utf-8").rstrip("\n").split("\n")


def test_a_late_line_is_the_line_of_its_request(tmp_path: Path) -> None:
    ended: list[Ended] = [
        (scope_of(**KNOWN, **{"sage.problem": "replay_detected"}), 409, 90, 1.0, 1.5, None),
        (scope_of(**KNOWN), 200, None, 1.0, 1.5, None),
        (scope_of(**KNOWN), None, None, 1.0, 1.5, ZeroDivisionError("secret")),
        (scope_of(**{"sage.route": "/quiet"}), 200, 2, 1.0, 1.5, None),
    ]
    lines = [
        json.loads(line) for line in written(tmp_path / "log", lambda log: log.finish_many(ended))
    ]
    assert len({line["request_id"] for line in lines}) == 3, "what is quiet has no line"
    session = PSEUDONYMS.of_session(SESSION_ID)
    assert all(line["session"] == session and line["route"] == RECORD_ROUTE for line in lines)
    assert [line["status"] for line in lines] == [409, 200, None]
    assert lines[0]["problem"] == "replay_detected"
    assert (lines[2]["level"], lines[2]["error"]) == ("error", "ZeroDivisionError")


def test_only_failures_are_written_where_only_failures_are_wanted(tmp_path: Path) -> None:
    ended: list[Ended] = [
        (scope_of(), 200, 2, 1.0, 1.5, None),
        (scope_of(), 500, 2, 1.0, 1.5, None),
    ]

    def tell(log: RequestLog) -> None:
        log.finish_many(ended)
        assert not log.takes_records
        log.finish_records(records_of((SESSION_ID, 112, 1.0, 1.5, None, None)))

    [line] = written(tmp_path / "log", tell, level="warning")
    assert json.loads(line)["status"] == 500


def test_lines_of_records_for_people(tmp_path: Path) -> None:
    records = records_of((SESSION_ID, 112, 1.0, 1.0125, "named", IDS))
    [line] = written(tmp_path / "log", lambda log: log.finish_records(records), format="console")
    assert line[9:].startswith("info    request  ")
    for part in ("request_id=named", PSEUDONYMS.of_session(SESSION_ID), f"trace_id={IDS[0]}"):
        assert part in line


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([SESSION_ID, OTHER_ID]),
        st.integers(64, 1_048_640),
        st.floats(0, 100),
        st.floats(100, 1100),
        st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
        st.sampled_from([None, IDS]),
    ),
    min_size=1,
    max_size=20,
)


def spelt(
    spell: RecordLines, records: list[AnsweredRecord], *, epoch_s: float, names: bytes = b""
) -> list[str]:
    """Return the lines of records on a clock that shows 0 at a time, with these names drawn."""
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(time=lambda: epoch_s + 7.0, perf_counter=lambda: 7.0)
        patch.setattr(record_lines, "time", clock)
        if names:
            patch.setattr(record_lines, "os", SimpleNamespace(urandom=lambda _: names))
        pieces = spell(records_of(*records))
    lines = [piece.decode().split("\n") for piece, _ in pieces]
    assert [len(some) for some in lines] == [count for _, count in pieces]
    return list(chain.from_iterable(lines))


def lines_of(records: list[AnsweredRecord], **options: Any) -> list[str]:  # noqa: ANN401
    return spelt(RecordLines(PSEUDONYMS, level="info"), records, **options)


def expected(record: AnsweredRecord, *, name: str, epoch_s: float) -> str:
    """Return the line of a record, spelt by the standard library."""
    session_id, sent_len, begun_s, ended_s, given, span = record
    at = datetime(1970, 1, 1) + timedelta(microseconds=int((ended_s + epoch_s) * 1e6))  # noqa: DTZ001
    took = Decimal(int(max(ended_s - begun_s, 0.0) * 1e6 + 0.5)) / 1000
    members: dict[str, object] = {
        "time": at.isoformat(timespec="microseconds") + "Z",
        "level": "info",
        "event": "request",
        "pid": os.getpid(),
        "request_id": given or name,
        "method": "POST",
        "route": RECORD_ROUTE,
        "status": 200,
        "duration_ms": "TOOK",
        "sent_len": sent_len,
        "session": PSEUDONYMS.of_session(session_id),
    }
    if span is not None:
        members["trace_id"], members["span_id"] = span
    line = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    return line.replace('"TOOK"', f"{took:.3f}")


@given(RECORDS, st.floats(-2e9, 4e9), st.binary(min_size=160, max_size=160))
def test_lines_are_byte_by_byte_those_of_the_standard_library(
    records: list[AnsweredRecord], epoch_s: float, drawn: bytes
) -> None:
    drawn = drawn[: 8 * len(records)]
    found = lines_of(records, epoch_s=epoch_s, names=drawn)
    since_epoch_s = (epoch_s + 7.0) - 7.0
    assert found == [
        expected(one, name=drawn[8 * at : 8 * at + 8].hex(), epoch_s=since_epoch_s)
        for at, one in enumerate(records)
    ]


@given(RECORDS)
def test_the_line_of_a_record_is_that_of_any_request(
    tmp_path_factory: pytest.TempPathFactory, records: list[AnsweredRecord]
) -> None:
    """The same members in the same order, and the same values; but the time is that of its end."""
    path = tmp_path_factory.mktemp("lines") / "log"
    ended = [ended_of(one) for one in records]
    expected = [json.loads(line) for line in written(path, lambda log: log.finish_many(ended))]
    found = [json.loads(line) for line in lines_of(records, epoch_s=1_800_000_000.0)]
    for line, wanted, record in zip(found, expected, records, strict=True):
        assert list(line) == list(wanted)
        moment = datetime.fromisoformat(line.pop("time"))
        assert moment.timestamp() == pytest.approx(1_800_000_000.0 + record[3], abs=2e-6)
        assert line.pop("duration_ms") == pytest.approx(wanted.pop("duration_ms"), abs=0.0011)
        del wanted["time"]
        if record[4] is None:
            assert line.pop("request_id") != wanted.pop("request_id")
        assert line == wanted


@pytest.mark.parametrize(
    ("ended_s", "epoch_s", "moment"),
    [
        (0.0, 1_800_000_000.0, "2027-01-15T08:00:00.000000Z"),
        (0.999_999_5, 1_800_000_000.0, "2027-01-15T08:00:00.999999Z"),
        (1.0, 1_800_000_000.0, "2027-01-15T08:00:01.000000Z"),
        (86_399.25, 1_709_164_800.0, "2024-02-29T23:59:59.250000Z"),
    ],
)
def test_the_time_of_a_line_is_in_utc_to_the_microsecond(
    ended_s: float, epoch_s: float, moment: str
) -> None:
    [line] = lines_of([(SESSION_ID, 112, ended_s, ended_s, None, None)], epoch_s=epoch_s)
    assert line.startswith(f'{{"time":"{moment}",')


def test_a_name_that_an_application_made_cannot_break_a_line() -> None:
    [line] = lines_of([(SESSION_ID, 1, 0.0, 1.0, 'a"}\n{"b', ('"', "\\"))], epoch_s=0.0)
    found = json.loads(line)
    assert (found["request_id"], found["trace_id"], found["span_id"]) == ('a"}\n{"b', '"', "\\")


def test_pseudonyms_are_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_lines, "MAX_KNOWN", 8)
    spell = RecordLines(PSEUDONYMS, level="info")
    for number in range(100):
        [line] = spelt(spell, [(f"session-{number}", 1, 0.0, 1.0, None, None)], epoch_s=0.0)
        assert json.loads(line)["session"] == PSEUDONYMS.of_session(f"session-{number}")
        assert 1 <= spell.known_count <= 8


def test_each_request_has_a_name_of_its_own() -> None:
    lines = lines_of([(SESSION_ID, 112, 0.0, 1.0, None, None)] * 500, epoch_s=0.0)
    assert len({json.loads(line)["request_id"] for line in lines}) == 500


def test_what_is_no_record_is_refused() -> None:
    for names in (bytes(8), bytes(24)):
        with pytest.raises(UsageError, match="16 characters"):
            lines_of([(SESSION_ID, 1, 0.0, 1.0, None, None)] * 2, epoch_s=0.0, names=names)
    with pytest.raises(TypeError):
        records_of((SESSION_ID, "1", 0.0, 1.0, None, None))  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        records_of((SESSION_ID, -1, 0.0, 1.0, None, None))


def test_a_pseudonym_that_cannot_be_told_is_asked_for_again() -> None:
    """What the hash raises is raised, and nothing is remembered of it."""
    wanted: list[str] = []

    class Failing(Pseudonyms):
        def of_session(self, session_id: str) -> str:
            wanted.append(session_id)
            if len(wanted) == 1:
                raise ZeroDivisionError
            return super().of_session(session_id)

    spell = RecordLines(Failing(bytes(KEY_LEN)), level="info")
    records = records_of(*[(SESSION_ID, 1, 0.0, 1.0, None, None)] * 2)
    with pytest.raises(ZeroDivisionError):
        spell(records)
    assert spell.known_count == 0
    [(piece, _)] = spell(records)
    lines = piece.split(b"\n")
    assert [json.loads(line)["session"] for line in lines] == [
        PSEUDONYMS.of_session(SESSION_ID)
    ] * 2
    assert wanted == [SESSION_ID] * 2, "learnt once"


@given(RECORDS)
def test_what_was_added_is_there_until_it_is_taken(records: list[AnsweredRecord]) -> None:
    added = records_of(*records)
    assert len(added) == len(records)
    assert added.rows() == records
    taken = added.take()
    assert (taken.rows(), added.rows()) == (records, [])
    added.add(SESSION_ID, 64, 1.0, 2.0)
    assert (len(taken), added.rows()) == (len(records), [(SESSION_ID, 64, 1.0, 2.0, None, None)])
    assert SESSION_ID not in repr(added)
