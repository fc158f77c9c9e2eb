"""Spans of a gateway: in this process, in front of an upstream, and as operators run it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest
from opentelemetry import trace

from sage_native import SigningKey
from sage_native.binary_http import Request, encode
from sage_native.exceptions import ConfigurationError
from sage_native.gateway import PublicApp
from sage_native.gateway.behind import HandlerBehind
from sage_native.gateway.behind.asgi import AsgiBehind
from sage_native.gateway.behind.upstream import UpstreamBehind
from sage_native.gateway.observing import Observing
from sage_native.gateway.serving import check
from sage_native.observability import RequestMiddleware
from sage_native.observability.context import current_scope
from sage_native.observability.tracing import TracingObserver, spans_dropped, start_tracing
from sage_native.observability.tracing.current import TRACE_KEY, SpanToCome
from tests.gateways import Agent, gateway_settings, open_site
from tests.observability.otlp import dead, hanging
from tests.observability.test_tracing import EXPORTER, PSEUDONYMS, SPAN, TRACE, believed, parent
from tests.security.canaries import finds
from tests.security.gateway.live import Live
from tests.upstreams import OK, answering, ask, puppet, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sage_native.gateway.behind import Behind
    from sage_native.gateway.peers import Peer
    from sage_native.observability.tracing import Tracing
    from tests.observability.otlp import Receiver

TRACEPARENT = re.compile(rb"(?i)traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])\r\n")
RECORDS = "POST /v1/sessions/{session_id}/messages"
INITIATE, COMPLETE = "POST /v1/handshake/initiate", "POST /v1/handshake/complete"
ASKED = ("GET /v1/identity", INITIATE)
"""What a client asks twice, since a new gateway wants a challenge first."""


@contextlib.asynccontextmanager
async def traced(
    tmp_path: Path, tracing: Tracing, *, behind: Behind | None = None, policy: str = "any_did_key"
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a gateway in this process."""
    settings = gateway_settings(tmp_path, {"admission.policy": policy})
    async with open_site(settings, behind=behind) as site:
        app = RequestMiddleware(PublicApp(site.gateway), TracingObserver(tracing))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield http


class Sampling:
    """Serves as a worker's own server does: whoever is sampled has a task, and is named there."""

    def __init__(self, app: ASGIApp, observer: TracingObserver) -> None:
        self._app = app
        self._observer = observer
        self.spans: list[object] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRACE_KEY] = None
        current_scope.set(scope)
        assert self._observer.sample(scope)
        await self._app(scope, receive, send)
        self.spans.append(scope[TRACE_KEY])


async def test_who_is_behind_finds_the_span_of_a_record_as_the_current_one(
    tmp_path: Path, tracing: Tracing
) -> None:
    """And where nobody is who could ask for it, it is not made yet."""
    found: list[trace.Span] = []

    async def answer(_: Peer, message: bytes) -> bytes:
        found.append(trace.get_current_span())
        return message

    for behind in (HandlerBehind(answer), None):
        settings = gateway_settings(tmp_path / str(behind), {"admission.policy": "any_did_key"})
        async with open_site(settings, behind=behind) as site:
            app = Sampling(PublicApp(site.gateway), TracingObserver(tracing))
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
                agent = Agent(http)
                session = await agent.handshake()
                assert await agent.ask(session, b"hello") == b"hello"
        if behind is not None:
            assert found == app.spans[-1:]
            assert found[0].is_recording()
        else:
            assert isinstance(app.spans[-1], SpanToCome)
    assert len(found) == 1


async def test_a_handshake_is_two_requests_with_a_span_in_each(
    tmp_path: Path, taker: Receiver
) -> None:
    with start_tracing(taker.url, pseudonyms=PSEUDONYMS) as tracing:
        async with traced(tmp_path, tracing) as http:
            agent = Agent(http)
            session = await agent.handshake()
            assert await agent.ask(session, b"hello") == b"hello"
    spans = {one.span_id: one for one in taker.spans()}
    server = [one.name for one in spans.values() if one.kind == "SERVER"]
    assert server == [*ASKED, *ASKED, COMPLETE, RECORDS]
    steps = [one for one in spans.values() if one.name == "handshake"]
    assert [spans[one.parent_id].name for one in steps] == [INITIATE, COMPLETE]
    both = {
        "sage.client": PSEUDONYMS.of_did(agent.did),
        "sage.server": PSEUDONYMS.of_did(session.server_did),
    }
    for one in steps:
        assert one.attributes == both
        assert one.trace_id == spans[one.parent_id].trace_id
    assert len(spans) == 8, "no span for a record"
    assert_silent(taker, agent.did, session.server_did, session.session_id)


async def test_a_refused_handshake_says_so_in_its_span(tmp_path: Path, taker: Receiver) -> None:
    """The second M1 is admitted by its challenge, and its client is not."""
    with start_tracing(taker.url, pseudonyms=PSEUDONYMS) as tracing:
        async with traced(tmp_path, tracing, policy="registered") as http:
            agent = Agent(http)
            with pytest.raises(AssertionError, match="authentication_failed"):
                await agent.handshake()
    (step,) = taker.spans("handshake")
    assert (step.failed, step.attributes["error.type"]) == (True, "authentication_failed")
    challenged, refused = taker.spans(INITIATE)
    assert refused.span_id == step.parent_id
    assert (challenged.failed, refused.failed) == (False, False), "the gateway did as it should"
    for one in (challenged, refused):
        assert one.attributes["http.response.status_code"] == 401
    assert_silent(taker, agent.did)


@pytest.mark.parametrize("rate", [0.0, 1.0])
async def test_an_application_behind_is_part_of_the_trace(
    tmp_path: Path, taker: Receiver, rate: float
) -> None:
    """It makes its spans with OpenTelemetry, and follows the decision of the gateway."""
    with start_tracing(taker.url, sample_rate=rate) as tracing:
        tracer = tracing.provider.get_tracer("sage_native")

        async def handler(_peer: Peer, message: bytes) -> bytes:
            with tracer.start_as_current_span("of a handler"):
                return message

        async def application(scope: Scope, _receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            with tracer.start_as_current_span("of an application"):
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})

        for place, behind in enumerate((HandlerBehind(handler), AsgiBehind(application))):
            state = tmp_path / str(place)
            state.mkdir(mode=0o700)
            async with traced(state, tracing, behind=behind) as http:
                agent = Agent(http)
                session = await agent.handshake()
                message = encode(Request(method="GET", path="/")) if place else b"hello"
                await agent.ask(session, message, binary_http=bool(place))
    spans = {one.span_id: one for one in taker.spans()}
    inner = [one for one in spans.values() if one.name.startswith("of a")]
    if rate == 0.0:
        assert not spans
        return
    assert [one.name for one in inner] == ["of a handler", "of an application"]
    assert [spans[one.parent_id].name for one in inner] == [RECORDS, RECORDS]


async def test_requests_are_answered_while_the_receiver_hangs(tmp_path: Path) -> None:
    """However long it does: it would have an hour. What does not fit is lost, and is counted."""
    before = spans_dropped()
    with hanging() as url:
        tracing = start_tracing(url, queue_len=4, export_timeout_s=3600.0)
        async with traced(tmp_path, tracing) as http:
            agent = Agent(http)
            session = await agent.handshake()
            for number in range(40):
                message = b"%d" % number
                assert await agent.ask(session, message) == message
        assert spans_dropped() > before + 30
        assert not tracing.shutdown(timeout_s=0.05)
    assert spans_dropped() == before + 47, "requests, and two steps of the handshake"


async def test_an_upstream_learns_of_the_trace_and_its_peer_has_no_say(taker: Receiver) -> None:
    async with puppet(answering(OK)) as upstream:
        behind = UpstreamBehind(f"{upstream.url}/base")

        async def app(*_: object) -> None:
            forged = (
                (b"traceparent", b"forged"),
                (b"tracestate", b"forged=1"),
                (b"x-b3-flags", b"1"),
            )
            await ask(behind, Request(method="GET", path="/secret?a=b", headers=forged))
            await tell(behind, b"a raw message")

        for rate in (1.0, 0.0):
            with start_tracing(taker.url, sample_rate=rate) as tracing:
                observer = TracingObserver(tracing, believes=believed if rate == 0.0 else None)
                unsampled = parent(flags=0), (b"tracestate", b"rojo=1")
                await RequestMiddleware(app, observer)(
                    {
                        "type": "http",
                        "method": "POST",
                        "path": "/",
                        "headers": [] if rate else unsampled,
                    },
                    None,  # type: ignore[arg-type]
                    None,  # type: ignore[arg-type]
                )
        await behind.aclose()
    got = upstream.requests
    assert len(got) == 4
    assert not any(b"forged" in one or b"x-b3" in one for one in got)
    told = [TRACEPARENT.findall(one) for one in got]
    assert [len(one) for one in told] == [1] * 4, "each has one"
    (server,) = [one for one in taker.spans() if one.kind == "SERVER"]
    calls = [one for one in taker.spans() if one.kind == "CLIENT"]
    assert [(one.name, one.parent_id) for one in calls] == [
        ("GET", server.span_id),
        ("POST", server.span_id),
    ]
    for call, ((trace_id, span_id, flags),) in zip(calls, told[:2], strict=True):
        assert (trace_id.decode(), span_id.decode()) == (call.trace_id, call.span_id)
        assert int(flags, 16) & 1
        assert call.attributes == {
            "http.request.method": call.name,
            "http.response.status_code": 200,
            "server.address": "127.0.0.1",
            "server.port": int(upstream.url.rpartition(":")[2]),
        }
    for one, ((trace_id, span_id, flags),) in zip(got[2:], told[2:], strict=True):
        assert (trace_id.decode(), flags) == (TRACE, b"00")
        assert span_id.decode() != SPAN, "the gateway is in between"
        assert b"tracestate: rojo=1\r\n" in one.lower()
    assert_silent(taker, "secret", "did:example:alice")


async def test_an_upstream_is_told_nothing_where_nobody_traces() -> None:
    async with puppet(answering(OK)) as upstream:
        behind = UpstreamBehind(upstream.url)
        await ask(behind, Request(method="GET", path="/"))
        await behind.aclose()
    assert b"trace" not in upstream.requests[0].lower()


@pytest.mark.parametrize(
    "settings",
    [
        {"tracing.enabled": "false"},
        {"tracing.enabled": "true", "features.tracing": "false"},
    ],
)
def test_tracing_is_off_unless_section_and_flag_agree(
    tmp_path: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # That of a process can be set once, and would stay for the tests that follow.
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: None)
    assert not any(isinstance(one, TracingObserver) for one in observers(tmp_path, settings))
    on = {"tracing.enabled": "true", "tracing.endpoint": dead()}
    assert sum(isinstance(one, TracingObserver) for one in observers(tmp_path, on)) == 1


def observers(tmp_path: Path, settings: Mapping[str, object]) -> tuple[object, ...]:
    off = {"metrics.enabled": "false", **settings}
    with Observing(gateway_settings(tmp_path, off), "public") as observing:
        return observing._observers


def test_a_gateway_that_does_not_trace_imports_nothing_for_it() -> None:
    script = (
        "import sys, sage_native.gateway.worker, sage_native.gateway.behind.upstream\n"
        "loaded = [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


async def test_a_gateway_that_cannot_trace_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    settings = gateway_settings(tmp_path, {"tracing.enabled": "true"})
    with pytest.raises(ConfigurationError, match="or set tracing"):
        await check(settings)


def running(**settings: object) -> Live:
    return Live(**{"admission.policy": "any_did_key", "tracing.enabled": "true", **settings})


async def test_a_running_gateway_sends_its_spans(taker: Receiver) -> None:
    """Two workers and the admin listener, over sockets; the last spans are sent at the end."""
    live = running(**{"tracing.endpoint": taker.url, "logging.format": "json"})
    try:
        live.start()
        async with live.client(keeps=False) as http:
            agent = await live.registered(http)
            session = await agent.handshake()
            for number in range(8):
                await agent.ask(session, b"%d" % number)
            await agent.post("/v1/handshake/complete", b"{}", traceparent=parent()[1].decode())
            await http.get("/v1/nowhere/at/all")
        folder = live.state_dir / "secrets"
        secrets = {
            "signing key": SigningKey.from_pem((folder / "signing-key").read_bytes()).to_bytes(),
            "kek": base64.b64decode((folder / "kek").read_bytes().partition(b":")[2]),
            "token": live.token().encode(),
            "client's key": agent.key.to_bytes(),
        }
        live.stop()
        log = live.log()
    finally:
        live.close()
    spans = taker.spans()
    names = [one.name for one in spans if one.kind == "SERVER"]
    assert names.count(RECORDS) == 8
    assert {"POST /v1/dids", "GET", INITIATE, COMPLETE} <= set(names)
    assert not any("health" in name or "ready" in name for name in names)
    by_id = {one.span_id: one for one in spans}
    assert len(by_id) == len(spans)
    steps = [one for one in spans if one.name == "handshake"]
    assert {by_id[one.parent_id].name for one in steps} == {INITIATE, COMPLETE}
    assert {one.attributes["sage.listener"] for one in spans if one.kind == "SERVER"} == {
        "public",
        "admin",
    }
    assert {one.resource["service.name"] for one in spans} == {"sage-native"}
    assert len({one.resource["service.instance.id"] for one in spans}) >= 2
    (stranger,) = [one for one in spans if one.links]
    assert stranger.links == ((TRACE, SPAN),)
    assert stranger.trace_id != TRACE, "strangers are not believed"
    ids = [agent.did, session.server_did, session.session_id, session.session_id.replace("-", "")]
    assert_silent(taker, *ids, "127.0.0.1:")
    assert finds([("a span", body) for body in taker.bodies], secrets) == []
    assert "Traceback" not in log, log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = {one["request_id"]: one for one in lines if one.get("route") == RECORDS.split()[1]}
    found = {one.attributes["sage.request_id"]: one for one in spans if one.name == RECORDS}
    assert len(found) == 8
    assert told.keys() == found.keys()
    for name, line in told.items():
        assert (line["trace_id"], line["span_id"]) == (found[name].trace_id, found[name].span_id)
    (finished,) = [line for line in lines if line.get("event") == "handshake finished"]
    assert finished["client"] in {one.attributes.get("sage.client") for one in steps}


@pytest.mark.parametrize("sort", ["dead", "hanging"])
async def test_a_running_gateway_outlives_its_receiver(sort: str) -> None:
    with hanging() as url:
        live = running(**{"tracing.endpoint": url if sort == "hanging" else dead()})
        try:
            live.start()
            async with live.client() as http:
                agent = Agent(http, SigningKey.generate())
                session = await agent.handshake()
                for _ in range(20):
                    assert await agent.ask(session, b"hello") == b"answer to hello"
            os.kill(live.pid, signal.SIGTERM)
            assert live.wait() == 0, "it ends by itself, and well"
            log = live.log()
        finally:
            live.close()
    assert "Traceback" not in log, log
    assert log.count("encountered while exporting") <= 3, log


def assert_silent(taker: Receiver, *hidden: str) -> None:
    """Assert that none of these was sent, as text or as bytes."""
    assert taker.bodies
    sent = b"".join(taker.bodies)
    for one in hidden:
        assert one.encode() not in sent, one
        with contextlib.suppress(ValueError):
            assert bytes.fromhex(one) not in sent, one
