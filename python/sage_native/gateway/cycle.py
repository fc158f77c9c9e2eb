"""One request of a connection and its answer: what the application's ``receive`` and ``send`` are.

It does what uvicorn's cycle does, for less:

* Head and body of an answer leave in one write, as ASGI wants it: a head alone is not sent. So an
  application that fails before its body is answered for, with 500.
* Heads of answers are kept rendered (`AnswerHeads`).
* There is nothing to wait with until somebody waits.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from sage_native.gateway.answers import tell_of_problem
from sage_native.gateway.heads import NO_CONTENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.connections import SweptProtocol
    from sage_native.gateway.heads import AnswerHead
    from sage_native.gateway.taskless import TasklessEndpoint
    from sage_native.gateway.watch import Watch

    Message = MutableMapping[str, Any]
    Application = Callable[..., Awaitable[object]]

__all__ = ["Cycle", "cycle_of"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAILED = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"21"),
    (b"connection", b"close"),
)
_JOINED_LEN = 65_536
"""A longer body is not copied behind its head."""
_logger = logging.getLogger("sage_native.gateway")


class Cycle:
    """A request, and the answer that it is given.

    Args:
        protocol: The connection.
        scope: What the application is called with.
        keep_alive: Whether the connection goes on after the answer.
        owes_continue: Whether the client waits for 100 before it sends its body.
        body: All of it, if it is there.

    Attributes:
        body: What came and was not received yet.
        more_body: Whether more is to come.
        disconnected: Whether the client is gone.
        has_task: Whether a task of its own answers it.
        response_started: Whether the application has begun its answer.
        response_complete: Whether it has ended it.
    """

    __slots__ = (
        "_event",
        "_has_news",
        "_head",
        "_is_begun",
        "_is_chunked",
        "_left_len",
        "_owes_continue",
        "_protocol",
        "_said_len",
        "_status",
        "body",
        "disconnected",
        "has_task",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
    )

    def __init__(
        self,
        protocol: SweptProtocol,
        scope: dict[str, Any],
        *,
        keep_alive: bool = True,
        owes_continue: bool = False,
        body: bytes | None = None,
    ) -> None:
        self.scope = scope
        self.body: bytes | bytearray = b"" if body is None else body
        self.more_body = body is None
        self.keep_alive = keep_alive
        self.disconnected = False
        self.has_task = True
        self.response_started = False
        self.response_complete = False
        self._protocol = protocol
        self._owes_continue = owes_continue
        self._has_news = body is not None
        self._event: asyncio.Event | None = None
        self._head: AnswerHead | None = None
        self._status: int | None = None
        self._said_len: int | None = None
        self._is_begun = False

    def is_of(self, protocol: SweptProtocol) -> bool:
        """Tell whether it came on a connection."""
        return self._protocol is protocol

    def came(self, data: bytes) -> None:
        """Take a piece of the body."""
        if not self.body:
            self.body = data
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += data
        if len(self.body) > HIGH_WATER_LIMIT:
            self._protocol.flow.pause_reading()
        self.wake()

    def wake(self) -> None:
        """Let ``receive`` look again."""
        self._has_news = True
        if self._event is not None:
            self._event.set()

    async def run(
        self, app: Application, watch: Watch | None = None, *, begun_s: float = 0.0
    ) -> None:
        """Have the application answer, and tell who watches when that is over.

        Args:
            app: The application.
            watch: Who watches.
            begun_s: When it was begun to be watched; now if it is left out.
        """
        # What is done for each request is done in few steps: each costs some thirty instructions.
        if watch is not None and not begun_s:
            clock = watch.clock
            begun_s = clock()
            if begun_s < 0.0:
                begun_s = -begun_s
                app = watch.look(self.scope) or app
        error = None
        try:
            result = await app(self.scope, self.receive, self.send)
        except BaseException as raised:
            _logger.exception("the application failed")
            self._fail()
            error = raised
        else:
            if result is not None or not (self.response_complete or self.disconnected):
                _logger.error("the application returned %r, its answer not complete", result)
                self._fail()
        if watch is not None:
            takes = watch.takes
            if not takes(self.scope, self._status, self._said_len, begun_s, error):
                self._note(watch, begun_s, error)

    def _note(self, watch: Watch, begun_s: float, error: BaseException | None = None) -> None:
        """Tell who watches that it is over."""
        watch.note(self.scope, self._status, self._said_len, begun_s, perf_counter(), error)

    def run_taskless(self, endpoint: TasklessEndpoint) -> None:
        """Have an endpoint answer, as ``run`` would, without a task; its request came whole."""
        watch = self._protocol.watch
        self.has_task = False
        if watch is None:
            endpoint.begin(self.scope, self._take)
            return
        begun_s = perf_counter()
        context = copy_context()
        traced = context.run(watch.begin, self.scope)
        if traced is not None:  # spans belong to tasks
            self.has_task = True
            self._protocol.run_in_task(self.run(traced, watch, begun_s=begun_s), context)
            return

        def take(answer: Answer | None) -> None:
            self._take(answer)
            self._note(watch, begun_s)

        context.run(endpoint.begin, self.scope, take)

    def _take(self, answer: Answer | None) -> None:
        """Write the answer of an endpoint, if its client is still there."""
        if self.disconnected:
            return
        try:
            if answer is None:
                raise RuntimeError("the application has no answer")  # noqa: TRY301 - as what is wrong
            status, headers, body, code = answer
            if code is not None:
                tell_of_problem(self.scope, code, status)
            protocol, body_len = self._protocol, len(body)
            opening = protocol.answer_heads.opening(
                status, headers, body_len, protocol.server_state.default_headers
            )
            if opening and self.keep_alive and body_len <= _JOINED_LEN:
                # What `_start` and `_go_on` do, of an answer that is known to be whole.
                self._status = status
                self._said_len = None if status == NO_CONTENT else body_len
                self.response_started = self._is_begun = True
                protocol.transport.write(opening + body)
                self._end()
                return
            if status != NO_CONTENT:
                headers = (*headers, (b"content-length", b"%d" % body_len))
            self._start(status, headers)
            self._go_on(body, more=False)
        except Exception:
            _logger.exception("the application failed")
            self._fail()

    async def receive(self) -> Message:
        """Return what came of the body since the last call, once something did: as ASGI says."""
        if self._owes_continue and not self._protocol.transport.is_closing():
            self._owes_continue = False
            self._protocol.transport.write(_CONTINUE)
        if not (self.disconnected or self.response_complete):
            self._protocol.flow.resume_reading()
            if not self._has_news:
                if self._event is None:
                    self._event = asyncio.Event()
                await self._event.wait()
                self._event.clear()
            self._has_news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send a part of the answer: as ASGI says.

        Raises:
            RuntimeError: It is not the turn of such a message, or the body is not as long as the
                head says.
            ValueError: A header that HTTP does not allow.
        """
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self._head is None:
            if kind != "http.response.start":
                raise RuntimeError(f"http.response.start was expected, not {kind}")
            self._start(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError(f"{kind} was sent after the end of the answer")
        elif kind != "http.response.body":
            raise RuntimeError(f"http.response.body was expected, not {kind}")
        else:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))

    def _start(self, status: int, headers: Iterable[Sequence[bytes]]) -> None:
        self._head = head = self._protocol.answer_heads.of(status, headers)
        self._said_len = head.body_len
        self._status = status
        self.response_started = True
        self._owes_continue = False

    def _go_on(self, body: bytes, *, more: bool) -> None:
        opening = b"" if self._is_begun else self._opening()
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self._left_len -= len(body)
            if self._left_len < 0 or (self._left_len and not more):
                raise RuntimeError("the body is not as long as the Content-Length says")
        self._is_begun = True
        write = self._protocol.transport.write
        if len(body) <= _JOINED_LEN:
            write(opening + body)
        else:
            write(opening)
            write(body)
        if not more:
            self._end()

    def _opening(self) -> bytes:
        """Return the head as it is sent, and note how its body is sent."""
        head = self._head
        assert head is not None  # noqa: S101 - it was started
        self.keep_alive = self.keep_alive and not head.closes
        self._is_chunked = head.is_chunked
        self._left_len = self._said_len or 0
        opening = head.lines + self._protocol.said_always()
        if not (self.keep_alive or head.closes):
            opening += b"connection: close\r\n"
        if head.is_open_ended and self.scope["method"] != "HEAD":
            self._is_chunked = True
            opening += b"transfer-encoding: chunked\r\n"
        return opening + b"\r\n"

    def _end(self) -> None:
        self.response_complete = True
        if self._event is not None:
            self.wake()
        if not self.keep_alive:
            self._protocol.transport.close()
        self._protocol.on_response_complete()

    def _fail(self) -> None:
        """Say that it is our fault; if the answer is half-way out, end the connection."""
        if self._is_begun:
            self._protocol.transport.close()
        elif not self.disconnected:
            self._start(500, _FAILED)
            self._go_on(b"Internal Server Error", more=False)


_RUN = Cycle.run.__code__


def cycle_of(task: object) -> Cycle | None:
    """Return what the current task answers; None if it was not made for that."""
    # So nothing is to be kept, and forgotten again, for each request. What is no task of asyncio's
    # may have no coroutine that it tells.
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    if not inspect.iscoroutine(coroutine) or coroutine.cr_code is not _RUN:
        return None
    found: Cycle | None = inspect.getcoroutinelocals(coroutine).get("self")
    return found
