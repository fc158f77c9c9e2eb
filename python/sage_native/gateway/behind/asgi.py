"""An ASGI application in this process answers.

It gets each request as an ``http`` scope with the trusted fields ``sage-peer-did`` and
``sage-session-id``, and with the peer itself as ``scope["sage.peer"]``. Client and server address
are None and the host is ``localhost``: a record comes from a peer and from nowhere else.

An answer leaves when its last byte was sent; what the application does after that (background
tasks) goes on, and ends with the gateway at the latest. A peer that goes away, an answer that is
too long and one that takes too long cancel the application.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sage_native.binary_http import Response
from sage_native.gateway.behind.base import (
    DEFAULT_TIMEOUT_S,
    BehindTimeoutError,
    BehindUnavailableError,
)
from sage_native.gateway.behind.forwarding import returned_fields
from sage_native.gateway.behind.http import HttpBehind
from sage_native.gateway.behind.lifespan import Lifespan
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Scope

    from sage_native.gateway.behind.forwarding import Forwarded
    from sage_native.gateway.peers import Peer

__all__ = ["AsgiBehind"]

_logger = logging.getLogger("sage_native.gateway.behind")


class AsgiBehind(HttpBehind):
    """Hands requests to an ASGI application, and runs its lifespan.

    Args:
        application: The application (ASGI 3).
        timeout_s: When a request, or the application's shutdown, is cancelled.
        max_response_len: The longest content of an answer, at most 1 MiB.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_response_len: int = MAX_PLAINTEXT_LEN,
    ) -> None:
        self._application = application
        self._timeout_s = timeout_s
        self._max_response_len = min(max_response_len, MAX_PLAINTEXT_LEN)
        self._lifespan = Lifespan(application, timeout_s=timeout_s)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the application up."""
        await self._lifespan.start()

    async def aclose(self) -> None:
        """Let what is at work end, and shut the application down."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._lifespan.stop()

    async def check(self) -> None:
        """Return while the application is up."""
        self._lifespan.check()

    async def exchange(self, request: Forwarded, peer: Peer) -> Response:
        """Let the application answer one request."""
        exchange = _Exchange(request.content, self._max_response_len)
        scope = self._scope(request, peer)
        task = asyncio.create_task(
            _run(self._application(scope, exchange.receive, exchange.send), exchange)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                await exchange.ended.wait()
        except TimeoutError:
            task.cancel()
            raise BehindTimeoutError(
                f"the application took longer than {self._timeout_s} s", delivered=True
            ) from None
        except asyncio.CancelledError:
            task.cancel()
            raise
        if exchange.is_complete:
            return exchange.response()
        task.cancel()
        raise BehindUnavailableError(exchange.trouble, delivered=True)

    def _scope(self, request: Forwarded, peer: Peer) -> Scope:
        path, _, query = request.target.partition(b"?")
        length = (b"content-length", b"%d" % len(request.content))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "https",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"localhost"), *request.headers, length],
            "client": None,
            "server": None,
            "state": self._lifespan.state.copy(),
            "sage.peer": peer,
        }


class _Exchange:
    """The two channels of one request, and the answer as it comes in."""

    def __init__(self, content: bytes, max_response_len: int) -> None:
        self.ended = asyncio.Event()
        self.is_complete = False
        self.trouble = "the application ended without a whole answer"
        self._content: bytes | None = content
        self._left = max_response_len
        self._max_response_len = max_response_len
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    async def receive(self) -> Message:
        """Give the content at once; after that, wait for the end."""
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a piece of the answer."""
        if self.ended.is_set():
            raise ConnectionResetError("this answer has ended")
        match message["type"], self._status:
            case "http.response.start", None:
                self._status = int(message["status"])
                pairs = message.get("headers", ())
                self._headers = [(bytes(name), bytes(value)) for name, value in pairs]
            case "http.response.body", int():
                self._add(bytes(message.get("body", b"")))
                if not message.get("more_body", False):
                    self.is_complete = True
                    self.ended.set()
            case kind, _:
                raise RuntimeError(f"the message {kind} is unknown, or out of turn")

    def response(self) -> Response:
        """Return the whole answer."""
        return Response(
            status=self._status or 0,
            headers=returned_fields(tuple(self._headers)),
            content=b"".join(self._parts),
        )

    def _add(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            self.trouble = f"the application answered with more than {self._max_response_len} bytes"
            self.ended.set()
            raise ConnectionResetError(self.trouble)
        self._parts.append(part)


async def _run(application: Awaitable[None], exchange: _Exchange) -> None:
    try:
        await application
    except Exception as error:
        if not exchange.ended.is_set():
            exchange.trouble = f"the application raised {type(error).__name__}"
        if not isinstance(error, ConnectionResetError):
            _logger.exception("the application raised")
    finally:
        exchange.ended.set()
