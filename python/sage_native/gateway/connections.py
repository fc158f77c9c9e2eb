"""Connections of one worker, each held to its deadlines.

uvicorn speaks HTTP and calls the application; what it leaves open is closed here:

* A connection that says nothing, or whose head drips, is closed after ``HEAD_S``.
* A head of more than ``MAX_HEAD_LEN`` bytes is answered with 431 while it is still coming.
* A client that does not take its answer is cut off after ``UNREAD_S``. What is still in buffers of
  the kernel then is ended by the kernel (``TCP_USER_TIMEOUT``, set where the socket is made).
* Beyond ``max_connections`` a new connection is closed at once, and so is one beyond what an
  address may have (`Places`).
* A request that is answered before all of it came ends its connection. What still comes is read
  and thrown away for ``LINGER_S``, or the client would see a reset instead of its answer.
* A body in chunks has no trailers: the parser would make headers of them, of a request that was
  looked at already. They are refused, and so is more than ``MAX_FRAMING_LEN`` between the bytes of
  a body; a trailer that never ends would cost time that grows with its square.
* At most ``MAX_PIPELINED`` requests wait for the one at work; with more the connection is closed.
* A connection that rests between two requests is closed after the time of uvicorn for that, also
  if it says something that begins no request.
* What is refused while another request waits for its answer is refused without a word: the client
  would take the refusal for that answer.

And it costs less than uvicorn alone. A request that comes whole, with a head that was seen before,
needs no parser (`RequestHeads`); its answer leaves in one write (`Cycle`). There is no timer for
each request: one sweep a second looks at all connections.
"""

from __future__ import annotations

import asyncio
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sage_native.gateway.at_work import AtWork
from sage_native.gateway.cycle import Cycle
from sage_native.gateway.endpoint import LINGERS
from sage_native.gateway.heads import AnswerHeads, RequestHeads
from sage_native.gateway.limits.bodies import WHOLE_KEY
from sage_native.gateway.places import Places
from sage_native.observability.middleware import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence
    from contextvars import Context
    from ipaddress import IPv4Network, IPv6Network

    from sage_native.gateway.heads import RequestHead
    from sage_native.gateway.taskless import TasklessEndpoint
    from sage_native.gateway.watch import Watch

__all__ = [
    "HEAD_S",
    "MAX_HEAD_LEN",
    "SWEEP_S",
    "UNREAD_S",
    "SweptProtocol",
    "sweep",
]

HEAD_S = 5.0
UNREAD_S = 30.0
LINGER_S = 2.0
MAX_LINGER_LEN = 4 << 20
MAX_HEAD_LEN = 16_384
MAX_FRAMING_LEN = 512
MAX_PIPELINED = 8
SWEEP_S = 1.0

_logger = logging.getLogger("sage_native.gateway")
_OWN = ("method", "path", "raw_path", "query_string", "asgi", "headers", "state")
"""What is said in the scope of each request."""
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class SweptProtocol(HttpToolsProtocol):
    """One connection. Its class is made for a worker by `for_worker`.

    Attributes:
        at_work: The request that is worked on or was last.
        places: Those of the worker.
        request_heads: The heads that it has seen.
        answer_heads: The heads that it has sent.
        place: The one that this connection has.
    """

    at_work: Cycle | None = None
    places = Places(4096)
    request_heads = RequestHeads()
    answer_heads = AnswerHeads()
    head_s = HEAD_S
    unread_s = UNREAD_S
    place: str | None = None

    # None while a request is worked on or the connection rests between two.
    _head_since_s: float | None = None
    _unread_since_s: float | None = None
    _linger_since_s: float | None = None
    _rest_since_s = 0.0
    _rested_after: object = None
    _head_len = 0
    _fields_len = 0
    _lingered_len = 0
    _is_head_too_long = False
    # The request whose chunks are coming, and how much came since the last byte of its body.
    _chunked: Cycle | None = None
    # What is the same in all requests.
    _common: dict[str, Any] | None = None
    _framing_len = 0
    # Who watches the requests, and if so, in copies of which context and what lets the log name
    # them.
    watch: Watch | None = None
    _named: AtWork | None = None
    _context: Context | None = None
    # What answers a POST to a path without a task, if its request is whole.
    taskless: Mapping[bytes, TasklessEndpoint] = MappingProxyType({})

    # Whether the parser stands before the beginning of a request, and how many have begun.
    _is_between = True
    _begun_count = 0

    # The latest request.
    cycle: Cycle  # type: ignore[assignment]

    @classmethod
    def for_worker(  # noqa: PLR0913 - one thing each
        cls,
        max_connections: int,
        *,
        head_s: float = HEAD_S,
        unread_s: float = UNREAD_S,
        trusted_proxies: Sequence[IPv4Network | IPv6Network] = (),
        watch: Watch | None = None,
        taskless: Mapping[bytes, TasklessEndpoint] | None = None,
    ) -> type[SweptProtocol]:
        """Return the class with the limits of one worker."""
        places = Places(max_connections, trusted=trusted_proxies)
        members = {
            "places": places,
            "request_heads": RequestHeads(),
            "answer_heads": AnswerHeads(),
            "head_s": head_s,
            "unread_s": unread_s,
            "watch": watch,
            "taskless": taskless or {},
        }
        return type(cls.__name__, (cls,), members)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the time for the first head, or refuse the connection."""
        super().connection_made(transport)
        if self.watch is not None:
            self._named = AtWork(self)
            self._context = self._named.context()
        self._head_since_s = self.loop.time()
        if self.place is None:
            self.place = self.places.take(self.client[0] if self.client else None)
            if self.place is None:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and give the place back."""
        self.connections.discard(self)
        if self._named is not None:
            self._named.leave()
        for cycle in (self.at_work, self.cycle):
            if cycle is not None:
                cycle.disconnected = not cycle.response_complete
                cycle.wake()
        self.cycle = self.at_work = None  # type: ignore[assignment]  # they keep this object
        self.pipeline.clear()
        if self.flow is not None:
            self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as above
        self._named = self._context = None  # as above
        self._leave()

    def give_up(self) -> None:
        """Give the place back if no connection was made."""
        if self.scheme is None:
            self._leave()
            self.parser = None  # type: ignore[assignment]  # it and this object keep each other

    def _leave(self) -> None:
        if self.place is not None:
            self.places.leave(self.place)
            self.place = None

    def data_received(self, data: bytes) -> None:
        """Parse, and count a head that is not whole yet."""
        if self._linger_since_s is not None:
            self._lingered_len += len(data)
            if self._lingered_len > MAX_LINGER_LEN:
                self.transport.abort()
            return
        if self._is_between:
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                found = self.request_heads.find(data)
                if found is not None:
                    self._serve_known(*found)
                    return
            self._data_between(data)
        elif self._chunked is None:
            super().data_received(data)
        else:
            self._chunks_received(self._chunked, data)
        if self._head_since_s is not None and not self.transport.is_closing():
            self._head_len += len(data)
            if self._head_len > MAX_HEAD_LEN:
                self._is_head_too_long = True
                self.send_400_response("")

    def _serve_known(self, head: RequestHead, body: bytes) -> None:
        """Begin a request that the parser need not see."""
        self._head_since_s = None
        self._head_len = 0
        method, path, raw_path, query_string, headers, content_type, _ = head
        scope = self._scope(list(headers))
        scope["method"] = method
        scope["path"] = path
        scope["raw_path"] = raw_path
        scope["query_string"] = query_string
        scope[WHOLE_KEY] = content_type, body
        self.cycle = cycle = Cycle(self, scope, body=body)
        # By the path as it came: one that hides a slash is for the router to refuse.
        endpoint = self.taskless.get(raw_path)
        if endpoint is None or self.flow.write_paused:
            self._start(cycle)
        else:
            scope[ROUTE_KEY] = path
            self.at_work = cycle
            cycle.run_taskless(endpoint)

    def _data_between(self, data: bytes) -> None:
        """Parse from the beginning of a request, and remember the head of one that came whole."""
        begun_count = self._begun_count
        super().data_received(data)
        if self._is_between and self._begun_count == begun_count + 1 and self.cycle.keep_alive:
            self.request_heads.keep(data, self.cycle.scope)

    def _chunks_received(self, cycle: Cycle, data: bytes) -> None:
        """Parse, and count what comes between the bytes of a body that has chunks."""
        before_len = len(cycle.body)
        super().data_received(data)
        if not cycle.more_body or len(cycle.body) > before_len:
            self._framing_len = 0
        elif not self.transport.is_closing():
            self._framing_len += len(data)
            if self._framing_len > MAX_FRAMING_LEN:
                self.send_400_response("too much between chunks")
        if not cycle.more_body and self._chunked is cycle:
            self._chunked = None

    def on_message_begin(self) -> None:
        """Begin the time for a head."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_between = False
        self._begun_count += 1
        if self._head_since_s is None:
            self._head_since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a field; a head may also come whole."""
        if self._head_since_s is None:
            raise ValueError("a trailer")  # the parser stops, and 400 is answered
        self._fields_len += len(name) + len(value)
        if self._fields_len > MAX_HEAD_LEN:
            self._is_head_too_long = True
            raise ValueError("the head is too long")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the time, and begin the request."""
        self._head_since_s = None
        self._head_len = self._fields_len = 0
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = self._scope(self.headers)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url.path
        scope["query_string"] = url.query or b""
        http_version = self.parser.get_http_version()
        scope["http_version"] = http_version
        # Whether nothing is asked here that is not answered.
        is_idle = self.cycle is None or self.cycle.response_complete
        self.cycle = Cycle(
            self,
            scope,
            keep_alive=http_version != "1.0" and self.parser.should_keep_alive(),
            owes_continue=self.expect_100_continue,
        )
        if is_idle:
            self._start(self.cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))  # type: ignore[arg-type]

    def _scope(self, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """Return what is the same in all requests of a connection, and the headers of one."""
        if self._common is None:
            self._common = {
                # What each has of its own, so that its copy has room for that.
                **dict.fromkeys(_OWN),
                "type": "http",
                "http_version": "1.1",
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "root_path": self.root_path,
                LINGERS: True,
                **({} if self.watch is None else self.watch.members),
            }
        scope = self._common.copy()
        # What an application may change is each request's own.
        scope["asgi"] = {"version": self.asgi_version, "spec_version": "2.3"}
        scope["headers"] = headers
        scope["state"] = self.app_state.copy()
        return scope

    def _start(self, cycle: Cycle) -> None:
        self.at_work = cycle
        context = self._context
        if context is None:
            self.run_in_task(cycle.run(self.app), None)
        else:
            self.run_in_task(cycle.run(self.app, self.watch), context.copy())

    def run_in_task(self, coroutine: Coroutine[Any, Any, None], context: Context | None) -> None:
        """Run what answers a request, and have the server wait for it when it ends."""
        # Not by the loop, whose factory is for those that requests start.
        task = asyncio.Task(coroutine, loop=self.loop, context=context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """Hand a piece on."""
        if not self.cycle.response_complete:
            self.cycle.came(body)

    def on_message_complete(self) -> None:
        """Tell the application that its request is whole."""
        self._is_between = not self.parser.should_upgrade()
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.wake()

    def on_chunk_header(self) -> None:
        """Begin to look at what comes between chunks."""
        self._chunked = self.cycle

    def on_response_complete(self) -> None:
        """End a connection whose request was answered before all of it came."""
        self.server_state.total_requests += 1
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])  # type: ignore[arg-type]
        elif cycle.more_body:
            if self.transport.can_write_eof():
                self.transport.write_eof()
                self._linger_since_s = self.loop.time()
            else:  # TLS
                self.transport.close()

    def said_always(self) -> bytes:
        """Return the lines that stand in every answer, such as its date."""
        return self.answer_heads.joined(self.server_state.default_headers)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it."""
        if self._is_another_unanswered():
            self.transport.close()  # a refusal would be taken for the answer to that
        elif self._is_head_too_long:
            self.transport.write(_TOO_LONG)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _is_another_unanswered(self) -> bool:
        """Whether the client waits for more than the answer to what is refused."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        is_head_refused = self._head_since_s is not None
        return is_head_refused or bool(self.pipeline) or cycle.response_started

    def sweep(self, now_s: float) -> None:
        """Close the connection if its time is up."""
        if self._head_since_s is not None and now_s - self._head_since_s > self.head_s:
            self.transport.abort()
        elif self._linger_since_s is not None and now_s - self._linger_since_s > LINGER_S:
            self.transport.close()
        elif not self.flow.write_paused:
            self._unread_since_s = None
            self._sweep_resting(now_s)
        elif self._unread_since_s is None:
            self._unread_since_s = now_s
        elif now_s - self._unread_since_s > self.unread_s:
            self.transport.abort()

    def _sweep_resting(self, now_s: float) -> None:
        """Close a connection that rests too long.

        A timer of uvicorn does that too, but any byte ends that timer, and there are bytes that
        begin no request.
        """
        cycle = self.cycle
        if cycle is None or not cycle.response_complete:
            return
        if cycle is not self._rested_after:
            self._rested_after = cycle
            self._rest_since_s = now_s
        elif now_s - self._rest_since_s > self.timeout_keep_alive:
            self.transport.abort()


def sweep(connections: Iterable[Any], now_s: float) -> None:
    """Close those connections whose time is up.

    Args:
        connections: Those of the worker.
        now_s: The time of its loop.
    """
    for connection in list(connections):
        try:
            connection.sweep(now_s)
        except Exception:  # the others have their deadlines all the same
            _logger.exception("a connection could not be looked at, and is ended")
            connection.transport.abort()
