"""HTTP services on loopback for tests: a real one, and one that sends what it is told to."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvicorn

from sage_native.binary_http import Request, Response, decode_response, encode
from sage_native.gateway.peers import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp

    from sage_native.gateway.behind import Behind

ALICE = Peer("did:example:alice", bytes(32), "00000000-0000-4000-8000-000000000001")
BOB = Peer("did:example:bob", b"b" * 32, "00000000-0000-4000-8000-000000000002")


async def ask(behind: Behind, request: Request, peer: Peer = ALICE) -> Response:
    """Ask by binary HTTP; the answer must be binary HTTP too."""
    return await ask_bytes(behind, encode(request), peer)


async def ask_bytes(behind: Behind, plaintext: bytes, peer: Peer = ALICE) -> Response:
    answer, is_http = await behind.answer(peer, plaintext, binary_http=True)
    assert is_http
    return decode_response(answer)


async def soon(event: asyncio.Event) -> None:
    """Wait for what must come; a test that would wait for ever fails."""
    async with asyncio.timeout(30):
        await event.wait()


async def tell(behind: Behind, message: bytes, peer: Peer = ALICE) -> bytes:
    """Send a raw message; the answer must be raw too."""
    answer, is_http = await behind.answer(peer, message, binary_http=False)
    assert not is_http
    return answer


@asynccontextmanager
async def served(application: ASGIApp) -> AsyncIterator[str]:
    """Serve an ASGI application on loopback with uvicorn; yields its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, log_config=None, log_level="critical", lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


@dataclass
class Line:
    """One connection to a `Puppet`, as its script sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """Read one request: its head, and the content that it announces."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for field_line in head.split(b"\r\n"):
            name, _, value = field_line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return head + await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Wait until the other side has closed."""
        while await self.reader.read(4096):
            pass
        self.closed.set()


@dataclass
class Puppet:
    """A server whose every byte is in a test's hands.

    Attributes:
        url: Where it is.
        requests: What arrived, each request whole.
        lines: The connections, oldest first.
    """

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


@asynccontextmanager
async def puppet(script: Callable[[Line, Puppet], Awaitable[None]]) -> AsyncIterator[Puppet]:
    """Run a script for every connection to a port on loopback."""
    found = Puppet()
    tasks: set[asyncio.Task[None]] = set()

    async def run(line: Line) -> None:
        try:
            await script(line, found)
        except (OSError, EOFError):
            pass
        finally:
            line.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer, len(found.lines))
        found.lines.append(line)
        tasks.add(asyncio.ensure_future(run(line)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answering(*answers: bytes) -> Callable[[Line, Puppet], Awaitable[None]]:
    """Answer each request of a connection with the next of these bytes, the last one for ever."""

    async def script(line: Line, found: Puppet) -> None:
        number = 0
        while True:
            found.requests.append(await line.request())
            await line.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
