"""Connections of one worker, each held to its deadlines.

uvicorn speaks HTTP and calls the application; what it leaves open is closed here:

* A connection that says nothing, or whose head drips, is closed after ``HEAD_S``.
* A head of more than ``MAX_HEAD_LEN`` bytes is answered with 431 while it is still coming.
* A client that does not take its answer is cut off after ``UNREAD_S``. What is still in buffers of
  the kernel then is ended by the kernel (``TCP_USER_TIMEOUT``, set where the socket is made).
* Beyond ``max_connections`` a new connection is closed at once.

Nothing here costs a timer for each request: one sweep a second looks at all connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HEAD_S", "MAX_HEAD_LEN", "UNREAD_S", "SweptProtocol", "sweep_for_ever"]

HEAD_S = 5.0
UNREAD_S = 30.0
MAX_HEAD_LEN = 16_384
SWEEP_S = 1.0

_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class SweptProtocol(HttpToolsProtocol):
    """One connection. Its class is made for a worker by `for_worker`."""

    max_connections = 4096

    # None while a request is worked on or the connection rests between two.
    _head_since_s: float | None = None
    _unread_since_s: float | None = None
    _head_len = 0

    @classmethod
    def for_worker(cls, max_connections: int) -> type[SweptProtocol]:
        """Return the class with the limit of one worker."""
        return type(cls.__name__, (cls,), {"max_connections": max_connections})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the time for the first head, or refuse the connection."""
        super().connection_made(transport)
        self._head_since_s = self.loop.time()
        if len(self.connections) > self.max_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count what a head has cost before it is parsed."""
        if self._head_since_s is not None or self.cycle is None or self.cycle.response_complete:
            self._head_len += len(data)
        super().data_received(data)
        if self._head_since_s is not None and self._head_len > MAX_HEAD_LEN:
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin the time for a head."""
        super().on_message_begin()
        if self._head_since_s is None:
            self._head_since_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """End it."""
        self._head_since_s = None
        self._head_len = 0
        super().on_headers_complete()

    def sweep(self, now_s: float) -> None:
        """Close the connection if its time is up."""
        if self._head_since_s is not None and now_s - self._head_since_s > HEAD_S:
            self.transport.abort()
        elif not self.flow.write_paused:
            self._unread_since_s = None
        elif self._unread_since_s is None:
            self._unread_since_s = now_s
        elif now_s - self._unread_since_s > UNREAD_S:
            self.transport.abort()


async def sweep_for_ever(connections: Iterable[Any]) -> None:
    """Look at all connections, once a second.

    Args:
        connections: Those of the worker, as they come and go.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        now_s = loop.time()
        for connection in list(connections):
            connection.sweep(now_s)
