"""Spans of requests that the SDK did not make are those that it would have made."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from sage_native.observability import RequestMiddleware
from sage_native.observability.pseudonyms import Pseudonyms
from sage_native.observability.tracing import TracingObserver, start_tracing, trace_ids
from sage_native.observability.tracing.request_span import RequestSpan
from sage_native.observability.tracing.traceparent import spelt_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
    from starlette.types import Message, Receive, Scope, Send

    from sage_native.observability.tracing import TraceIds, Tracing
    from tests.observability.otlp import Receiver

PSEUDONYMS = Pseudonyms(bytes(32))


class Seeing(SpanProcessor):
    """Wants to see spans begin and end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        assert isinstance(span, ReadableSpan)
        self.begun.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span.name)


class App:
    """Does something with the current span, and answers with a status or raises."""

    def __init__(
        self,
        does: Callable[[trace.Span], object] = lambda _: None,
        *,
        status: int = 200,
        error: Exception | None = None,
    ) -> None:
        self._does = does
        self._status = status
        self._error = error
        self.spans: list[trace.Span] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        scope["sage.route"] = "/v1/things/{thing}"
        scope["sage.request_id"] = "named"
        self.spans.append(trace.get_current_span())
        self._does(self.spans[-1])
        if self._error is not None:
            scope["sage.problem"] = "internal_error"
            raise self._error
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(tracing: Tracing, app: App, *headers: tuple[bytes, bytes]) -> None:
    async def receive() -> Message:
        raise AssertionError

    async def send(_: Message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "scheme": "https"}
    scope["sage.request_id"] = "named"
    observed = RequestMiddleware(app, TracingObserver(tracing, listener="admin"))
    with contextlib.suppress(ZeroDivisionError):
        await observed(scope, receive, send)


def sent(taker: Receiver) -> list[SentSpan]:
    """Return all spans that came, of which all must be of one resource and one scope."""
    found: list[SentSpan] = []
    heads: set[tuple[bytes, bytes]] = set()
    for body in taker.bodies:
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            (scope,) = one.scope_spans
            heads.add((one.resource.SerializeToString(), scope.scope.SerializeToString()))
            found += scope.spans
    assert len(heads) <= 1
    return found


def unnamed(span: SentSpan) -> bytes:
    """Return a span without what differs from one to the next."""
    copy = type(span)()
    copy.CopyFrom(span)
    assert (len(copy.trace_id), len(copy.span_id)) == (16, 8)
    assert 0 < copy.start_time_unix_nano < copy.end_time_unix_nano
    for name in ("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"):
        copy.ClearField(name)
    spelt: bytes = copy.SerializeToString(deterministic=True)
    return spelt


@pytest.mark.parametrize(
    "app", [App(), App(status=404), App(status=503), App(error=ZeroDivisionError("secret"))]
)
async def test_they_are_sent_as_those_of_the_sdk(
    tracing: Tracing, taker: Receiver, app: App
) -> None:
    """Twice alone, then twice by the SDK, since somebody else wants to see them: byte by byte."""
    await ask(tracing, app)
    await ask(tracing, app)
    tracing.provider.add_span_processor(seeing := Seeing())
    await ask(tracing, app)
    await ask(tracing, app)
    tracing.flush()
    assert [isinstance(one, RequestSpan) for one in app.spans] == [True, True, False, False]
    assert seeing.begun == ["POST", "POST"]
    assert len(seeing.ended) == 2
    spans = sent(taker)
    assert len({unnamed(one) for one in spans}) == 1
    assert len({one.trace_id for one in spans}) == len({one.span_id for one in spans}) == 4
    assert not any(b"secret" in body for body in taker.bodies)


def touches(span: trace.Span) -> None:
    span.set_attribute("app.one", 1)
    span.set_attributes({"app.two": "2"})
    span.add_event("seen", {"at": 3})
    span.add_link(trace.SpanContext(7, 8, is_remote=True))
    span.record_exception(KeyError("k"))
    span.update_name("for a while")
    span.set_status(trace.StatusCode.ERROR, "so it was")


async def test_who_takes_hold_of_one_holds_one_of_the_sdk(
    tracing: Tracing, taker: Receiver
) -> None:
    app = App(touches)
    await ask(tracing, app)
    tracing.provider.add_span_processor(Seeing())
    await ask(tracing, app)
    tracing.flush()
    ours, theirs = sent(taker)
    assert isinstance(app.spans[0], RequestSpan)
    for one in (ours, theirs):
        assert [event.name for event in one.events] == ["seen", "exception"]
        for event in one.events:
            event.ClearField("time_unix_nano")
            if event.name == "exception":
                event.ClearField("attributes")
    assert {"app.one", "app.two", "http.route"} <= {one.key for one in ours.attributes}
    assert (ours.name, ours.status.message) == ("POST /v1/things/{thing}", "so it was")
    assert unnamed(ours) == unnamed(theirs)


async def test_its_ids_are_its_own_however_it_is_sent(tracing: Tracing, taker: Receiver) -> None:
    """And what is inside belongs to it, before and after somebody took hold of it."""
    seen: list[tuple[trace.SpanContext, TraceIds | None]] = []

    def nests(span: trace.Span) -> None:
        with tracing.tracer.start_as_current_span("inner"):
            pass
        assert span.is_recording()
        seen.append((span.get_span_context(), trace_ids()))
        span.set_attribute("app.one", 1)
        assert isinstance(span, RequestSpan)
        assert span.name == "POST"  # as the SDK's have, beyond the interface
        with tracing.tracer.start_as_current_span("inner"):
            pass
        seen.append((span.get_span_context(), trace_ids()))

    await ask(tracing, App(nests))
    tracing.flush()
    server = next(one for one in sent(taker) if one.kind == type(one).SPAN_KIND_SERVER)
    inner = [one for one in sent(taker) if one.name == "inner"]
    assert [one.parent_span_id for one in inner] == [server.span_id] * 2
    assert {one.trace_id for one in inner} == {server.trace_id}
    assert seen[0] == seen[1]
    context, ids = seen[0]
    assert context.span_id.to_bytes(8) == server.span_id
    assert ids == (server.trace_id.hex(), server.span_id.hex(), True)


async def test_one_that_is_over_takes_nothing_more(tracing: Tracing, taker: Receiver) -> None:
    app = App()
    await ask(tracing, app)
    (span,) = app.spans
    assert not span.is_recording()
    touches(span)
    span.end()
    tracing.flush()
    (only,) = sent(taker)
    assert only.name == "POST /v1/things/{thing}"
    assert not only.events
    with pytest.raises(AttributeError, match="_what_it_has_not"):
        _ = span._what_it_has_not  # type: ignore[attr-defined]


async def test_threads_that_take_hold_at_once_hold_the_same(
    tracing: Tracing, taker: Receiver
) -> None:
    def from_threads(span: trace.Span) -> None:
        gate = threading.Barrier(8)

        def note(number: int) -> None:
            gate.wait(20)
            span.set_attribute(f"app.{number}", number)

        threads = [threading.Thread(target=note, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    await ask(tracing, App(from_threads))
    tracing.flush()
    (span,) = sent(taker)
    assert {f"app.{number}" for number in range(8)} <= {one.key for one in span.attributes}


async def test_one_that_somebody_ended_stays_ended(tracing: Tracing, taker: Receiver) -> None:
    await ask(tracing, App(lambda span: span.end()))
    tracing.flush()
    assert [one.name for one in sent(taker)] == ["POST"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
        ("OTEL_SDK_DISABLED", "true"),
    ],
)
async def test_what_the_environment_says_of_spans_holds(
    taker: Receiver, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with start_tracing(taker.url) as tracing:
        app = App()
        await ask(tracing, app)
        assert not isinstance(app.spans[0], RequestSpan)
    spans = sent(taker)
    assert len(spans) == (name != "OTEL_SDK_DISABLED")
    for one in spans:
        texts = [each.value.string_value for each in one.attributes]
        assert len(texts) == 2 or max(map(len, texts)) == 3


async def test_one_with_a_link_is_of_the_sdk(tracing: Tracing, taker: Receiver) -> None:
    await ask(tracing, App(), (b"traceparent", spelt_parent(7, 8, 1)))
    tracing.flush()
    (span,) = sent(taker)
    assert [(int.from_bytes(one.trace_id), int.from_bytes(one.span_id)) for one in span.links] == [
        (7, 8)
    ]
