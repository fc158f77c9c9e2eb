"""Requests of a worker's own server: noted in a tuple, told of many at once, and the same lines."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from sage_native.gateway.watch import Watch
from sage_native.observability.access import RequestLog
from sage_native.observability.context import current_scope
from sage_native.observability.logging import configure_logging
from sage_native.observability.pseudonyms import KEY_LEN, Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest
    from starlette.types import Receive, Scope, Send

    from sage_native.observability import ObservedRequest
    from sage_native.observability.middleware import Ended

PSEUDONYMS = Pseudonyms(bytes(KEY_LEN))
SESSION_ID = "01234567-89ab-cdef-0123-456789abcdef"
ROUTE = "/v1/sessions/{session_id}/messages"


async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("nobody asks it")


def scope_of(**members: Any) -> Scope:  # noqa: ANN401 - any members
    return {"type": "http", "method": "POST", "path": "/", "headers": [], **members}


class Many:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[list[Ended]] = []

    def begin(self, _request: ObservedRequest) -> None:
        raise AssertionError("it is told of many")

    def finish(self, _request: ObservedRequest, _state: object) -> None:
        raise AssertionError("it is told of many")

    def finish_many(self, ended: Sequence[Ended]) -> None:
        self.told.append(list(ended))


class Each:
    """Keeps the requests that it is told of."""

    def __init__(self) -> None:
        self.requests: list[tuple[int | None, int, float]] = []

    def begin(self, request: ObservedRequest) -> object:
        return request

    def finish(self, request: ObservedRequest, state: object) -> None:
        assert state is request
        self.requests.append((request.status, request.sent_len, request.duration_s))


class Broken(Many):
    """Raises."""

    def finish_many(self, ended: Sequence[Ended]) -> None:
        raise ValueError(len(ended))


async def test_observers_are_told_of_all_that_ended_at_once() -> None:
    many, each = Many(), Each()
    watch = Watch(app, [many, each])
    scopes = [scope_of(), scope_of()]
    for scope in scopes:
        assert watch.begin(scope) is None
        assert current_scope.get() is scope
    assert watch.in_flight_count == 2
    watch.note((scopes[0], 200, 10, 1.0, 1.5, None))
    watch.note((scopes[1], None, None, 2.0, 2.25, RuntimeError()))
    assert watch.in_flight_count == 0
    assert many.told == []
    async with asyncio.timeout(20):
        while not many.told:
            await asyncio.sleep(0.001)
    assert [len(told) for told in many.told] == [2]
    assert each.requests == [(200, 10, 0.5), (None, 0, 0.25)]
    watch.tell()
    assert len(many.told) == 1
    assert watch.in_flight_count == 0


async def test_an_observer_that_raises_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many, broken = Many(), Broken()
    watch = Watch(app, [broken, many])
    watch.note((scope_of(), 200, 0, 1.0, 1.5, None))
    watch.tell()
    assert len(many.told) == 1
    (reported,) = caplog.records
    assert reported.name == "sage_native.events"
    assert reported.getMessage() == "Exception ignored in the request observer Broken"


def lines_of(path: Path, ended: Sequence[Ended], *, form: Any = "json") -> list[str]:  # noqa: ANN401
    log_output = configure_logging(output=str(path), format=form, pseudonyms=PSEUDONYMS)
    RequestLog(log_output, PSEUDONYMS, quiet_routes=("/quiet",)).finish_many(ended)
    log_output.close()
    return path.read_text("utf-8").splitlines()


def test_a_late_line_is_the_line_of_its_request(tmp_path: Path) -> None:
    known = {"sage.route": ROUTE, "sage.session": SESSION_ID}
    traced = {**known, "sage.span": ("1" * 32, "2" * 16), "sage.request_id": "named"}
    ended: list[Ended] = [
        (scope_of(**known), 200, 112, 1.0, 1.0125, None),
        (scope_of(**traced), 200, 112, 1.0, 1.0125, None),
        (scope_of(**known, **{"sage.problem": "replay_detected"}), 409, 90, 1.0, 1.5, None),
        (scope_of(**known), 200, None, 1.0, 1.5, None),
        (scope_of(**known), None, None, 1.0, 1.5, ZeroDivisionError("secret")),
        (scope_of(**{"sage.route": "/quiet"}), 200, 2, 1.0, 1.5, None),
    ]
    lines = [json.loads(line) for line in lines_of(tmp_path / "log", ended)]
    found = {line.pop("request_id"): line for line in lines}
    assert len(found) == 5, "each has a name of its own, and what is quiet has no line"
    session = PSEUDONYMS.of_session(SESSION_ID)
    assert all(line["session"] == session and line["route"] == ROUTE for line in lines)
    by_status = sorted(lines, key=lambda line: str(line["status"]))
    assert [line["status"] for line in by_status] == [200, 200, 200, 409, None]
    assert by_status[3]["problem"] == "replay_detected"
    assert (by_status[4]["level"], by_status[4]["error"]) == ("error", "ZeroDivisionError")
    named = found["named"]
    assert (named["trace_id"], named["span_id"]) == ("1" * 32, "2" * 16)
    assert (named["duration_ms"], named["sent_len"], named["event"]) == (12.5, 112, "request")
    assert (named["level"], named["method"]) == ("info", "POST")


def test_late_lines_for_people(tmp_path: Path) -> None:
    known = {"sage.route": ROUTE, "sage.session": SESSION_ID}
    ended: list[Ended] = [(scope_of(**known), 200, 112, 1.0, 1.0125, None)]
    [line] = lines_of(tmp_path / "log", ended, form="console")
    assert line[9:].startswith("info    request  ")
    assert PSEUDONYMS.of_session(SESSION_ID) in line
