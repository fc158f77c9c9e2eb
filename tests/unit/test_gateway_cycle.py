"""Answers of the gateway's connections, held against uvicorn's own for the same bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from sage_native.gateway.connections import SweptProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    Message: TypeAlias = dict[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[object]]

GET = b"GET /a%20b?c=d HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = GET.replace(b"1.1", b"1.0")
LAST = GET.replace(b"host: x", b"Connection: close")
POST = b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabc"
OTHER = POST.replace(b"abc", b"xyz")
CHUNKED = b"POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
EXPECTS = POST.replace(b"Host: x", b"Expect: 100-continue")


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = self.is_paused = self.has_ended = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def connected(kind: type[Any], app: Application) -> tuple[Any, Transport]:
    config = uvicorn.Config(
        app,
        http=kind,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    state, transport = ServerState(), Transport()
    state.default_headers = [(b"date", b"today"), (b"x", b"y")]
    protocol = kind(config=config, server_state=state, app_state={"of": "the lifespan"})
    protocol.connection_made(transport)
    return protocol, transport


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def said(
    kind: type[Any], app: Application, pieces: Sequence[bytes]
) -> tuple[list[str], Transport]:
    """Send pieces one after the other; return the answers, the lines of their heads sorted."""
    protocol, transport = connected(kind, app)
    for piece in pieces:
        if not transport.is_closed:
            protocol.data_received(piece)
        await settled()
    protocol._unset_keepalive_if_required()
    _, *answers = b"".join(transport.writes).decode().split("HTTP/1.1 ")
    return [_in_order(answer) for answer in answers], transport


def _in_order(answer: str) -> str:
    head, _, body = answer.partition("\r\n\r\n")
    return "\n".join([*sorted(head.lower().split("\r\n")), "", body])


async def whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"...")
        if not message.get("more_body"):
            return bytes(body)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    told = {**scope, "body": await whole(receive)}
    for only_ours in ("sage.lingers", "sage.whole"):
        told.pop(only_ours, None)
    body = repr(sorted(told.items())).encode()
    headers = [(b"Content-Length", b"%d" % len(body)), (b"X-A", b"b")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def kept(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    await say_ok(send)


async def say_ok(send: Send) -> None:
    headers = ((b"content-length", b"2"), (b"content-type", b"text/plain"))
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def streaming(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"ab", b"", b"c"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def in_parts(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"cd"})


async def chunks(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    headers = [(b"transfer-encoding", b"chunked")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"abc"})


async def empty(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def closing(_scope: Message, receive: Receive, send: Send) -> None:
    await whole(receive)
    headers = [(b"connection", b"close"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def silent(_scope: Message, _receive: Receive, _send: Send) -> None:
    return None


async def talkative(_scope: Message, _receive: Receive, send: Send) -> object:
    await kept(_scope, _receive, send)
    return "something"


async def failing(_scope: Message, _receive: Receive, _send: Send) -> None:
    raise ZeroDivisionError


async def failing_midway(_scope: Message, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    raise ZeroDivisionError


async def out_of_turn(_scope: Message, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": b""})


APPLICATIONS = {
    one.__name__: one
    for one in (
        *(echo, kept, streaming, in_parts, chunks, empty, closing),
        *(silent, talkative, failing, failing_midway, out_of_turn),
    )
}
REQUESTS = {
    "one": [GET],
    "one after the other": [GET, GET, POST, POST, OTHER, GET, OTHER],
    "the same in pieces": [POST, *(POST[at : at + 7] for at in range(0, len(POST), 7)), POST],
    "head, then body": [POST, POST[:-3], POST[-3:], POST, OTHER[:-1], OTHER[-1:]],
    "two at once": [POST, POST + OTHER, POST, GET + POST, OTHER],
    "with bytes between": [POST, b"\r\n", POST, b"\r\n" + POST, b"\r\n" + POST, POST],
    "only a head": [HEAD, HEAD, POST],
    "of HTTP/1.0": [OLD],
    "the last": [POST, LAST],
    "in chunks": [CHUNKED, CHUNKED, CHUNKED[:70], CHUNKED[70:], POST, POST],
    "with a question": [EXPECTS[:-3], EXPECTS[-3:], EXPECTS],
    "no HTTP": [POST, b"nonsense\r\n\r\n"],
}


@pytest.mark.parametrize("requests", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("app", APPLICATIONS.values(), ids=APPLICATIONS)
async def test_clients_cannot_tell_it_from_uvicorn(
    app: Application, requests: Sequence[bytes]
) -> None:
    kind = SweptProtocol.for_worker(10)
    answers, transport = await said(kind, app, requests)
    theirs, their_transport = await said(HttpToolsProtocol, app, requests)
    # What was begun and cannot be ended is cut off; uvicorn also sends heads without a body.
    assert answers == theirs
    assert transport.is_closed == their_transport.is_closed
    again, _ = await said(kind, app, requests)  # all heads are known now
    assert again == answers


async def test_a_known_head_needs_no_parser_and_an_answer_one_write() -> None:
    kind = SweptProtocol.for_worker(10)
    protocol, transport = connected(kind, kept)
    protocol.data_received(POST)
    await settled()
    protocol.parser = None
    protocol.data_received(OTHER)
    await settled()
    assert len(transport.writes) == 2
    assert transport.writes[0] == transport.writes[1]
    assert len(kind.request_heads) == len(kind.answer_heads) == 1


async def test_known_heads_do_not_pass_by_a_request_that_is_at_work() -> None:
    answered: list[bytes] = []
    go_on = asyncio.Event()

    async def slow(_scope: Message, receive: Receive, send: Send) -> None:
        answered.append(await whole(receive))
        await go_on.wait()
        await say_ok(send)

    protocol, transport = connected(SweptProtocol.for_worker(10), slow)
    go_on.set()
    protocol.data_received(POST)
    await settled()
    go_on.clear()
    for request in (OTHER, POST):
        protocol.data_received(request)
        await settled()
    assert answered == [b"abc", b"xyz"]
    assert transport.is_paused
    go_on.set()
    await settled()
    assert answered == [b"abc", b"xyz", b"abc"]
    assert len(transport.writes) == 3
    assert not transport.is_paused


async def test_a_head_without_its_body_is_not_sent() -> None:
    async def half(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    answers, transport = await said(SweptProtocol.for_worker(10), half, [POST])
    assert "500 internal server error" in answers[0]
    assert transport.is_closed


@pytest.mark.parametrize("bodies", [(b"abc",), (b"a",), (b"a", b"bc"), (b"",)])
async def test_a_body_of_another_length_is_never_sent_as_if_it_were_whole(
    bodies: Sequence[bytes],
) -> None:
    async def wrong(_scope: Message, _receive: Receive, send: Send) -> None:
        headers = ((b"content-length", b"2"),)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, body in enumerate(bodies):
            more = number < len(bodies) - 1
            await send({"type": "http.response.body", "body": body, "more_body": more})

    answers, transport = await said(SweptProtocol.for_worker(10), wrong, [POST])
    assert transport.is_closed
    if len(bodies) == 1:
        assert "500 internal server error" in answers[0]
    else:
        assert answers[0].endswith("\n\na")


async def test_who_takes_nothing_is_waited_for_before_more_is_written() -> None:
    protocol, transport = connected(SweptProtocol.for_worker(10), in_parts)
    protocol.pause_writing()
    protocol.data_received(POST)
    await settled()
    assert transport.writes == []
    protocol.resume_writing()
    await settled()
    assert b"".join(transport.writes).endswith(b"\r\n\r\nabcd")


async def test_all_who_wait_on_a_lost_connection_are_told() -> None:
    ended: list[Any] = []

    async def waiting(_scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        ended.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"to nobody"})

    protocol, transport = connected(SweptProtocol.for_worker(10), waiting)
    protocol.data_received(POST)
    await settled()
    protocol.data_received(POST)  # waits behind it
    transport.is_closed = True
    protocol.connection_lost(None)
    await settled()
    assert ended == [{"type": "http.disconnect"}]
    assert transport.writes == []


async def test_a_long_body_is_received_bit_by_bit() -> None:
    lengths: list[int] = []

    async def counting(_scope: Message, receive: Receive, send: Send) -> None:
        while (message := await receive())["more_body"]:
            lengths.append(len(message["body"]))
        await say_ok(send)

    protocol, transport = connected(SweptProtocol.for_worker(10), counting)
    protocol.data_received(b"POST / HTTP/1.1\r\ncontent-length: 300000\r\n\r\n")
    for _ in range(3):
        protocol.data_received(bytes(40_000))
        protocol.data_received(bytes(40_000))
        assert transport.is_paused
        await settled()
        assert not transport.is_paused
    assert lengths == [80_000] * 3
    protocol.data_received(bytes(60_000))
    await settled()
    assert transport.writes[0].startswith(b"HTTP/1.1 201 ")


async def test_a_long_answer_is_not_copied_behind_its_head() -> None:
    body = bytes(100_000)

    async def long(_scope: Message, _receive: Receive, send: Send) -> None:
        headers = ((b"content-length", b"100000"),)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    _, transport = await said(SweptProtocol.for_worker(10), long, [POST])
    assert transport.writes[1] is body
