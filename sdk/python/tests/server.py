"""A real server of the protocol on loopback, which can be told to misbehave.

It listens with asyncio in a thread of its own, speaks HTTP/1.1 by hand (so that it can break a
connection at any byte), and answers with the library: ``Responder``, ``ReplaySet`` and
``SessionTable``. A test tells it what to do with the next request of one kind::

    server.next("messages", lose_answer)

A trick is given the ``Exchange``; what it does not do does not happen.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from sage_native.binary_http import Response, decode_request, encode
from sage_native.exceptions import HandshakeError, SageError
from sage_native.keys import SigningKey, VerifyingKey, resolve_did_key
from sage_native.protocol import Responder, SessionTable, decode_json, encode_json
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Self

REQUEST_AAD, ANSWER_AAD = b"SAGE-HTTP/1 request", b"SAGE-HTTP/1 response"
STATUSES = {
    "authentication_failed": 401,
    "stale_timestamp": 401,
    "challenge_required": 401,
    "misdirected": 421,
    "replay_detected": 409,
    "rekey_required": 409,
    "payload_too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "store_unavailable": 503,
    "upstream_unavailable": 502,
}


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()

    def head(self, length: int | None = None) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Whatever", f"content-type: {self.media_type}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status != 204:
            lines.append(f"content-length: {len(self.body) if length is None else length}")
        return "\r\n".join((*lines, "", "")).encode()


def problem(code: str, *, headers: Sequence[tuple[str, str]] = (), **more: object) -> Answer:
    status = STATUSES.get(code, 400)
    document = {"type": f"urn:sage:problem:{code}", "title": code, "status": status, **more}
    return Answer(status, json.dumps(document).encode(), "application/problem+json", headers)


@dataclass
class Exchange:
    """One request, and how to answer it."""

    server: ProtocolServer
    kind: str
    path: str
    body: bytes
    writer: asyncio.StreamWriter

    def carry_out(self) -> Answer:
        """Do what the protocol says, and return the answer without sending it."""
        return self.server.answer(self)

    async def reply(self, answer: Answer) -> None:
        self.writer.write(answer.head() + answer.body)
        await self.writer.drain()

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def drop(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


Trick: TypeAlias = "Callable[[Exchange], Awaitable[None]]"


@dataclass
class Told:
    """What the server has seen. Read it when nothing is under way."""

    requests: list[tuple[str, bytes]] = field(default_factory=list)
    delivered: list[bytes] = field(default_factory=list)
    connections: int = 0

    def bodies(self, kind: str) -> list[bytes]:
        return [body for name, body in self.requests if name == kind]

    def count(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.requests)


class ProtocolServer:
    """The server. A context manager: leaving it stops the thread."""

    def __init__(
        self,
        *,
        signing_key: SigningKey | None = None,
        dids: Sequence[str] = (),
        require_challenge: bool = False,
        require_signature: bool = False,
        lifetime_s: int = 3600,
        idle_timeout_s: int = 600,
    ) -> None:
        self.signing_key = SigningKey.generate() if signing_key is None else signing_key
        self.refused_dids: set[str] = set()
        self.told = Told()
        self.table = SessionTable()
        self.lifetime_s, self.idle_timeout_s = lifetime_s, idle_timeout_s
        self.clock_offset_ms = 0
        self.require_signature = require_signature
        self.responder = Responder(
            self.signing_key,
            resolve=self._resolve,
            admit=ReplaySet(10_000).admit,
            dids=dids,
            require_challenge=require_challenge,
            require_signed_confirmation=require_signature,
        )
        self._tricks: defaultdict[str, deque[Trick]] = defaultdict(deque)
        self._always: dict[str, Trick] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def key(self) -> VerifyingKey:
        return self.signing_key.verifying_key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def next(self, kind: str, *tricks: Trick) -> None:
        """Do these with the next requests of a kind, one each."""
        self._tricks[kind].extend(tricks)

    def always(self, kind: str, trick: Trick) -> None:
        """Do this with every request of a kind that has no trick of its own."""
        self._always[kind] = trick

    def calm(self) -> None:
        """Forget all tricks."""
        self._tricks.clear()
        self._always.clear()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something on the server's event loop and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 22)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request_line, *lines = head.strip().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines)
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                path = request_line.split(" ")[1]
                await self._exchange(path, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(self, path.rsplit("/", 1)[-1], path, body, writer)
        self.told.requests.append((exchange.kind, body))
        if self._tricks[exchange.kind]:
            await self._tricks[exchange.kind].popleft()(exchange)
        elif exchange.kind in self._always:
            await self._always[exchange.kind](exchange)
        else:
            await exchange.reply(exchange.carry_out())

    def answer(self, exchange: Exchange) -> Answer:
        try:
            match exchange.kind:
                case "initiate":
                    return self._initiate(exchange.body)
                case "complete":
                    return self._complete(exchange.body)
                case "messages":
                    return self._message(exchange.body)
                case "rekey":
                    return self._rekey(exchange)
                case "identity":
                    return Answer(200, json.dumps(self.identity()).encode())
        except HandshakeError as error:
            more: dict[str, Any] = {}
            if error.server_time_ms is not None:
                more["server_time_ms"] = error.server_time_ms
            if error.challenge is not None:
                more["challenge"] = base64.urlsafe_b64encode(error.challenge).decode().strip("=")
            return problem(error.code, **more)
        except SageError as error:
            return problem(getattr(error, "code", "malformed_request"))
        return problem("not_found")

    def identity(self) -> dict[str, object]:
        text = base64.urlsafe_b64encode(self.key.to_bytes()).decode().strip("=")
        return {
            "version": 1,
            "suites": [1],
            "dids": [self.key.did],
            "keys": [{"did": self.key.did, "public_key": text}],
            "confirmation": "signature" if self.require_signature else "mac",
            "challenges": "when_needed",
            "limits": {"max_plaintext_len": 1 << 20},
        }

    def _resolve(self, did: str, /) -> Sequence[VerifyingKey]:
        return () if did in self.refused_dids else resolve_did_key(did)

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def _initiate(self, body: bytes) -> Answer:
        m2, session = self.responder.respond(
            decode_json("initiate", body),
            lifetime_s=self.lifetime_s,
            idle_timeout_s=self.idle_timeout_s,
            now_ms=self._now_ms(),
        )
        self.table.add(session)
        return Answer(200, encode_json("accept", m2))

    def _complete(self, body: bytes) -> Answer:
        m3 = decode_json("confirm", body)
        session = self.table.get(str(UUID(bytes=m3[:16])))
        if session is None:
            return problem("authentication_failed")
        session.confirm(m3)
        return Answer(204)

    def _message(self, record: bytes) -> Answer:
        session, message = self.table.open(record, aad=REQUEST_AAD)
        if session.state == "closed":
            return Answer(204)
        self.told.delivered.append(message)
        aad = ANSWER_AAD + record[:48]
        is_http = bool(record[3] & 4)
        answer = self._http(message) if is_http else b"answer to " + message[:32]
        sealed = session.seal(answer, aad=aad, answers=record, binary_http=is_http)
        return Answer(200, sealed, "application/sage-record")

    def _http(self, message: bytes) -> bytes:
        request = decode_request(message)
        headers = ((b"x-method", request.method.encode()), (b"x-path", request.path.encode()))
        return encode(Response(status=207, headers=headers, content=request.content))

    def _rekey(self, exchange: Exchange) -> Answer:
        session = self.table.get(exchange.path.split("/")[3])
        if session is None:
            return problem("authentication_failed")
        r2 = session.answer_rekey(decode_json("rekey_request", exchange.body))
        return Answer(200, encode_json("rekey_reply", r2))


async def lose_request(exchange: Exchange) -> None:
    """The request never arrives."""
    exchange.drop()


async def lose_answer(exchange: Exchange) -> None:
    """The request arrives and is carried out; the answer never comes."""
    exchange.carry_out()
    exchange.drop()


async def cut_answer(exchange: Exchange) -> None:
    """Half of the answer comes."""
    answer = exchange.carry_out()
    await exchange.write(answer.head() + answer.body[: len(answer.body) // 2])
    exchange.drop()


async def hang(exchange: Exchange) -> None:
    """It is carried out, and nothing ever comes."""
    exchange.carry_out()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    exchange.drop()


async def drip(exchange: Exchange) -> None:
    """The answer's body comes byte by byte and is not at its end for minutes."""
    answer = exchange.carry_out()
    await exchange.write(answer.head(length=100_000))
    with suppress(asyncio.CancelledError, ConnectionError):
        while not exchange.writer.is_closing():
            await exchange.write(b"x")
            await asyncio.sleep(0.02)


async def huge(exchange: Exchange) -> None:
    """The body does not end."""
    await exchange.write(Answer(200).head(length=1 << 40))
    with suppress(ConnectionError):
        while not exchange.writer.is_closing():
            await exchange.write(bytes(1 << 16))


async def redirect(exchange: Exchange) -> None:
    """Go somewhere else."""
    location = f"{exchange.server.url}/elsewhere"
    await exchange.reply(Answer(307, headers=[("location", location)]))


async def garbage(exchange: Exchange) -> None:
    """200, and a body that is nothing."""
    await exchange.reply(Answer(200, bytes(range(256)), "application/sage-record"))


async def page(exchange: Exchange) -> None:
    """What a proxy in between may say."""
    await exchange.reply(Answer(502, b"<html>bad gateway</html>", "text/html"))


async def compressed(exchange: Exchange) -> None:
    """A proxy in between has compressed."""
    await exchange.reply(Answer(200, b"\x1f\x8b", headers=[("content-encoding", "gzip")]))


def refuse(code: str, **more: Any) -> Trick:
    """Refuse, without carrying anything out."""

    async def trick(exchange: Exchange) -> None:
        await exchange.reply(problem(code, **more))

    return trick


def deliver_and_refuse(code: str) -> Trick:
    """Carry it out, and let a stranger answer with a refusal."""

    async def trick(exchange: Exchange) -> None:
        exchange.carry_out()
        await exchange.reply(problem(code))

    return trick


class Swap:
    """A trick for two requests: each gets the answer to the other."""

    def __init__(self) -> None:
        self._waiting: tuple[Exchange, Answer, asyncio.Event] | None = None

    async def __call__(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        if self._waiting is None:
            answered = asyncio.Event()
            self._waiting = (exchange, answer, answered)
            await answered.wait()
            return
        other, other_answer, answered = self._waiting
        await other.reply(answer)
        answered.set()
        await exchange.reply(other_answer)


class Hold:
    """A trick that holds requests back until they are let go."""

    def __init__(self) -> None:
        self.held = threading.Semaphore(0)
        self._go = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        self.held.release()
        await self._go.wait()
        await exchange.reply(exchange.carry_out())

    async def let_go(self) -> None:
        self._go.set()
