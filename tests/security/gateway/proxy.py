"""A wire between a gateway and its store, to be cut, held, slowed down or filled with noise."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Proxy"]

SLOW_S = 2.0
GARBAGE = b"HTTP/1.1 200 OK\r\n\x00\xff$-9\r\n*3\r\n+x\r\n" * 8


class Proxy:
    """Passes bytes on to a server on loopback, until told otherwise.

    Args:
        upstream_port: The server's.

    Attributes:
        port: Where clients connect to.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._mode = "pass"
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin(self, mode: str) -> None:
        """Change what happens to what is sent from now on.

        Args:
            mode: ``pass``, ``refuse``, ``silent``, ``garbage`` or ``slow``.
        """
        self._mode = mode
        if mode in {"refuse", "pass"}:
            self._cut()
        await asyncio.sleep(0)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._accept(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            if self._mode == "refuse":
                writer.transport.abort()
                return
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
            self._writers.add(upstream[1])
            await asyncio.gather(
                self._pass_on(reader, upstream[1]), self._answer(upstream[0], writer)
            )

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self._mode == "silent":
                continue
            if self._mode == "slow":
                await asyncio.sleep(SLOW_S)
            writer.write(GARBAGE if self._mode == "garbage" else data)
        writer.close()
