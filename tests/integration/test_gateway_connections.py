"""Connections of a worker that are not meant well, and those beside them that are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway.connections import MAX_FRAMING_LEN, MAX_PIPELINED
from sage_native.gateway.places import MIN_PER_ADDRESS
from tests.integration.test_upstream import self_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ENOUGH_S = 20.0
PLAIN_COUNT = 4 * MIN_PER_ADDRESS
TLS_COUNT = 20
TRUSTED = "127.0.0.9"
ENDLESS_LEN = 1 << 25
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
ASK = b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n"


@contextlib.contextmanager
def serving(certificate: str, count: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        ready_fd, their_fd = os.pipe()
        fds = (listening.fileno(), their_fd)
        module = "tests.integration.connections_server"
        command = [sys.executable, "-m", module, *map(str, fds), certificate, str(count), TRUSTED]
        with subprocess.Popen(command, pass_fds=fds) as server:
            os.close(their_fd)
            os.read(ready_fd, 1)
            os.close(ready_fd)
            yield listening.getsockname()[1]
            server.terminate()
            assert server.wait(ENOUGH_S) == 0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving("", PLAIN_COUNT) as one:
        yield one


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_port(certificate: Path) -> Iterator[int]:
    with serving(str(certificate), TLS_COUNT) as one:
        yield one


@contextlib.asynccontextmanager
async def connection(
    port: int, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    name = None if tls is None else "localhost"
    async with asyncio.timeout(ENOUGH_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(source, 0), ssl=tls, server_hostname=name
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    assert lines[0].split()[1] == "200"
    lengths = [line for line in lines if line.startswith("content-length:")]
    told: dict[str, Any] = json.loads(await reader.readexactly(int(lengths[0].partition(":")[2])))
    return told


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Whatever comes until the server ends the connection, with FIN or with RST."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            came += piece
    return came


async def ask(
    port: int, path: bytes, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> dict[str, Any]:
    async with connection(port, source=source, tls=tls) as (reader, writer):
        writer.write(ASK % path)
        return await answer(reader)


async def settled(port: int, *, tls: ssl.SSLContext | None = None) -> dict[str, Any]:
    """What the server tells once it has nobody else."""
    async with asyncio.timeout(ENOUGH_S):
        while True:
            with contextlib.suppress(OSError, EOFError):  # there may be no place yet
                told = await ask(port, b"places", tls=tls)
                if told["taken"] == 1:
                    return told
            await asyncio.sleep(0.02)


ENDLESS = {
    "trailer": (b"0\r\nX: ", b"a" * 1024),
    "name of a trailer": (b"0\r\n", b"a" * 1024),
    "trailers": (b"0\r\n", b"A: b\r\n" * 200),
    "extension of a chunk": (b"2;", b"a" * 1024),
    "size of a chunk": (b"", b"0" * 1024),
}


@pytest.mark.parametrize("title", ENDLESS)
async def test_what_comes_for_ever_between_chunks_is_refused(port: int, title: str) -> None:
    begin, endless = ENDLESS[title]
    async with connection(port) as (reader, writer):
        writer.write(CHUNKED + begin)
        refusal = asyncio.create_task(rest_of(reader))
        sent_len = 0
        while not refusal.done():
            with contextlib.suppress(ConnectionError):
                writer.write(endless)
                await writer.drain()
            sent_len += len(endless)
            assert sent_len < ENDLESS_LEN
            await asyncio.sleep(0)
        assert refusal.result().split()[1:2] in ([b"400"], []), "a reset may overtake the refusal"
    await settled(port)


@pytest.mark.parametrize("count", [1, 2])
async def test_trailers_are_refused_and_become_no_headers(port: int, count: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(CHUNKED + b"0\r\n" + b"X-Forwarded-For: 6.6.6.6\r\n" * count + b"\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 400 ")


async def test_chunks_may_come_byte_by_byte_and_many(port: int) -> None:
    async with connection(port) as (reader, writer):
        extension = b"1;" + b"e" * (MAX_FRAMING_LEN - 100)
        for _ in range(2):
            data = CHUNKED + (extension + b"\r\nx\r\n") * 3 + b"0\r\n\r\n"
            for at in range(0, len(data), 50):
                writer.write(data[at : at + 50])
                await writer.drain()
                await asyncio.sleep(0.001)
            assert (await answer(reader))["len"] == 5
        writer.write(b"GET / HTTP/1.1\r\nx: " + b"y" * 10_000)
        await asyncio.sleep(0.05)
        writer.write(b"\r\n\r\n")
        assert (await answer(reader))["headers"] == ["x"]


async def test_a_head_of_16_kib_may_come_in_pieces(port: int) -> None:
    lines = b"".join(b"x-%03d: %s\r\n" % (number, b"y" * 90) for number in range(150))
    async with connection(port) as (reader, writer):
        data = b"GET / HTTP/1.1\r\n" + lines + b"\r\n"
        for at in range(0, len(data), 1400):
            writer.write(data[at : at + 1400])
            await writer.drain()
            await asyncio.sleep(0.002)
        assert len((await answer(reader))["headers"]) == 150


async def test_bytes_that_begin_no_request_do_not_keep_a_connection(port: int) -> None:
    async with connection(port) as (reader, writer):
        for _ in range(4):
            writer.write(ASK % b"")
            assert (await answer(reader))["path"] == "/"
            await asyncio.sleep(0.4)
        reading = asyncio.create_task(rest_of(reader))
        while not reading.done():  # with the next byte the time of uvicorn begins no more
            writer.write(b"\r\n")
            await asyncio.sleep(0.1)
        assert reading.result() == b""


async def test_a_few_requests_may_wait_and_many_may_not(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(ASK % b"slow" + b"".join(ASK % b"%d" % at for at in range(MAX_PIPELINED)))
        told = [(await answer(reader))["path"] for _ in range(MAX_PIPELINED + 1)]
        assert told == ["/slow", *(f"/{at}" for at in range(MAX_PIPELINED))]
    async with connection(port) as (reader, writer):
        writer.write(ASK % b"slow" + ASK % b"flood" * 200)
        assert await rest_of(reader) == b"", "no refusal that would pass for the answer of /slow"
    assert (await settled(port))["paths"].count("/flood") <= 1


@pytest.mark.parametrize("bad", [b"no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"y" * 20_000])
async def test_a_refusal_is_no_answer_to_the_request_before(port: int, bad: bytes) -> None:
    async with connection(port) as (reader, writer):
        writer.write(ASK % b"slow" + bad)
        assert await rest_of(reader) == b""


async def test_a_request_that_waited_may_bring_its_body_later(port: int) -> None:
    head = b"POST /%s HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
    async with connection(port) as (reader, writer):
        writer.write(ASK % b"slow" + head % b"late")
        assert (await answer(reader))["path"] == "/slow"
        writer.write(b"{}")
        told = await answer(reader)
        assert (told["path"], told["len"]) == ("/late", 2)
        writer.write(head % b"unread")
        assert (await answer(reader))["len"] == 0
        writer.write(b"{}" + ASK % b"ignored")
        assert await rest_of(reader) == b"", "it was answered half-way"


async def test_an_address_has_a_part_of_the_places(port: int) -> None:
    await settled(port)
    async with contextlib.AsyncExitStack() as stack:

        async def connect(source: str, count: int) -> list[asyncio.Task[bytes]]:
            streams = [
                await stack.enter_async_context(connection(port, source=source))
                for _ in range(count)
            ]
            return [asyncio.create_task(rest_of(reader)) for reader, _ in streams]

        ours = await connect("127.0.0.1", MIN_PER_ADDRESS + 8)
        proxied = await connect(TRUSTED, MIN_PER_ADDRESS + 8)
        # Who has no place is told before this is answered.
        told = await ask(port, b"places", source="127.0.0.2")
        assert told["taken"] == 2 * MIN_PER_ADDRESS + 8 + 1
        await asyncio.gather(*ours[MIN_PER_ADDRESS:])
        assert not any(one.done() for one in [*ours[:MIN_PER_ADDRESS], *proxied])
    await settled(port)


async def test_handshakes_of_tls_are_counted_and_timed(tls_port: int, certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=certificate)
    before = await settled(tls_port, tls=tls)
    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(connection(tls_port)) for _ in range(3 * TLS_COUNT)
        ]
        ends = [asyncio.create_task(rest_of(reader)) for reader, _ in streams]
        await asyncio.gather(*ends[TLS_COUNT:])
        assert not any(one.done() for one in ends[:TLS_COUNT]), "those have time to say something"
        await asyncio.gather(*ends)
    after = await settled(tls_port, tls=tls)
    assert after["files"] == before["files"]


async def test_broken_handshakes_of_tls_leave_their_places(
    tls_port: int, certificate: Path
) -> None:
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(100)):
        for _ in range(TLS_COUNT):
            async with connection(tls_port) as (_, writer):
                writer.write(data)
                await writer.drain()
    tls = ssl.create_default_context(cafile=certificate)
    await settled(tls_port, tls=tls)
    async with connection(tls_port, tls=tls) as (reader, writer):
        for length in (0, 100_000):
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length
            writer.write(head + bytes(length))
            assert (await answer(reader))["len"] == length
