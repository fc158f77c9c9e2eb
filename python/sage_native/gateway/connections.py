"""Connections of one worker, each held to its deadlines.

uvicorn speaks HTTP and calls the application; what it leaves open is closed here:

* A connection that says nothing, or whose head drips, is closed after ``HEAD_S``.
* A head of more than ``MAX_HEAD_LEN`` bytes is answered with 431 while it is still coming.
* A client that does not take its answer is cut off after ``UNREAD_S``. What is still in buffers of
  the kernel then is ended by the kernel (``TCP_USER_TIMEOUT``, set where the socket is made).
* Beyond ``max_connections`` a new connection is closed at once.
* A request that is answered before all of it came ends its connection. What still comes is read
  and thrown away for ``LINGER_S``, or the client would see a reset instead of its answer.

Nothing here costs a timer for each request: one sweep a second looks at all connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sage_native.gateway.endpoint import LINGERS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HEAD_S", "MAX_HEAD_LEN", "UNREAD_S", "SweptProtocol", "sweep_for_ever"]

HEAD_S = 5.0
UNREAD_S = 30.0
LINGER_S = 2.0
MAX_LINGER_LEN = 4 << 20
MAX_HEAD_LEN = 16_384
SWEEP_S = 1.0

_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class SweptProtocol(HttpToolsProtocol):
    """One connection. Its class is made for a worker by `for_worker`."""

    max_connections = 4096
    head_s = HEAD_S
    unread_s = UNREAD_S

    # None while a request is worked on or the connection rests between two.
    _head_since_s: float | None = None
    _unread_since_s: float | None = None
    _linger_since_s: float | None = None
    _head_len = 0
    _lingered_len = 0
    _is_head_too_long = False

    @classmethod
    def for_worker(
        cls, max_connections: int, *, head_s: float = HEAD_S, unread_s: float = UNREAD_S
    ) -> type[SweptProtocol]:
        """Return the class with the limits of one worker."""
        limits = {"max_connections": max_connections, "head_s": head_s, "unread_s": unread_s}
        return type(cls.__name__, (cls,), limits)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the time for the first head, or refuse the connection."""
        super().connection_made(transport)
        self._head_since_s = self.loop.time()
        if len(self.connections) > self.max_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse, and count a head that is not whole yet."""
        if self._linger_since_s is not None:
            self._lingered_len += len(data)
            if self._lingered_len > MAX_LINGER_LEN:
                self.transport.abort()
            return
        super().data_received(data)
        if self._head_since_s is not None and not self.transport.is_closing():
            self._head_len += len(data)
            if self._head_len > MAX_HEAD_LEN:
                self._is_head_too_long = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin the time for a head."""
        super().on_message_begin()
        self.scope[LINGERS] = True  # type: ignore[literal-required]
        if self._head_since_s is None:
            self._head_since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a field; a head may also come whole."""
        self._head_len += len(name) + len(value)
        if self._head_len > MAX_HEAD_LEN:
            self._is_head_too_long = True
            raise ValueError("the head is too long")  # the parser stops, and 431 is answered
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the time."""
        self._head_since_s = None
        self._head_len = 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """End a connection whose request was answered before all of it came."""
        super().on_response_complete()
        if self.pipeline or not self.cycle.more_body or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._linger_since_s = self.loop.time()
        else:  # TLS
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it."""
        if self._is_head_too_long:
            self.transport.write(_TOO_LONG)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def sweep(self, now_s: float) -> None:
        """Close the connection if its time is up."""
        if self._head_since_s is not None and now_s - self._head_since_s > self.head_s:
            self.transport.abort()
        elif self._linger_since_s is not None and now_s - self._linger_since_s > LINGER_S:
            self.transport.close()
        elif not self.flow.write_paused:
            self._unread_since_s = None
        elif self._unread_since_s is None:
            self._unread_since_s = now_s
        elif now_s - self._unread_since_s > self.unread_s:
            self.transport.abort()


async def sweep_for_ever(connections: Iterable[Any], *, every_s: float = SWEEP_S) -> None:
    """Look at all connections from time to time.

    Args:
        connections: Those of the worker, as they come and go.
        every_s: How often.
    """
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        now_s = loop.time()
        for connection in list(connections):
            connection.sweep(now_s)
