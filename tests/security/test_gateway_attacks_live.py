"""Attacks that need connections and processes. Each docstring begins with its row of the table."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
import pytest_asyncio
import uvicorn

from sage_native import Initiator, SigningKey
from sage_native.gateway import PublicApp
from sage_native.gateway.connections import SweptProtocol
from sage_native.gateway.routes.records import REQUEST_AAD, RESPONSE_AAD
from sage_native.protocol import RecordHeader, decode_json, encode_json
from tests.gateways import Agent, code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena
from tests.security.gateway.live import Live, raw
from tests.sweeping import sweep_for_ever

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sage_native import Session
    from sage_native.protocol import Attempt

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETE = "/v1/handshake/complete"
ENOUGH_S = 30.0


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    one = Live(**{"admission.policy": "any_did_key"})
    try:
        yield one.start()
    finally:
        one.close()


def assert_quiet(live: Live) -> None:
    """Assert that the log shows no stack, no panic, no token, and not every bad request."""
    log = live.log()
    for word in ("Traceback", "panicked", 'File "', "Invalid HTTP", live.token()):
        assert word not in log, log


RAW = {
    "absolute form": b"GET http://evil.example/v1/dids HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "admin's host": b"GET /v1/dids HTTP/1.1\r\nHost: 127.0.0.1:8481\r\n\r\n",
    "two hosts": b"GET /v1/dids HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /v1/dids HTTP/1.1\r\n\r\n",
    "encoded path": b"GET /v1/%64ids HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded slash": b"GET /v1%2fdids HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded dots": b"GET /v1/identity/%2e%2e/dids HTTP/1.1\r\nHost: x\r\n\r\n",
    "twice encoded": b"GET /v1/%2564ids HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded NUL": b"GET /v1/identity%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded newline": b"GET /v1/identity%0a HTTP/1.1\r\nHost: x\r\n\r\n",
    "no UTF-8": b"GET /v1/dids/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw bytes": b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment": b"GET /v1/dids#/v1/identity HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "trace": b"TRACE /v1/identity HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower case": b"get /v1/identity HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /v1/identity\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /v1/dids HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "noise": bytes(range(256)) * 4,
    "upgrade": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "h2c": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, "
    b"HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "space before colon": b"GET /v1/dids HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "NUL in a header": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /v1/dids HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
}


@pytest.mark.parametrize("title", RAW)
async def test_requests_as_nobody_should_send_them(live: Live, title: str) -> None:
    """method, path and host tricks on every route"""
    answer = await asyncio.to_thread(raw, live.port, RAW[title])
    statuses = statuses_of(answer)
    assert len(statuses) <= 1
    assert all(400 <= status < 500 or status == 501 for status in statuses), answer
    assert b"Traceback" not in answer
    assert b"did:key" not in answer
    assert_quiet(live)


def statuses_of(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


SMUGGLED = b"GET /v1/identity HTTP/1.1\r\nHost: x\r\nX-Smuggled: 1\r\n\r\n"
HEAD = b"POST /v1/signatures/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SMUGGLING = {
    "length and chunks": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s",
    "list of lengths": b"Content-Length: 0, %d\r\n\r\n%s",
    "signed length": b"Content-Length: +0\r\nX: %d\r\n\r\n%s",
    "negative length": b"Content-Length: -1\r\nX: %d\r\n\r\n%s",
    "hex length": b"Content-Length: 0x0\r\nX: %d\r\n\r\n%s",
    "other coding": b"Transfer-Encoding: xchunked\r\nX: %d\r\n\r\n0\r\n\r\n%s",
    "coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nX: %d\r\n\r\n"
    b"0\r\n\r\n%s",
    "coding with a tab": b"Transfer-Encoding:\x0bchunked\r\nX: %d\r\n\r\n0\r\n\r\n%s",
    "size of a chunk": b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n-1\r\n%s",
    "endless size": b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n" + b"f" * 40 + b"\r\n%s",
}


@pytest.mark.parametrize("title", SMUGGLING)
async def test_requests_inside_requests(live: Live, title: str) -> None:
    """method, path and host tricks on every route

    What stands behind a request whose length is in doubt is not read as another request.
    """
    data = HEAD + SMUGGLING[title] % (len(SMUGGLED), SMUGGLED)
    answer = await asyncio.to_thread(raw, live.port, data)
    assert b"did:key" not in answer, "the request inside was answered"
    assert all(400 <= status < 500 or status == 501 for status in statuses_of(answer)), answer
    assert_quiet(live)


async def test_other_paths_of_the_admin_listener(live: Live) -> None:
    """method, path and host tricks on every route"""
    for path in (b"/v1/dids", b"/v1/%64ids", b"/v1/sessions", b"http://x/v1/dids", b"/v1/dids?a=b"):
        request = b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        answer = await asyncio.to_thread(raw, live.admin_port, request)
        assert statuses_of(answer) == [401], path


async def test_the_workers_share_what_they_must(live: Live) -> None:
    """replay of an accepted M1: same process, other worker, after restart

    Each request is a new connection, which either worker may take.
    """
    async with live.client(keeps=False) as http:
        agent = Agent(http)
        session = await agent.handshake()
        seals = set()
        incarnations = set()
        for number in range(60):
            record = session.seal(b"shared-%d" % number, aad=REQUEST_AAD)
            answers = [await agent.send_record(session.session_id, record) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 409]
            header = RecordHeader.parse(answers[0].content)
            seals.add((header.incarnation, header.epoch, header.seq))
            incarnations.add(header.incarnation)
            session.open(answers[0].content, aad=RESPONSE_AAD + record[:48])
            if len(incarnations) == 2 and number >= 5:
                break
        assert len(incarnations) == 2, "both workers took part"
        assert len(seals) == number + 1
        shared = [one for one in live.delivered() if one.startswith(b"shared-")]
        assert len(shared) == len(set(shared)) == number + 1


async def test_forged_confirmations_at_any_worker(live: Live) -> None:
    """expired, deleted, half-open, unknown, other tenant's session

    M3 finds the worker that has the session, and so does what is forged: it is refused there like
    anywhere, and the right M3 is taken after it.
    """
    async with live.client(keeps=False) as http:
        agent = Agent(http)
        for _ in range(6):
            attempt = await accepted_m1(agent)
            answer = await agent.send_m1(attempt)
            m3, session = attempt.finish(decode_json("accept", answer.content))
            forged = [m3[:16] + bytes(32), bytes(16) + m3[16:], m3 + agent.key.sign(m3)]
            bodies = set()
            for message in forged:
                refusal = await agent.post(COMPLETE, encode_json("confirm", message))
                assert (refusal.status_code, code_of(refusal)) == (401, "authentication_failed")
                bodies.add(refusal.content)
            record = bytearray(session.seal(b"forged", aad=REQUEST_AAD))
            record[-1] ^= 1
            refusal = await agent.send_record(session.session_id, bytes(record))
            assert (refusal.status_code, code_of(refusal)) == (401, "authentication_failed")
            assert bodies == {refusal.content}
            assert (await agent.post(COMPLETE, encode_json("confirm", m3))).status_code == 204
    assert b"forged" not in live.delivered()
    assert_quiet(live)


async def test_a_replay_after_a_crash_and_a_restart(live: Live) -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    key = SigningKey.generate()
    async with live.client(keeps=False) as http:
        agent = Agent(http, key)
        attempt, session = await accepted(agent)
        record = session.seal(b"once", aad=REQUEST_AAD)
        assert (await agent.send_record(session.session_id, record)).status_code == 200
    for end in (live.kill_9, live.kill_supervisor):
        await asyncio.to_thread(end)
        await asyncio.to_thread(live.start)
        async with live.client(keeps=False) as http:
            agent = Agent(http, key)
            replay = await agent.send_m1(attempt)
            assert (replay.status_code, code_of(replay)) == (409, "replay_detected")
            for _ in range(4):
                again = await agent.send_record(session.session_id, record)
                assert (again.status_code, code_of(again)) == (409, "replay_detected")
            assert await agent.ask(session, b"goes-on") == b"answer to goes-on"
    assert live.delivered().count(b"once") == 1


async def accepted(agent: Agent) -> tuple[Attempt, Session]:
    """Shake hands, and return the M1 that was accepted too."""
    attempt = await accepted_m1(agent)
    answer = await agent.send_m1(attempt)
    m3, session = attempt.finish(decode_json("accept", answer.content))
    assert (await agent.post(COMPLETE, encode_json("confirm", m3))).status_code == 204
    return attempt, session


async def accepted_m1(agent: Agent) -> Attempt:
    """Return an M1 with the challenge that it needs."""
    asked = await agent.send_m1(await agent.attempt())
    challenge = b""
    if asked.status_code != 200:
        challenge = base64.urlsafe_b64decode(asked.json()["challenge"] + "==")
    return Initiator(agent.key, await agent.server_key()).initiate(challenge=challenge)


async def test_a_worker_that_is_killed_is_replaced(live: Live) -> None:
    """SIGTERM under load"""
    before = live.workers()
    assert len(before) == 3
    for pid in before[:2]:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(ENOUGH_S):
        while len(set(live.workers()) - set(before[:2])) < 3:
            await asyncio.sleep(0.1)
        while not await asyncio.to_thread(live.is_ready):
            await asyncio.sleep(0.1)
    settled = set(live.workers())
    await asyncio.sleep(2)
    assert set(live.workers()) == settled, "they stay"
    async with live.client(keeps=False) as http:
        assert (await http.get("/v1/identity")).status_code == 200


def wakes_of(pid: int) -> int:
    """Return how often a process has waited for something and gone on."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"\nvoluntary_ctxt_switches:\s+(\d+)", status)[0])


async def test_a_supervisor_waits_until_there_is_something_to_do(live: Live) -> None:
    """SIGTERM under load"""
    before = wakes_of(live.pid)
    await asyncio.sleep(1.0)
    assert wakes_of(live.pid) == before


async def test_sigterm_while_a_worker_is_replaced() -> None:
    """SIGTERM under load

    There is a second between the end of a worker and the start of another.
    """
    live = Live()
    try:
        live.start()
        os.kill(live.workers()[0], signal.SIGKILL)
        async with asyncio.timeout(ENOUGH_S):
            while "another is started" not in live.log():
                await asyncio.sleep(0.02)
        os.kill(live.pid, signal.SIGTERM)
        assert await asyncio.to_thread(live.wait) == 1, "one did not end as it was told to"
    finally:
        live.close()


class KilledBefore(Live):
    """A gateway whose first worker is killed before it is ready."""

    killed: int | None = None

    def is_ready(self) -> bool:
        if self.killed is None and (workers := self.workers()):
            self.killed = workers[0]
            os.kill(self.killed, signal.SIGKILL)
        return self.killed is not None and super().is_ready()


async def test_a_worker_that_is_killed_before_it_is_ready_is_replaced() -> None:
    """SIGTERM under load"""
    live = KilledBefore()
    try:
        live.start()
        async with asyncio.timeout(ENOUGH_S):
            while len(set(live.workers()) - {live.killed}) < 3:
                await asyncio.sleep(0.05)
        assert "ended with status -9; another is started" in live.log()
        os.kill(live.pid, signal.SIGTERM)
        assert await asyncio.to_thread(live.wait) == 0, live.log()
    finally:
        live.close()


async def test_sigterm_under_load(live: Live) -> None:
    """SIGTERM under load

    Whatever was handed to the application is answered; whatever else was sent was refused or never
    taken, and may be sent again elsewhere.
    """
    async with live.client(keeps=False) as http:
        sessions = [await Agent(http).handshake() for _ in range(4)]
        agent = Agent(http)
        answered: set[bytes] = set()
        refused: set[bytes] = set()

        async def load(number: int) -> None:
            for count in range(10_000):
                message = b"load-%d-%d" % (number, count)
                session = sessions[number % 4]
                record = session.seal(message, aad=REQUEST_AAD)
                try:
                    answer = await agent.send_record(session.session_id, record)
                except httpx2.TransportError:
                    return
                if answer.status_code != 200:
                    assert (answer.status_code, code_of(answer)) == (503, "overloaded")
                    refused.add(message)
                    return
                opened = session.open(answer.content, aad=RESPONSE_AAD + record[:48])
                assert opened == b"answer to " + message
                answered.add(message)

        tasks = [asyncio.create_task(load(number)) for number in range(24)]
        async with asyncio.timeout(ENOUGH_S):
            while len(answered) < 48:
                await asyncio.sleep(0.01)
        os.kill(live.pid, signal.SIGTERM)
        await asyncio.gather(*tasks)
        status = await asyncio.to_thread(live.wait)
    taken = {one for one in live.delivered() if one.startswith(b"load-")}
    assert status == 0, live.log()
    assert taken == answered
    assert not refused & taken
    assert_quiet(live)


class QuietServer(uvicorn.Server):
    """A server that leaves signals to whoever runs the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Arena, int, uvicorn.Server]]:
    """A gateway in this process, with short deadlines, on a socket."""
    settings = attack_settings(
        tmp_path_factory.mktemp("impatient"),
        {"limits.body_timeout": "1s", "limits.max_in_flight": 16},
    )
    protocol = SweptProtocol.for_worker(40, head_s=1.0, unread_s=1.0)
    async with open_arena(settings) as arena:
        config = uvicorn.Config(
            PublicApp(arena.gateway), http=protocol, lifespan="off", ws="none", log_config=None
        )
        server = QuietServer(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            sweeping = asyncio.create_task(
                sweep_for_ever(server.server_state.connections, every_s=0.1)
            )
            yield arena, listener.getsockname()[1], server
            sweeping.cancel()
            server.should_exit = server.force_exit = True
            await task


SILENT = {
    "nothing": b"",
    "half a line": b"GET /v1/ide",
    "half a head": b"POST /v1/signatures/verify HTTP/1.1\r\nHost: x\r\nContent-",
    "no body": HEAD + b"Content-Length: 100\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 100\r\n\r\n{",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
async def test_slow_connections(
    impatient: tuple[Arena, int, uvicorn.Server], *, drips: bool
) -> None:
    """silent, dripping, non-reading connections"""
    arena, port, server = impatient
    slow = [
        (await asyncio.open_connection("127.0.0.1", port), data)
        for data in SILENT.values()
        for _ in range(2)
    ]
    ends = [asyncio.create_task(end_of(*stream, data, drips=drips)) for stream, data in slow]
    good = 0
    while not all(end.done() for end in ends):
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/v1/identity")).status_code == 200
        good += 1
        await asyncio.sleep(0.05)
    assert good > 1
    for (_, data), end in zip(slow, ends, strict=True):
        expected: list[list[int]] = [[408]] if HEAD in data else [[]]
        # What goes on with the wrong bytes is no HTTP.
        assert statuses_of(end.result()) in [*expected, *([[400]] if drips else [])]
    async with asyncio.timeout(ENOUGH_S):
        while server.server_state.connections:
            await asyncio.sleep(0.05)
    state = await arena.state()
    assert (state.at_work, state.reading) == (0, 0)


async def end_of(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, *, drips: bool
) -> bytes:
    """Send some bytes, then nothing or one at a time, until the other side ends it."""
    writer.write(data)
    reading = asyncio.create_task(reader.read())
    async with asyncio.timeout(ENOUGH_S):
        while not reading.done():
            if drips and not writer.is_closing():
                writer.write(b"a")
            await asyncio.sleep(0.1)
    writer.transport.abort()
    try:
        return reading.result()
    except ConnectionError:
        return b""


async def test_connections_that_take_no_answer(
    impatient: tuple[Arena, int, uvicorn.Server],
) -> None:
    """silent, dripping, non-reading connections"""
    arena, port, server = impatient
    agent = await arena.registered()
    session = await agent.handshake()
    path = f"/v1/sessions/{session.session_id}/messages"
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)  # noqa: FBT003 - as sockets want it
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", port))
        sending = asyncio.create_task(pour(one, path, session))
        async with asyncio.timeout(ENOUGH_S):
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
            while server.server_state.connections:
                await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    async with asyncio.timeout(ENOUGH_S):
        while arena.gateway.in_flight.count:
            await asyncio.sleep(0.05)
    assert await agent.ask(session, b"still served") == b"still served"


async def pour(one: socket.socket, path: str, session: Session) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(12):
        record = session.seal(bytes(1 << 20), aad=REQUEST_AAD)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sage-record\r\n"
            f"Content-Length: {len(record)}\r\n\r\n"
        )
        await loop.sock_sendall(one, head.encode() + record)


async def test_more_connections_than_there_are_places(
    impatient: tuple[Arena, int, uvicorn.Server],
) -> None:
    """silent, dripping, non-reading connections"""
    _, port, server = impatient
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
    async with asyncio.timeout(ENOUGH_S):
        while len(server.server_state.connections) > 40:
            await asyncio.sleep(0.01)
        for reader, writer in streams:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.transport.abort()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/v1/identity")).status_code == 200


async def test_while_it_drains(tmp_path: Path) -> None:
    """SIGTERM under load"""
    async with open_arena(attack_settings(tmp_path)) as arena:
        agent = await arena.registered()
        session = await agent.handshake()
        gateway = arena.gateway
        with gateway.in_flight:
            draining = asyncio.create_task(gateway.in_flight.drained(ENOUGH_S))
            await asyncio.sleep(0)
            ready = await arena.public.get("/v1/ready")
            assert ready.status_code == 503
            assert ready.json()["checks"]["accepting"] == "draining"
            assert (await arena.public.get("/v1/health")).status_code == 200
            async with arena_unharmed(arena):
                refused = await agent.send_record(session.session_id, session.seal(b"late"))
                assert (refused.status_code, code_of(refused)) == (503, "overloaded")
                assert int(refused.headers["retry-after"]) >= 1
            assert not draining.done()
        assert await draining


@contextlib.asynccontextmanager
async def arena_unharmed(arena: Arena) -> AsyncIterator[None]:
    """As ``Arena.unharmed``, while a request is at work."""
    before = await arena.state()
    yield
    assert await arena.state() == before
    await arena.look()


HOSTILE_COUNT = 200
"""How many DIDs, paths, session ids and methods are made up."""


@pytest.fixture
def counting() -> Iterator[Live]:
    one = Live(**{"admission.policy": "any_did_key", "metrics.enabled": "true"})
    try:
        yield one.start()
    finally:
        one.close()


async def test_nothing_that_clients_make_up_becomes_a_series(counting: Live) -> None:
    """labels by DID, path or session id

    Whatever is asked for, there are as many series as before, and none tells of a client.
    """
    made_up: list[str] = []
    async with counting.client(keeps=False) as http:
        await _made_up_requests(counting, http, "first", made_up)
        before = await _settled(counting)
        for number in range(HOSTILE_COUNT):
            await _made_up_requests(counting, http, f"again{number}", made_up)
        after = await _settled(counting)
    assert len(made_up) >= 3 * HOSTILE_COUNT
    assert _of_requests(after) == _of_requests(before)
    assert len(after) < 5000
    told = {value for _, labels in after for _, value in labels}
    for text in made_up:
        assert not any(text in value for value in told), text
    assert not any("did:key:" in value or "MADEUP" in value for value in told)
    counted = sum(
        value
        for (name, labels), value in after.items()
        if name == "sage_http_requests_total" and ("method", "other") in labels
    )
    assert counted >= HOSTILE_COUNT


async def _made_up_requests(
    live: Live, http: httpx2.AsyncClient, name: str, made_up: list[str]
) -> None:
    """Ask for what was never there: a path, a session, a DID, a method, a handshake."""
    agent = Agent(http, SigningKey.generate())
    session_id = str(uuid.uuid4())
    made_up += [agent.did, session_id, f"nowhere-{name}"]
    await http.get(f"/nowhere-{name}")
    await http.get(f"/v1/dids/{agent.did}")
    await http.post(f"/v1/sessions/{session_id}/messages", content=name.encode())
    await agent.send_record(session_id, bytes(80))
    await http.request(f"MADEUP{name.upper()}", f"/v1/{name}")  # refused before all else
    await http.request("PROPFIND", f"/v1/{name}")
    await agent.send_m1(await agent.attempt())
    await agent.post(f"/v1/sessions/{session_id}/rekey", b"{}")
    await live.admin("GET", f"/v1/sessions/{session_id}")
    await live.admin("DELETE", f"/v1/dids/{agent.did}")


def _of_requests(
    found: dict[tuple[str, frozenset[tuple[str, str]]], float],
) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {key for key in found if key[0].startswith(("sage_http_", "sage_problems_"))}


async def _settled(live: Live) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the metrics once every worker has written its own."""
    await asyncio.sleep(2.5)
    return live.metrics()
