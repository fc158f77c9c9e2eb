"""Requests of a worker's own server: noted in a tuple, and told of many at once."""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import get_current_span

from sage_native.gateway.watch import Watch
from sage_native.observability.answered import AnsweredRecords, ended_of
from sage_native.observability.context import bind, bound, current_scope
from sage_native.observability.middleware import RequestMiddleware
from sage_native.observability.request_clock import RequestClock
from sage_native.observability.tracing import TracingObserver, start_tracing, trace_ids
from sage_native.observability.tracing.current import begin_span_to_come
from sage_native.observability.tracing.gaps import NEVER, draw_gap
from sage_native.observability.tracing.traceparent import spelt_parent
from tests.observability.otlp import receiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Receive, Scope, Send

    from sage_native.observability import ObservedRequest
    from sage_native.observability.answered import AnsweredRecord
    from sage_native.observability.middleware import Ended
    from sage_native.observability.tracing import TraceIds

SESSION_ID = "01234567-89ab-cdef-0123-456789abcdef"
ROUTE = "/v1/sessions/{session_id}/messages"
RECORD_PATH = ROUTE.replace("{session_id}", SESSION_ID)
KNOWN = {"sage.route": ROUTE, "sage.session": SESSION_ID}


async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("nobody asks it")


class KeptScope(dict[str, Any]):
    """A scope that tells when it is gone."""


def scope_of(**members: Any) -> KeptScope:  # noqa: ANN401 - any members
    return KeptScope(type="http", method="POST", path="/", headers=[], **members)


class Many:
    """Keeps what it is told."""

    takes_records = True

    def __init__(self) -> None:
        self.told: list[list[Ended]] = []
        self.records: list[list[AnsweredRecord]] = []

    def begin(self, _request: ObservedRequest) -> None:
        raise AssertionError("it is told of many")

    def finish(self, _request: ObservedRequest, _state: object) -> None:
        raise AssertionError("it is told of many")

    def finish_many(self, ended: Sequence[Ended]) -> None:
        self.told.append(list(ended))

    def finish_records(self, records: AnsweredRecords) -> None:
        self.records.append(records.rows())


class Broken(Many):
    """Raises."""

    def finish_many(self, ended: Sequence[Ended]) -> None:
        raise ValueError(len(ended))

    def finish_records(self, records: AnsweredRecords) -> None:
        raise ValueError(len(records))


class Unasking(Broken):
    """Wants to know of no record."""

    takes_records = False


async def test_observers_are_told_of_all_that_ended_at_once() -> None:
    many, other = Many(), Many()
    watch = Watch(app, [many, other])
    scopes = [scope_of(), scope_of(), scope_of(**KNOWN)]
    for scope in scopes:
        assert watch.begin(scope) is None
        assert current_scope.get() is scope
    assert watch.in_flight_count == 3
    failed = (scopes[1], None, None, 2.0, 2.25, RuntimeError())
    watch.note(scopes[0], 200, 10, 1.0, 1.5, None)
    watch.note(*failed)
    watch.note(scopes[2], 200, 112, 3.0, 3.125, None)
    assert watch.in_flight_count == 0
    assert many.told == []
    async with asyncio.timeout(20):
        while not other.records:
            await asyncio.sleep(0.001)
    for one in (many, other):
        assert one.told == [[(scopes[0], 200, 10, 1.0, 1.5, None), failed]]
        assert one.records == [[(SESSION_ID, 112, 3.0, 3.125, None, None)]]
    watch.tell()
    assert (len(many.told), len(many.records)) == (1, 1)
    assert watch.in_flight_count == 0
    watch.note(scopes[0], 200, 10, 4.0, 4.5, None)
    async with asyncio.timeout(20):
        while len(many.told) == 1:
            await asyncio.sleep(0.001)


async def test_observers_are_told_in_the_context_of_no_request() -> None:
    seen: list[tuple[object, dict[str, object]]] = []

    class Looking(Many):
        def finish_many(self, ended: Sequence[Ended]) -> None:
            super().finish_many(ended)
            seen.append((current_scope.get(), dict(bound())))

    watch = Watch(app, [Looking()])

    async def request() -> None:
        scope = scope_of()
        watch.begin(scope)
        bind(did="did:sage:alice")
        watch.note(scope, 404, 10, 1.0, 1.5, None)

    for _ in range(2):
        await asyncio.create_task(request())
    async with asyncio.timeout(20):
        while not seen:
            await asyncio.sleep(0.001)
    assert seen == [(None, {})]


async def test_of_a_record_that_was_answered_nothing_is_kept_but_what_its_line_says() -> None:
    many = Many()
    watch = Watch(app, [many])
    ids = ("1" * 32, "2" * 16)
    plain, told = scope_of(**KNOWN), scope_of(**KNOWN)
    told.update({"sage.span": ids, "sage.request_id": "named"})
    gone = [weakref.ref(one) for one in (plain, told)]
    watch.note(plain, 200, 112, 1.0, 1.5, None)
    watch.note(told, 200, 112, 2.0, 2.5, None)
    del plain, told
    assert [one() for one in gone] == [None, None]
    watch.tell()
    assert many.told == []
    assert many.records == [
        [(SESSION_ID, 112, 1.0, 1.5, None, None), (SESSION_ID, 112, 2.0, 2.5, "named", ids)]
    ]
    for record in many.records[0]:
        scope, *rest = ended_of(record)
        assert rest == [200, 112, record[2], record[3], None]
        assert {**scope, **KNOWN} == scope
        assert (scope.get("sage.request_id"), scope.get("sage.span")) == record[4:]


@pytest.mark.parametrize(
    "refused",
    [
        ({}, 200, 112, None),
        ({**KNOWN, "sage.request_id": "named"}, 200, 112, None),
        (KNOWN, 409, 90, None),
        (KNOWN, 200, None, None),
        (KNOWN, None, 112, None),
        (KNOWN, 200, 112, ZeroDivisionError()),
    ],
)
async def test_the_short_way_is_for_plain_records_alone(
    refused: tuple[dict[str, Any], int | None, int | None, BaseException | None],
) -> None:
    """And not for the first of some, with which telling is to be arranged."""
    members, status, sent_len, error = refused
    for observers in ([Many()], []):
        watch = Watch(app, observers)
        plain = scope_of(**KNOWN), 200, 112, time.perf_counter(), None
        assert watch.takes(*plain) == (not observers)
        if observers:
            watch.note(*plain[:4], plain[3] + 0.5, None)
        assert not watch.takes(scope_of(**members), status, sent_len, 2.0, error)
        assert watch.takes(*plain)
        over_s = time.perf_counter()
        watch.tell()
        for many in observers:
            assert many.told == []
            ((first, second),) = many.records
            assert first == (SESSION_ID, 112, plain[3], plain[3] + 0.5, None, None)
            assert (*second[:3], *second[4:]) == (SESSION_ID, 112, plain[3], None, None)
            assert plain[3] <= second[3] <= over_s, "its clock is that of everybody"
            assert not watch.takes(*plain), "nothing is arranged"


class Incomparable:
    """A key that collides with another and cannot be compared."""

    def __init__(self, like: str) -> None:
        self._hash = hash(like)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, _other: object) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["sage.request_id", "sage.session"])
def test_a_scope_that_cannot_be_looked_into_is_told_of(name: str) -> None:
    records = AnsweredRecords()
    records.add("first", 1, 1.0, 2.0)
    scope: dict[Any, Any] = {Incomparable(name): 1}
    with pytest.raises(ZeroDivisionError):
        records.takes(scope, 200, 112, 1.0, None)
    assert len(records) == 1


@pytest.mark.parametrize("refused", [-5, 1 << 70, "200", None, 2.0])
async def test_numbers_that_are_none_of_an_answer_do_no_harm(refused: Any) -> None:  # noqa: ANN401 - anything
    many = Many()
    watch = Watch(app, [many])
    watch.note(scope_of(**KNOWN), 200, 112, 1.0, 1.5, None)
    for status, sent_len, session_id in (
        (refused, 112, SESSION_ID),
        (200, refused, SESSION_ID),
        (200, 112, "\ud800"),
        (200, 112, 7),
    ):
        scope = scope_of(**KNOWN) | {"sage.session": session_id}
        assert not watch.takes(scope, status, sent_len, 1.0, None)
        watch.note(scope, status, sent_len, 1.0, 1.5, None)
    watch.tell()
    assert [len(one) for one in many.told] == [4]
    assert [len(one) for one in many.records] == [1]


async def test_requests_are_counted_and_timed_and_some_are_looked_at() -> None:
    clock = RequestClock(looks_at=3)
    before_s = time.perf_counter()
    found = [clock.begin() for _ in range(4)]
    times_s = [before_s, *map(abs, found), time.perf_counter()]
    assert times_s == sorted(times_s), "its clock is that of everybody"
    assert [one < 0 for one in found] == [False, False, True, True]
    clock.looks_at = 6
    assert [clock.begin() < 0 for _ in range(2)] == [False, True]
    assert (clock.count, clock.looks_at) == (6, 6)


async def test_how_many_are_at_work_is_known_whichever_way_they_end() -> None:
    for observers in ([Many()], []):
        watch = Watch(app, observers)
        for _ in range(5):
            watch.begin(scope_of(**KNOWN))
        for count in range(4, -1, -1):
            if not watch.takes(scope_of(**KNOWN), 200, 112, 1.0, None):
                watch.note(scope_of(**KNOWN), 200, 112, 1.0, 1.5, None)
            assert watch.in_flight_count == count
            if count == 2:
                watch.tell()


async def test_who_takes_no_records_is_told_of_none() -> None:
    """And where nobody takes any, nothing is kept of them."""
    many, unasking = Many(), Unasking()
    for observers, kept in (([unasking, many], 1), ([unasking], 0)):
        watch = Watch(app, observers)
        assert watch.begin(scope_of(**KNOWN)) is None
        assert watch.in_flight_count == 1
        watch.note(scope_of(**KNOWN), 200, 112, 1.0, 1.5, None)
        assert (watch.in_flight_count, len(watch._records.rows())) == (0, kept)
        watch.tell()
        assert watch.in_flight_count == 0
    assert many.records == [[(SESSION_ID, 112, 1.0, 1.5, None, None)]]


@pytest.mark.parametrize(
    "other",
    [
        ({}, 200, 112, None),
        (KNOWN, 409, 90, None),
        (KNOWN, 204, 0, None),
        (KNOWN, 200, None, None),
        (KNOWN, None, None, ZeroDivisionError()),
        (KNOWN, 200, 112, ZeroDivisionError()),
    ],
)
async def test_what_is_no_answered_record_is_told_of_in_whole(
    other: tuple[dict[str, Any], int | None, int | None, BaseException | None],
) -> None:
    many = Many()
    watch = Watch(app, [many])
    members, status, sent_len, error = other
    ended = (scope_of(**members), status, sent_len, 1.0, 1.5, error)
    watch.note(*ended)
    watch.tell()
    assert many.told == [[ended]]
    assert many.records == []


async def test_an_observer_that_raises_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many, broken = Many(), Broken()
    watch = Watch(app, [broken, many])
    watch.note(scope_of(), 200, 0, 1.0, 1.5, None)
    watch.note(scope_of(**KNOWN), 200, 0, 1.0, 1.5, None)
    watch.tell()
    assert (len(many.told), len(many.records)) == (1, 1)
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("sage_native.events", "Exception ignored in the request observer Broken")
    ] * 2


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(0.0, 0, 0), (0.1, 260, 340), (1.0, 3000, 3000)]
)
async def test_a_part_of_the_requests_is_traced_and_all_have_a_trace(
    rate: float, least: int, most: int
) -> None:
    random.seed(rate)
    with start_tracing("http://127.0.0.1:1/v1/traces", sample_rate=rate) as tracing:
        watch = Watch(app, [], tracing=TracingObserver(tracing, unsampled_paths=("/quiet",)))
        traced_count, traces = 0, set()
        for _ in range(3000):
            context = copy_context()  # as that of a task
            answers = context.run(watch.begin, scope_of(**watch.members))
            assert answers in {None, app}
            traced_count += answers is app
            ids = context.run(trace_ids)
            assert ids is not None
            assert (ids.is_sampled, ids.span_id is not None) == (answers is app, answers is app)
            traces.add(ids.trace_id)
        assert least <= traced_count <= most
        assert len(traces) == 3000
        for _ in range(100):
            assert watch.begin(scope_of() | {"path": "/quiet"}) is None


async def test_the_span_of_a_traced_request_ends_with_it() -> None:
    """Of a record, whose line has its ids, and of one that failed, whose scope has them."""
    many, scopes = Many(), [scope_of(**KNOWN), scope_of(**{"sage.route": "/v1/x"})]
    with receiver() as taker:
        with start_tracing(taker.url) as tracing:
            watch = Watch(app, [many], tracing=TracingObserver(tracing, listener="admin"))
            for scope in scopes:
                assert copy_context().run(watch.begin, scope) is app
            watch.note(scopes[0], 200, 112, 1.0, 1.5, None)
            watch.note(scopes[1], None, None, 1.0, 1.5, ZeroDivisionError("secret"))
            watch.tell()
        spans = taker.spans()
    assert [one.name for one in spans] == [f"POST {ROUTE}", "POST /v1/x"]
    assert [one.failed for one in spans] == [False, True]
    assert spans[1].attributes["error.type"] == "ZeroDivisionError"
    ids = [(one.trace_id, one.span_id) for one in spans]
    names = [one.attributes["sage.request_id"] for one in spans]
    assert many.records == [[(SESSION_ID, 112, 1.0, 1.5, names[0], ids[0])]]
    assert (scopes[1]["sage.span"], scopes[1]["sage.request_id"]) == (ids[1], names[1])
    for one in spans:
        assert one.attributes["sage.listener"] == "admin"


async def test_a_span_ends_when_its_request_does_however_late_that_is_told() -> None:
    """Also one that somebody has taken hold of."""
    with receiver() as taker:
        with start_tracing(taker.url) as tracing:
            watch = Watch(app, [Many()], tracing=TracingObserver(tracing))
            for name in ("", "held"):
                scope = scope_of(**KNOWN)
                context = copy_context()
                context.run(watch.begin, scope)
                if name:
                    context.run(get_current_span).set_attribute("app.name", name)
                assert watch.in_flight_count == 1
                watch.note(scope, 200, 112, 1.0, 1.5, None)
                assert watch.in_flight_count == 0
            over_ns = time.time_ns()
            await asyncio.sleep(0.002)
            watch.tell()
        spans = taker.spans()
    assert [one.attributes.get("app.name") for one in spans] == [None, "held"]
    assert all(0 < one.end_ns <= over_ns for one in spans)


async def test_the_span_of_a_record_is_made_when_somebody_needs_it_or_when_it_is_over() -> None:
    """By asking this package, OpenTelemetry's own ways, or nobody; it began with the request."""
    many = Many()

    def ask_here(_scope: Scope) -> None:
        ids = trace_ids()
        assert ids is not None
        assert ids.is_sampled
        asked.append((ids.trace_id, ids.span_id or ""))

    def ask_opentelemetry(scope: Scope) -> None:
        begin_span_to_come(scope)
        found = get_current_span().get_span_context()
        asked.append((f"{found.trace_id:032x}", f"{found.span_id:016x}"))

    def ask_nobody(_scope: Scope) -> None:
        assert not get_current_span().get_span_context().is_valid

    asked: list[tuple[str, str]] = []
    begun: list[tuple[int, int]] = []
    with receiver() as taker:
        with start_tracing(taker.url) as tracing:
            watch = Watch(app, [many], tracing=TracingObserver(tracing))
            for ask in (ask_here, ask_opentelemetry, ask_nobody):
                scope = scope_of(**KNOWN, **watch.members) | {"path": RECORD_PATH}
                context = copy_context()
                before_ns = time.time_ns()
                assert context.run(watch.begin, scope) is app
                begun.append((before_ns, time.time_ns()))
                await asyncio.sleep(0.001)
                context.run(ask_nobody, scope)
                context.run(ask, scope)
                assert context.run(get_current_span).is_recording() == (ask is not ask_nobody)
                watch.note(scope, 200, 112, 1.0, 1.5, None)
            watch.tell()
        spans = taker.spans()
    assert [one.name for one in spans] == [f"POST {ROUTE}"] * 3
    ids = [(one.trace_id, one.span_id) for one in spans]
    assert ids[:2] == asked
    assert len(set(ids)) == 3
    assert [one[4:] for one in many.records[0]] == [
        (one.attributes["sage.request_id"], own) for one, own in zip(spans, ids, strict=True)
    ]
    for one, (before_ns, after_ns) in zip(spans, begun, strict=True):
        assert before_ns <= one.start_ns <= after_ns < one.end_ns


async def test_whoever_needs_the_span_of_a_record_first_all_find_the_same() -> None:
    """A task, a thread of its own, or one that asks when all is over."""
    with receiver() as taker:
        with start_tracing(taker.url) as tracing:
            watch = Watch(app, [], tracing=TracingObserver(tracing))
            found: list[list[TraceIds | None]] = []
            for is_late in (False, True):
                scope = scope_of(**KNOWN, **watch.members) | {"path": RECORD_PATH}
                context = copy_context()
                assert context.run(watch.begin, scope) is app
                asked: list[TraceIds | None] = []
                if not is_late:
                    others = [context.copy() for _ in range(8)]
                    with ThreadPoolExecutor(8) as threads:
                        asked += threads.map(lambda one: one.run(trace_ids), others)
                    asked.append(context.run(trace_ids))
                    own = context.run(get_current_span).get_span_context()
                    for one in others:
                        assert one.run(get_current_span).get_span_context() == own
                watch.note(scope, 200, 112, 1.0, 1.5, None)
                watch.tell()
                asked += [context.run(trace_ids), context.copy().run(trace_ids)]
                found.append(asked)
        spans = taker.spans()
    for span, told in zip(spans, found, strict=True):
        assert told == [(span.trace_id, span.span_id, True)] * len(told)


async def test_who_has_to_do_with_another_trace_goes_through_the_middleware() -> None:
    parent = (b"traceparent", spelt_parent(7, 8, 1))
    with start_tracing("http://127.0.0.1:1/v1/traces") as tracing:
        watch = Watch(app, [], tracing=TracingObserver(tracing))
        linked = watch.begin(scope_of() | {"headers": [parent]})
        believing = Watch(app, [], tracing=TracingObserver(tracing, believes=lambda _: True))
        continued = believing.begin(scope_of() | {"headers": [parent]})
        tracing.provider.add_span_processor(SpanProcessor())
        seen = watch.begin(scope_of())
    for one in (linked, continued, seen):
        assert isinstance(one, RequestMiddleware)


@pytest.mark.parametrize("at", ["sample", "end_alone"])
async def test_trouble_with_a_span_is_not_that_of_the_request(
    at: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError(at)

    many, scope = Many(), scope_of(**KNOWN)
    with start_tracing("http://127.0.0.1:1/v1/traces") as tracing:
        observer = TracingObserver(tracing)
        monkeypatch.setattr(observer, at, refuse)
        watch = Watch(app, [many], tracing=observer)
        copy_context().run(watch.begin, scope)
        watch.note(scope, 200, 112, 1.0, 1.5, None)
        watch.tell()
    assert [record[:4] for record in many.records[0]] == [(SESSION_ID, 112, 1.0, 1.5)]
    (reported,) = (one for one in caplog.records if one.levelname != "DEBUG")
    assert reported.getMessage() == "Exception ignored in the request observer TracingObserver"


async def test_who_is_trusted_names_every_request_whether_it_is_traced_or_not() -> None:
    random.seed(1)
    with start_tracing("http://127.0.0.1:1/v1/traces", sample_rate=0.1) as tracing:
        observer = TracingObserver(tracing)
        watch = Watch(app, [], tracing=observer, trusts=lambda scope: scope["path"] == "/trusted")
        traced_count = 0
        for number in range(1000):
            scope = scope_of() | {"path": "/trusted" if number % 2 else "/"}
            scope["headers"] = [(b"x-request-id", b"n-%d" % number)]
            is_traced = copy_context().run(watch.begin, scope) is app
            traced_count += is_traced
            if number % 2:
                assert scope["sage.request_id"] == f"n-{number}"
            else:
                assert ("sage.request_id" in scope) == is_traced
        assert 60 <= traced_count <= 140


def test_gaps_are_those_between_coins() -> None:
    """The shares of short gaps, and the mean, as if a coin was thrown for each request."""
    random.seed(20)
    gaps = [draw_gap(0.25) for _ in range(20_000)]
    assert min(gaps) == 1
    for length in (1, 2, 3, 8):
        expected = 20_000 * 0.25 * 0.75 ** (length - 1)
        assert abs(gaps.count(length) - expected) < 5 * expected**0.5
    assert abs(sum(gaps) / 20_000 - 4) < 0.15
    assert {draw_gap(1.0) for _ in range(10)} == {1}
    assert {draw_gap(0.0) for _ in range(10)} == {NEVER}
    assert all(draw_gap(5e-324) > 1 << 60 for _ in range(10))
