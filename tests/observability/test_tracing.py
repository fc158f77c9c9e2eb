"""Spans, from where they are made to a receiver of OTLP over real HTTP."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sage_native.exceptions import (
    AuthenticationError,
    ConfigurationError,
    UsageError,
)
from sage_native.observability import RequestMiddleware
from sage_native.observability.pseudonyms import Pseudonyms
from sage_native.observability.tracing import (
    TracingObserver,
    check_packages,
    encryption,
    handshake,
    signature,
    spans_dropped,
    start_tracing,
    trace_ids,
)
from sage_native.observability.tracing.drops import count_dropped
from sage_native.observability.tracing.outgoing import UpstreamSpan
from sage_native.observability.tracing.span_queue import SpanQueue
from sage_native.observability.tracing.traceparent import spelt_parent
from tests.observability.otlp import dead, hanging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Tracer
    from starlette.types import Message, Receive, Scope, Send

    from sage_native.observability.tracing import TraceIds, Tracing
    from sage_native.observability.tracing.ended_span import EndedSpan
    from tests.observability.otlp import Receiver

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
ALICE, GATEWAY, SESSION = "did:example:alice", "did:example:gateway", "5a8f-the-session"


PSEUDONYMS = Pseudonyms(bytes(32))


class App:
    """Answers with a status, or raises; keeps what ids it saw."""

    def __init__(self, status: int = 200, error: BaseException | None = None) -> None:
        self.status = status
        self.error = error
        self.ids: list[TraceIds | None] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.ids.append(trace_ids())
        scope["sage.route"] = "/v1/things/{thing}"
        if self.error is not None:
            raise self.error
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(
    app: RequestMiddleware, *headers: tuple[bytes, bytes], path: str = "/v1/things/secret"
) -> None:
    async def receive() -> Message:
        raise AssertionError

    async def send(_: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"key=hidden",
        "headers": [(b"host", b"gateway"), (b"user-agent", b"curl"), *headers],
        "client": ("203.0.113.9", 4711),
        "http_version": "1.1",
        "scheme": "https",
    }
    await app(scope, receive, send)


def believed(_: object) -> bool:
    return True


def parent(flags: int = 1) -> tuple[bytes, bytes]:
    return b"traceparent", spelt_parent(int(TRACE, 16), int(SPAN, 16), flags)


async def test_a_request_is_a_span_with_the_attributes_of_the_conventions(
    tracing: Tracing, taker: Receiver
) -> None:
    app = App()
    await ask(RequestMiddleware(app, TracingObserver(tracing, listener="admin")))
    assert tracing.flush()
    (span,) = taker.spans()
    request_id = span.attributes.pop("sage.request_id")
    assert len(request_id) == 16
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/things/{thing}",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "url.scheme": "https",
        "sage.listener": "admin",
    }
    assert (span.name, span.kind) == ("POST /v1/things/{thing}", "SERVER")
    assert (span.parent_id, span.failed, span.links) == ("", False, ())
    assert span.end_ns > span.start_ns
    assert span.resource["service.name"] == "sage-native"
    assert span.resource["service.version"]
    assert len(span.resource["service.instance.id"]) == 36
    assert app.ids == [(span.trace_id, span.span_id, True)]
    assert trace_ids() is None, "nothing is left behind"
    for hidden in (b"secret", b"hidden", b"203.0.113.9", b"curl"):
        assert hidden not in taker.bodies[0]


async def test_trouble_is_told_by_its_kind_and_never_by_its_text(
    tracing: Tracing, taker: Receiver
) -> None:
    observer = TracingObserver(tracing)
    await ask(RequestMiddleware(App(503), observer))
    await ask(RequestMiddleware(App(404), observer))
    with pytest.raises(ValueError, match="the key"):
        await ask(RequestMiddleware(App(error=ValueError("the key is hunter2")), observer))
    with pytest.raises(AuthenticationError), handshake(ALICE, GATEWAY):
        raise AuthenticationError("hunter2")
    with pytest.raises(KeyError), encryption(SESSION):
        raise KeyError("hunter2")
    tracing.flush()
    told = [(one.failed, one.attributes.get("error.type")) for one in taker.spans()]
    assert told == [
        (True, "503"),
        (False, None),
        (True, "ValueError"),
        (True, "authentication_failed"),
        (True, "KeyError"),
    ]
    assert not any(b"hunter2" in body for body in taker.bodies)


async def test_a_trace_goes_on_when_who_names_it_is_believed(
    tracing: Tracing, taker: Receiver
) -> None:
    app = App()
    observed = RequestMiddleware(app, TracingObserver(tracing, believes=believed))
    await ask(observed, parent(), (b"tracestate", b"rojo=1"))
    await ask(observed, parent(flags=0))
    tracing.flush()
    (span,) = taker.spans()
    assert (span.trace_id, span.parent_id, span.tracestate) == (TRACE, SPAN, "rojo=1")
    assert app.ids == [(TRACE, span.span_id, True), (TRACE, None, False)]


async def test_who_is_not_believed_decides_nothing(taker: Receiver) -> None:
    """Neither that a request is sampled nor that it is not, nor where it is filed."""
    with start_tracing(taker.url, sample_rate=0.0) as never:
        app = App()
        await ask(RequestMiddleware(app, TracingObserver(never)), parent())
        assert app.ids[0] is not None
        assert (app.ids[0].trace_id == TRACE, app.ids[0].is_sampled) == (False, False)
    assert taker.spans() == []
    with start_tracing(taker.url, sample_rate=1.0) as always:
        state = (b"tracestate", b"rojo=1")
        await ask(RequestMiddleware(App(), TracingObserver(always)), parent(flags=0), state)
    (span,) = taker.spans()
    assert span.trace_id != TRACE
    assert (span.parent_id, span.tracestate) == ("", "")
    assert span.links == ((TRACE, SPAN),), "both ends can be found"


async def test_garbage_in_the_fields_begins_a_trace_of_our_own(
    tracing: Tracing, taker: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    observed = RequestMiddleware(App(), TracingObserver(tracing, believes=believed))
    for junk in (b"", b"x" * 4000, b"00-" + b"0" * 52, b"\xff\x00"):
        await ask(observed, (b"traceparent", junk), (b"tracestate", b"no\x1b[31m"))
    await ask(observed, parent(), (b"tracestate", b"no such form"))
    tracing.flush()
    spans = taker.spans()
    assert [one.parent_id for one in spans] == ["", "", "", "", SPAN]
    assert len({one.trace_id for one in spans}) == 5
    assert not [one for one in caplog.records if one.levelname != "DEBUG"]


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(0.0, 0, 0), (0.25, 350, 650), (1.0, 2000, 2000)]
)
async def test_the_rate_decides_how_many_traces_begin(
    taker: Receiver, rate: float, least: int, most: int
) -> None:
    random.seed(2026)
    before = spans_dropped()
    with start_tracing(taker.url, sample_rate=rate, queue_len=4096) as tracing:
        app = App()
        observed = RequestMiddleware(app, TracingObserver(tracing))
        for _ in range(2000):
            await ask(observed)
    spans = taker.spans()
    assert least <= len(spans) <= most
    assert spans_dropped() == before
    sampled = {one.trace_id for one in app.ids if one is not None and one.is_sampled}
    assert {span.trace_id for span in spans} == sampled
    assert len({one.trace_id for one in app.ids if one is not None}) == 2000


async def test_what_is_inside_a_request_follows_its_decision(taker: Receiver) -> None:
    """Also what is made through OpenTelemetry itself by an application behind the gateway."""

    class Inner(App):
        tracer: Tracer

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            with handshake(ALICE, GATEWAY), signature("ed25519"):
                pass
            with self.tracer.start_as_current_span("of the application"):
                pass
            await super().__call__(scope, receive, send)

    for rate, names in ((0.0, []), (1.0, ["handshake", "of the application", "signature"])):
        with start_tracing(taker.url, sample_rate=rate, pseudonyms=PSEUDONYMS) as tracing:
            app = Inner()
            app.tracer = tracing.provider.get_tracer("sage_native")
            observed = RequestMiddleware(app, TracingObserver(tracing))
            await ask(observed)
        spans = taker.spans()
        assert sorted(one.name for one in spans if one.kind == "INTERNAL") == names
    (server,) = [one for one in spans if one.kind == "SERVER"]
    of = {one.name: one for one in spans}
    assert {one.trace_id for one in spans} == {server.trace_id}
    assert of["handshake"].parent_id == of["of the application"].parent_id == server.span_id
    assert of["signature"].parent_id == of["handshake"].span_id


async def test_paths_that_are_asked_all_the_time_are_not_sampled(
    tracing: Tracing, taker: Receiver
) -> None:
    observer = TracingObserver(tracing, believes=believed, unsampled_paths=("/v1/health",))
    app = App()
    await ask(RequestMiddleware(app, observer), path="/v1/health")
    await ask(RequestMiddleware(app, observer), parent(), path="/v1/health")
    tracing.flush()
    assert taker.spans() == []
    assert [one is not None and one.is_sampled for one in app.ids] == [False, False]


def test_named_spans_hold_pseudonyms(tracing: Tracing, taker: Receiver) -> None:
    with handshake(ALICE, GATEWAY) as span:
        assert span.is_recording
        span.note("sage.step", 1)
    with handshake() as span:
        span.between(ALICE, GATEWAY)
    with encryption(SESSION):
        pass
    with signature("ed25519"):
        pass
    tracing.flush()
    both = {"sage.client": PSEUDONYMS.of_did(ALICE), "sage.server": PSEUDONYMS.of_did(GATEWAY)}
    assert [(one.name, one.attributes) for one in taker.spans()] == [
        ("handshake", {**both, "sage.step": 1}),
        ("handshake", both),
        ("encryption", {"sage.session": PSEUDONYMS.of_session(SESSION)}),
        ("signature", {"sage.key_type": "ed25519"}),
    ]
    for identifier in (ALICE, GATEWAY, SESSION):
        assert not any(identifier.encode() in body for body in taker.bodies)


def test_without_tracing_named_spans_are_nothing() -> None:
    with handshake(ALICE, GATEWAY) as span:
        assert not span.is_recording
        span.note("a", "b")
        span.between(ALICE, GATEWAY)
        assert trace_ids() is None


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    """The receiver takes connections and never answers. Who makes spans does not notice."""
    before = spans_dropped()
    with hanging() as url:
        tracing = start_tracing(url, queue_len=16, export_timeout_s=3600.0)
        for _ in range(1000):
            with signature("ed25519"):
                pass
        dropped = spans_dropped() - before
        # Some are on their way, and as many as may wait.
        assert 1000 - 2 * 16 <= dropped <= 1000 - 16
        assert not tracing.flush(timeout_s=0.05)
        # The receiver would keep it for an hour.
        assert not tracing.shutdown(timeout_s=0.05)
    assert spans_dropped() - before == 1000, "each is accounted for"
    assert not tracing.shutdown()
    with signature("ed25519") as span:
        assert not span.is_recording, "it is over"
    with tracing.tracer.start_as_current_span("late"):
        pass
    assert spans_dropped() - before == 1001


def test_a_system_without_threads_costs_spans(
    taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = spans_dropped()
    with start_tracing(taker.url):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            with signature("lost"):
                pass
        with signature("sent"):
            pass
    assert spans_dropped() - before == 1
    assert [one.attributes["sage.key_type"] for one in taker.spans()] == ["sent"]


def test_a_finaliser_that_ends_a_span_does_not_wait_for_itself(
    tracing: Tracing, taker: Receiver
) -> None:
    """Garbage is collected at any time, also while a span is queued."""

    def ends() -> None:
        with tracing._queue._lock, signature("ed25519"):
            pass

    thread = threading.Thread(target=ends, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert tracing.flush()
    assert len(taker.spans()) == 1


def test_a_broken_exporter_costs_its_batch_and_makes_no_spans(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Exporter(SpanExporter):
        def __init__(self) -> None:
            self.names: list[str] = []
            self.suppressed: list[object] = []

        def export(self, spans: Sequence[ReadableSpan | EndedSpan]) -> SpanExportResult:
            self.suppressed.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
            if not self.names:
                self.names.append("broken")
                raise ValueError("broken")
            self.names += [one.name for one in spans if isinstance(one, ReadableSpan)]
            return SpanExportResult.SUCCESS

    before = spans_dropped()
    exporter = Exporter()
    queue = SpanQueue(lambda: exporter, max_len=8, batch_len=4, interval_s=60.0, close_s=5.0)
    provider = TracerProvider()
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("sage_native")
    for name in "abcde":
        tracer.start_span(name).end()
        if name == "c":
            assert queue.force_flush()
    provider.shutdown()
    assert exporter.names == ["broken", "d", "e"]
    assert spans_dropped() - before == 3
    assert exporter.suppressed == [True, True], "instrumentations of HTTP clients look away"
    assert [one.message for one in caplog.records] == ["spans could not be sent"]


def test_a_broken_tracer_disturbs_nobody(
    tracing: Tracing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(SpanQueue, "on_end", broken)
    with signature("ed25519"), UpstreamSpan("GET", host="a", port=1):
        pass
    assert len(caplog.records) == 2
    monkeypatch.setattr(type(tracing.tracer), "start_span", broken)
    with signature("ed25519") as span, UpstreamSpan("GET", host="a", port=1) as call:
        assert not span.is_recording
        assert call.headers == ()
    assert [one.exc_info and one.exc_info[0] for one in caplog.records] == [ValueError] * 4
    assert trace_ids() is None


@pytest.mark.parametrize("status", [400, 503])
def test_spans_that_a_receiver_refuses_are_counted(taker: Receiver, status: int) -> None:
    before = spans_dropped()
    taker.status = status
    with start_tracing(taker.url, export_timeout_s=0.2) as tracing:
        for _ in range(3):
            with signature("ed25519"):
                pass
        assert tracing.flush()
        assert spans_dropped() - before == 3
        taker.status = 200
        with signature("ed25519"):
            pass
    assert len(taker.spans()) == 1, "it goes on once the receiver does"
    assert spans_dropped() - before == 3


def test_a_receiver_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    before = spans_dropped()
    with start_tracing(dead(), export_timeout_s=0.2) as tracing:
        for _ in range(5):
            with signature("ed25519"):
                pass
            assert tracing.flush()
    assert spans_dropped() - before == 5
    lines = [one for one in caplog.records if one.name.startswith("opentelemetry")]
    assert len(lines) <= 1


def test_the_last_spans_are_sent_at_the_end(taker: Receiver) -> None:
    with start_tracing(taker.url) as tracing:
        for _ in range(700):
            with signature("ed25519"):
                pass
    assert len(taker.spans()) == 700
    assert tracing.shutdown(), "twice is once"


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_the_path_of_otlp_is_added_where_there_is_none(taker: Receiver, path: str) -> None:
    with start_tracing(taker.url.removesuffix("/v1/traces") + path), signature("ed25519"):
        pass
    assert taker.paths == ["/v1/traces"]


def test_a_forked_child_sends_its_own_spans_and_no_others(
    tracing: Tracing, taker: Receiver
) -> None:
    with signature("before, and sent"):
        pass
    assert tracing.flush()  # the connection is there
    count_dropped(1)
    with signature("of the parent"):
        pass
    child = os.fork()
    if child == 0:
        try:
            with signature("of the child"):
                pass
            os._exit(0 if tracing.flush() and not spans_dropped() else 1)
        except BaseException:  # noqa: BLE001 - a child that returns would run the tests twice
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    with signature("after"):
        pass
    assert tracing.flush()
    types = sorted(one.attributes["sage.key_type"] for one in taker.spans())
    assert types == ["after", "before, and sent", "of the child", "of the parent"]


def test_errors_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="0 to 1"):
            start_tracing("http://127.0.0.1:1", sample_rate=rate)
    check_packages()
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with pytest.raises(ConfigurationError, match=r"proto-http: pip install 'sage-native\[obs"):
        start_tracing("http://127.0.0.1:1")


def test_opentelemetrys_own_provider_is_used_where_there_is_no_tracing() -> None:
    """In a process of its own, since OpenTelemetry's provider is set once for all."""
    script = """
import sys
from sage_native.observability import tracing
assert not any(name.startswith("opentelemetry") for name in sys.modules)
with tracing.handshake("did:example:a", "did:example:b") as span:
    assert not span.is_recording
assert not any(name.startswith("opentelemetry") for name in sys.modules), "nobody asked for it"

from opentelemetry import trace
with tracing.signature("ed25519") as span:
    assert not span.is_recording, "the API alone records nothing"
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
with tracing.signature("ed25519") as span:
    assert span.is_recording
    assert tracing.trace_ids().is_sampled
ours = tracing.start_tracing("http://127.0.0.1:1", is_global=True, sample_rate=0)
assert trace.get_tracer_provider() is provider, "what is set stays"
with tracing.signature("ed25519") as span:
    assert not span.is_recording, "ours has the word, and samples nothing"
ours.shutdown()
with tracing.signature("ed25519") as span:
    assert span.is_recording
print([span.name for span in kept.get_finished_spans()])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['signature', 'signature']\n"), done.stderr


def test_ours_becomes_opentelemetrys_where_there_is_none() -> None:
    script = """
from opentelemetry import trace
from sage_native.observability.tracing import start_tracing
tracing = start_tracing("http://127.0.0.1:1", is_global=True)
assert trace.get_tracer_provider() is tracing.provider
tracing.shutdown()
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


def test_everything_works_where_the_packages_are_missing() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None
from sage_native.exceptions import ConfigurationError
from sage_native.observability import tracing
with tracing.handshake("a", "b"), tracing.encryption("c"), tracing.signature("d"):
    assert tracing.trace_ids() is None
from sage_native.observability.tracing.outgoing import UpstreamSpan
with UpstreamSpan("GET", host="a", port=1) as span:
    assert span.headers == ()
try:
    tracing.start_tracing("http://127.0.0.1:1")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == (
        "tracing needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http: pip install "
        "'sage-native[observability]', or set tracing.enabled to false\n"
    )
