"""An ASGI application behind the gateway: requests, lifespan, and applications that misbehave."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from sage_native.binary_http import Request, Response, field_values
from sage_native.gateway.behind import BehindTimeoutError, BehindUnavailableError
from sage_native.gateway.behind.asgi import AsgiBehind
from tests.upstreams import ALICE, BOB, ask, ask_bytes, soon, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request as StarletteRequest
    from starlette.types import ASGIApp, Receive, Scope, Send

GET = Request(method="GET", path="/")
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


async def told(request: StarletteRequest) -> JSONResponse:
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "raw": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "host": request.headers["host"],
            "fields": [
                [name.decode(), value.decode()]
                for name, value in request.headers.raw
                if name.startswith(b"sage") or name == b"x"
            ],
            "did": request.scope["sage.peer"].did,
            "body": (await request.body()).decode(),
            "state": getattr(request.state, "kept", None),
        },
        status_code=201,
        headers={"connection": "close", "x-answer": "1"},
    )


def application(
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[Any]] | None = None,
) -> Starlette:
    routes = [Route("/{rest:path}", told, methods=["GET", "POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


async def test_a_request_reaches_the_application_with_its_peer() -> None:
    behind = AsgiBehind(application())
    await behind.start()
    request = Request(
        method="POST",
        path="/a%20b/c%2Fd?e=f%20g",
        authority="evil.example",
        headers=((b"x", b"1"), (b"sage_peer_did", b"forged"), (b"x", b"2")),
        content=b"hello",
    )
    answer = await ask(behind, request, BOB)
    assert answer.status == 201
    assert field_values(answer.headers, b"x-answer") == [b"1"]
    assert field_values(answer.headers, b"connection") == []
    assert json.loads(answer.content) == {
        "method": "POST",
        "path": "/a b/c/d",
        "raw": "/a%20b/c%2Fd",
        "query": "e=f%20g",
        "host": "localhost",
        "fields": [
            ["x", "1"],
            ["x", "2"],
            ["sage-peer-did", BOB.did],
            ["sage-session-id", BOB.session_id],
        ],
        "did": BOB.did,
        "body": "hello",
        "state": None,
    }
    await behind.aclose()


async def test_a_raw_message_is_a_post_to_the_root() -> None:
    async def upper(request: StarletteRequest) -> PlainTextResponse:
        assert request.headers["content-type"] == "application/octet-stream"
        assert request.headers["sage-peer-did"] == ALICE.did
        status = 418 if await request.body() == b"tea" else 200
        return PlainTextResponse((await request.body()).upper(), status_code=status)

    behind = AsgiBehind(Starlette(routes=[Route("/", upper, methods=["POST"])]))
    await behind.start()
    assert await tell(behind, b"abc") == b"ABC"
    with pytest.raises(BehindUnavailableError, match="status 418") as refused:
        await tell(behind, b"tea")
    assert refused.value.delivered is True
    await behind.aclose()


async def test_what_is_refused_never_reaches_the_application() -> None:
    behind = AsgiBehind(sending(raises=True))
    await behind.start()
    assert (await ask(behind, Request(method="TRACE", path="/"))).status == 405
    assert (await ask(behind, Request(method="GET", path="//evil.example/"))).status == 400
    assert (await ask_bytes(behind, b"nonsense")).status == 400
    assert (await ask(behind, GET)).status == 502
    await behind.aclose()


async def test_lifespan() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        steps.append("up")
        yield {"kept": "something"}
        steps.append("down")

    behind = AsgiBehind(application(lifespan=lifespan))
    with pytest.raises(BehindUnavailableError, match="not up"):
        await behind.check()
    await behind.start()
    await behind.check()
    assert steps == ["up"]
    assert json.loads((await ask(behind, GET)).content)["state"] == "something"
    await behind.aclose()
    assert steps == ["up", "down"]
    with pytest.raises(BehindUnavailableError, match="not up"):
        await behind.check()
    await behind.aclose()
    assert steps == ["up", "down"]


async def test_an_application_that_refuses_to_start() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not app.debug:
            raise LookupError("no database")
        yield

    behind = AsgiBehind(application(lifespan=lifespan))
    with pytest.raises(BehindUnavailableError, match="refused to start: LookupError: no database"):
        await behind.start()
    with pytest.raises(BehindUnavailableError, match="not up"):
        await behind.check()
    await behind.aclose()


async def test_an_application_without_lifespan() -> None:
    async def simple(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        assert (await receive())["body"] == b""
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    behind = AsgiBehind(simple)
    await behind.start()
    await behind.check()
    assert await ask(behind, GET) == Response(status=204)
    await behind.aclose()


async def test_an_application_that_does_not_shut_down_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    behind = AsgiBehind(stubborn, timeout_s=0.05)
    await behind.start()
    await behind.aclose()
    assert cancelled.is_set()


def sending(*messages: dict[str, Any], raises: bool = False) -> ASGIApp:
    """An application that sends these messages, and may raise after them."""

    async def script(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if raises:
            raise LookupError("hunter2")

    return script


async def _endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    while True:
        await send({"type": "http.response.body", "body": b"x", "more_body": True})


END = {"type": "http.response.body", "body": b"a"}
MORE = {**END, "more_body": True}


@pytest.mark.parametrize(
    "misbehaving",
    [
        pytest.param(sending(raises=True), id="raises"),
        pytest.param(sending(), id="says nothing"),
        pytest.param(sending(START, MORE), id="stops half-way"),
        pytest.param(sending(START, MORE, raises=True), id="raises half-way"),
        pytest.param(sending(END), id="body before status"),
        pytest.param(sending(START, START, END), id="two statuses"),
        pytest.param(sending({"type": "websocket.accept"}), id="another protocol"),
        pytest.param(sending(START, {**END, "body": bytes(1001)}), id="too long"),
        pytest.param(_endless, id="endless"),
    ],
)
async def test_an_application_that_misbehaves_is_a_bad_gateway(misbehaving: ASGIApp) -> None:
    behind = AsgiBehind(misbehaving, max_response_len=1000)
    answer = await ask(behind, GET)
    assert answer.status == 502
    document = json.loads(answer.content)
    assert document["type"] == "urn:sage:problem:upstream_unavailable"
    assert document["delivered"] is True
    assert b"hunter2" not in answer.content
    with pytest.raises(BehindUnavailableError) as failed:
        await tell(behind, b"x")
    assert "hunter2" not in str(failed.value)
    await behind.aclose()


@pytest.mark.parametrize(
    "start",
    [
        {**START, "headers": [(b"a", b"b\r\nc: d")]},
        {**START, "headers": [(b"a:", b"b")]},
        {**START, "status": 999},
        {**START, "status": 103},
    ],
)
async def test_an_answer_that_is_no_http_is_a_bad_gateway(start: dict[str, Any]) -> None:
    assert (await ask(AsgiBehind(sending(start, END)), GET)).status == 502


async def test_an_answer_of_exactly_the_limit() -> None:
    async def whole(_: StarletteRequest) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield bytes(600)
            yield bytes(400)

        return StreamingResponse(parts())

    behind = AsgiBehind(Starlette(routes=[Route("/", whole)]), max_response_len=1000)
    await behind.start()
    assert (await ask(behind, GET)).content == bytes(1000)
    await behind.aclose()


async def test_an_application_that_takes_too_long_is_cancelled() -> None:
    cancelled = asyncio.Event()
    behind = AsgiBehind(_waiting(asyncio.Event(), cancelled), timeout_s=0.05)
    answer = await ask(behind, GET)
    assert answer.status == 504
    assert json.loads(answer.content)["type"] == "urn:sage:problem:upstream_timeout"
    await soon(cancelled)
    with pytest.raises(BehindTimeoutError):
        await tell(behind, b"x")
    await behind.aclose()


async def test_a_peer_that_goes_away_cancels_the_application() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()
    behind = AsgiBehind(_waiting(started, cancelled))
    asking = asyncio.create_task(ask(behind, GET))
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await soon(cancelled)
    await behind.aclose()


def _waiting(started: asyncio.Event, cancelled: asyncio.Event) -> ASGIApp:
    async def waiting(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        started.set()
        try:
            assert (await receive())["type"] == "http.disconnect"
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    return waiting


async def test_background_tasks_go_on_after_the_answer_and_end_before_the_close() -> None:
    may_go_on, done = asyncio.Event(), asyncio.Event()

    async def later() -> None:
        await may_go_on.wait()
        done.set()

    async def now(_: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse("at once", background=BackgroundTask(later))

    behind = AsgiBehind(Starlette(routes=[Route("/", now)]))
    await behind.start()
    assert (await ask(behind, GET)).content == b"at once"
    assert not done.is_set()
    may_go_on.set()
    await behind.aclose()
    assert done.is_set()
