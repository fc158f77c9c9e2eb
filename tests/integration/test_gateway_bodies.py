"""Bodies over real connections, as clients send them who mean no good.

Read behind the gateway's own server, and behind granian.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.bodies_server import LIMIT, MAX_HEADER_LEN
from tests.servers.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

START_S = 30.0
MAX_MESSAGE_LEN = 1 << 19


@pytest.fixture(scope="module", params=["gateway", "granian"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def port(kind: str) -> Iterator[int]:
    (free,) = free_ports()
    command = [sys.executable, "-m", "tests.integration.bodies_server", kind, str(free)]
    with subprocess.Popen(command) as server:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                asyncio.run(_ask(free))
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
        yield free
        server.terminate()


async def _ask(port: int, path: str = "/") -> dict[str, Any]:
    async with connection(port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return (await answer(reader))[1]


@contextlib.asynccontextmanager
async def connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def head(*lines: str) -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "host: x", *lines, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    async with asyncio.timeout(START_S):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        lengths = [line for line in lines if line.startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0].partition(":")[2]))
    return status, json.loads(body)


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection, with FIN or with RST."""
    async with asyncio.timeout(START_S):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    return True


async def test_whole_bodies_take_one_message_each_and_keep_their_connection(port: int) -> None:
    async with connection(port) as (reader, writer):
        for length in (1, 1000, 0, 7):
            writer.write(head(f"content-length: {length}") + b"x" * length)
            status, told = await answer(reader)
            assert (status, told) == (200, {"len": length, "calls": 1})


async def test_pipelined_bodies_are_told_apart(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(b"".join(head(f"content-length: {n}") + b"x" * n for n in (5, 0, 9)))
        assert [(await answer(reader))[1]["len"] for _ in range(3)] == [5, 0, 9]


async def test_a_body_of_the_limit_and_one_byte_more(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head(f"content-length: {LIMIT}") + b"x" * LIMIT)
        assert (await answer(reader))[1]["len"] == LIMIT
        # Refused by what it announces: not a byte of it was sent.
        writer.write(head(f"content-length: {LIMIT + 1}"))
        assert await answer(reader) == (413, {"code": "payload_too_large", "taken": 0, "calls": 0})
        assert await closed(reader)


@pytest.mark.parametrize("length", [LIMIT, LIMIT + 1])
async def test_chunks_are_counted(port: int, length: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("transfer-encoding: chunked"))
        for start in range(0, length, 10_000):
            size = min(10_000, length - start)
            writer.write(f"{size:x}\r\n".encode() + b"x" * size + b"\r\n")
        writer.write(b"0\r\n\r\n")
        status, told = await answer(reader)
        assert status == (200 if length == LIMIT else 413)
        assert told.get("len", LIMIT) == LIMIT


async def test_endless_chunks_end_at_the_limit(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("transfer-encoding: chunked"))

        # Through a socket of its own: a write that fails must not take the answer from the reader.
        pouring_socket = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        pouring_socket.settimeout(0)

        async def pour() -> None:
            chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
            with contextlib.suppress(ConnectionError), pouring_socket:
                while True:
                    await asyncio.get_running_loop().sock_sendall(pouring_socket, chunk)

        pouring = asyncio.create_task(pour())
        status, told = await answer(reader)
        assert status == 413
        assert LIMIT < told["taken"] <= LIMIT + MAX_MESSAGE_LEN  # one message beyond, at most
        assert await closed(reader)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def test_a_length_beside_chunks_counts_for_nothing(port: int, kind: str) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("content-length: 3", "transfer-encoding: chunked"))
        writer.write(b"5\r\nabcde\r\n0\r\n\r\n")
        if kind == "granian":
            assert (await answer(reader))[1]["len"] == 5
        else:
            assert (await reader.readline()).split()[1] == b"400"
        assert await closed(reader)


async def test_a_coding_beside_chunks_is_refused_unread(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("transfer-encoding: gzip, chunked") + b"1\r\nx\r\n0\r\n\r\n")
        status, told = await answer(reader)
        assert (status, told["calls"]) == (415, 0)


async def test_the_server_refuses_lengths_that_differ(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("content-length: 3", "content-length: 5") + b"abcde")
        async with asyncio.timeout(START_S):
            assert (await reader.readline()).split()[1] == b"400"


@pytest.mark.parametrize("line", ["content-length: 50", "transfer-encoding: chunked"])
async def test_silent_and_dripping_bodies_are_cut_off_and_nobody_else_is(
    port: int, line: str
) -> None:
    async with connection(port) as silent, connection(port) as dripping:
        for _, writer in (silent, dripping):
            writer.write(head(line))
        answers = [asyncio.create_task(answer(reader)) for reader, _ in (silent, dripping)]
        good_count = 0
        while not all(one.done() for one in answers):
            with contextlib.suppress(ConnectionError):
                dripping[1].write(b"1\r\nx\r\n" if "chunked" in line else b"x")
            async with connection(port) as (reader, writer):
                writer.write(head("content-length: 3") + b"abc")
                assert (await answer(reader))[0] == 200
            good_count += 1
            await asyncio.sleep(0.05)
        for one, (reader, _) in zip(answers, (silent, dripping), strict=True):
            status, told = one.result()
            assert (status, told["code"]) == (408, "request_timeout")
            assert await closed(reader)
        assert good_count > 1
    assert (await _ask(port))["reading"] == 0


async def test_clients_that_leave_are_noticed(port: int) -> None:
    before = (await _ask(port))["gone"]
    async with connection(port) as (_, writer):
        writer.write(head("content-length: 50") + b"x" * 10)
        await writer.drain()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(START_S):
        while (told := await _ask(port))["gone"] == before:
            await asyncio.sleep(0.02)
    assert told == {"gone": before + 1, "reading": 0}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", ""])
async def test_compressed_bodies_are_refused_unread(port: int, encoding: str) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head(f"content-encoding: {encoding}", "content-length: 3") + b"abc")
        status, told = await answer(reader)
        assert (status, told["calls"]) == (415, 0)


async def test_identity_is_no_encoding(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("content-encoding: Identity", "content-length: 3") + b"abc")
        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nhost: x\r\nx-slow: "])
async def test_the_server_ends_headers_that_do_not_come(port: int, sent: bytes) -> None:
    async with connection(port) as (reader, writer):
        writer.write(sent)
        assert await closed(reader)


async def test_the_server_ends_connections_that_idle(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("content-length: 3") + b"abc")
        assert (await answer(reader))[0] == 200
        assert await closed(reader)


async def test_the_server_refuses_headers_beyond_its_buffer(port: int) -> None:
    async with connection(port) as (reader, writer):
        writer.write(head("x-long: " + "x" * 2 * MAX_HEADER_LEN))
        async with asyncio.timeout(START_S):
            line = await reader.readline()
        assert line.split()[1] == b"431"


def test_a_client_that_does_not_read_is_cut_off(port: int, kind: str) -> None:
    if kind == "granian":
        pytest.skip("granian waits for ever for a client that does not read")
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", port))
        one.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        with pytest.raises(ConnectionError):  # what is sent meets a connection that is no more
            _send_slowly(one, START_S)
    assert len(asyncio.run(_ask(port, "/large"))["large"]) == 4_000_000


def _send_slowly(one: socket.socket, for_s: float) -> None:
    deadline_s = time.monotonic() + for_s
    while time.monotonic() < deadline_s:
        one.send(b"x")
        time.sleep(0.05)
