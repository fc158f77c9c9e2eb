"""Reading a request's body: never more than the limit, never longer than the deadline.

Most bodies are there at once, so the deadline must cost them nothing: one step of ``receive``
tells. Nor is there a timer for each request. A read that has to wait puts its task into a
dictionary, with the number of the current tick, and takes it out when done. One timer for the whole
worker ticks while anybody is reading, eight times in each timeout; a task that has been there for
more than eight ticks is cancelled, and the cancellation comes out of ``read_body`` as
``BodyTooSlowError``. The dictionary is in the order of arrival, so a tick looks at the slow ones
and at one more. A body is cut off between one and 1¼ timeouts after its read began, however fast
the drops fall, and also when nothing ever comes.

Servers announce the end of a body in a message of its own, which costs one more turn through the
event loop. A body that is as long as its ``Content-Length`` says is complete without it.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections import Counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from sage_native.exceptions import OverloadedError, PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping

    Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_TICKS: Final = 8  # in one timeout
_MAX_DIGITS: Final = 18  # of a length that is worth reading
_SHORTEST_NAME: Final = len(b"content-type")  # of the headers that matter here

WHOLE_KEY: Final = "sage.whole"
"""In the scope of a server that has the whole body before it calls the application, not compressed
and as long as its ``Content-Length`` says: its media type and the body."""

# What each may say; a transfer coding overrides any length (RFC 9112 §6.3).
_CODINGS: Final = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}


class UnsupportedTypeError(PeerError):
    """The body is of another type than this endpoint takes. Nothing of it was read.

    Attributes:
        wanted: The type that it takes.
    """

    code = "unsupported_media_type"

    def __init__(self, wanted: bytes) -> None:
        super().__init__(f"the body must be of type {wanted.decode()}")
        self.wanted = wanted


class BodyTooLargeError(PeerError):
    """The body is longer than this endpoint takes. Nothing beyond the limit was read."""

    code = "payload_too_large"


class BodyTooSlowError(PeerError):
    """The body did not arrive in time."""

    code = "request_timeout"


class UnsupportedEncodingError(PeerError):
    """The body is compressed. Nothing of it was read, and nothing is ever unpacked."""

    code = "unsupported_media_type"


class ClientGoneError(PeerError):
    """The connection ended before the body did: there is nobody to answer."""


class BodyDeadlines:
    """The reads of one worker that have not ended, and the one timer that watches them.

    Belongs to one event loop, and needs a task of its own for each request, as asyncio makes them.

    Args:
        timeout_s: How long one body may take, from the start of the read to its last byte.
        name_of: Names the client of a scope, for ``max_each_count``.
        max_count: How many reads may wait at once.
        max_each_count: How many of one client.
        max_len: How many bytes those that wait may have gathered, in all.

    Raises:
        UsageError: ``timeout_s`` is not above 0.
    """

    __slots__ = (
        "_expired",
        "_gathered_len",
        "_max_count",
        "_max_each_count",
        "_max_len",
        "_name_of",
        "_of_client",
        "_reading",
        "_tick",
        "_timer",
        "timeout_s",
    )

    def __init__(
        self,
        timeout_s: float,
        *,
        name_of: Callable[[Mapping[str, Any]], str] = lambda _: "",
        max_count: int = 1024,
        max_each_count: int = 1024,
        max_len: int = 64 << 20,
    ) -> None:
        if not 0 < timeout_s < float("inf"):
            raise UsageError(
                f"timeout_s is {timeout_s}; a body may take some time, but not for ever"
            )
        self.timeout_s = timeout_s
        self._name_of = name_of
        self._max_count = max_count
        self._max_each_count = max_each_count
        self._max_len = max_len
        self._gathered_len = 0
        self._of_client: Counter[str] = Counter()
        self._reading: dict[asyncio.Task[Any], tuple[int, str]] = {}
        self._expired: set[asyncio.Task[Any]] = set()
        self._tick = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def reading_count(self) -> int:
        """Reads that have begun and not ended."""
        return len(self._reading)

    def close(self) -> None:
        """Stop the timer. Reads that have begun lose their deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, scope: Mapping[str, Any]) -> asyncio.Task[Any]:
        """Watch the running task. In a ``finally``, hand what this returns to ``end``.

        Raises:
            OverloadedError: Too many wait, of this client or in all.
        """
        task = current_task()
        if task is None:
            raise UsageError("a body is read in an asyncio task; this runs in none")
        client = self._name_of(scope)
        if len(self._reading) >= self._max_count or self._of_client[client] >= self._max_each_count:
            raise OverloadedError(f"{len(self._reading)} bodies are being waited for")
        self._reading[task] = (self._tick, client)
        self._of_client[client] += 1
        if self._timer is None:
            self._arm()
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Watch the task no longer."""
        if not self._forget(task):
            self._expired.discard(task)

    def expired(self, task: asyncio.Task[Any]) -> bool:
        """Whether a cancellation that has just arrived in the task was ours, and ours alone."""
        return task in self._expired and task.uncancel() == 0

    def gather(self, length: int) -> None:
        """Count bytes that a read has gathered; negative when it gives them back.

        Raises:
            OverloadedError: That would be too many, of all together. They are not counted.
        """
        if self._gathered_len + length > self._max_len:
            raise OverloadedError(f"{self._gathered_len} bytes of bodies are being waited for")
        self._gathered_len += length

    def _forget(self, task: asyncio.Task[Any]) -> bool:
        found = self._reading.pop(task, None)
        if found is None:
            return False
        client = found[1]
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]
        return True

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.timeout_s / _TICKS, self._sweep)

    def _sweep(self) -> None:
        self._tick += 1
        oldest = self._tick - _TICKS
        late = []
        for task, (tick, _) in self._reading.items():
            if tick >= oldest:
                break
            late.append(task)
        for task in late:
            self._forget(task)
            self._expired.add(task)
            task.cancel()
        self._timer = None
        if self._reading:
            self._arm()


async def read_body(  # noqa: PLR0913 - one limit each
    receive: Receive,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    limit: int,
    deadlines: BodyDeadlines,
    content_type: bytes | None = None,
    scope: Mapping[str, Any] | None = None,
) -> bytes:
    """Read one request's body.

    Args:
        receive: The ASGI callable, not yet called.
        headers: Of the ASGI scope, with names in lower case.
        limit: The longest body, in bytes.
        deadlines: Of this worker.
        content_type: What ``Content-Type`` must be, whatever its parameters; any if left out.
        scope: Whose body it is.

    Returns:
        The whole body, at most ``limit`` bytes.

    Raises:
        BodyTooLargeError: Announced to be longer than ``limit`` (then it is not read), or found to
            be while reading.
        BodyTooSlowError: Not complete in time. Answer, and close the connection.
        UnsupportedEncodingError: ``Content-Encoding`` is there and is not ``identity``, or
            ``Transfer-Encoding`` is more than ``chunked``.
        UnsupportedTypeError: Another ``Content-Type``, or none.
        ClientGoneError: Disconnected in the middle.
        OverloadedError: It would have to be waited for, and too many others are.

    Cost: about 0.8 µs when the body is there in one message, 0.3 µs when it is in the scope.
    """
    if scope is not None and WHOLE_KEY in scope:
        return whole_body(*scope[WHOLE_KEY], limit=limit, content_type=content_type)
    announced = _announced_len(headers, limit, content_type)
    pending: Awaitable[Mapping[str, Any]] = receive()
    if pending.__class__ is CoroutineType:
        # Most bodies are there: then one step ends the coroutine. Written out, since each call in
        # between would be paid for by every record.
        try:
            waits_for = pending.send(None)
        except StopIteration as ended:
            body: bytes = ended.value.get("body", b"")
            if len(body) == announced or not ended.value.get("more_body", True):
                if len(body) > limit:
                    raise _too_large(limit) from None
                return body
            pending = _Arrived(ended.value)
        else:
            pending = _Resumed(pending, waits_for)
    return await _waited_for(
        receive, pending, announced=announced, limit=limit, deadlines=deadlines, scope=scope
    )


def whole_body(kind: bytes, body: bytes, *, limit: int, content_type: bytes | None) -> bytes:
    """Return a body that is there, if it is as it must be.

    Args:
        kind: Its media type.
        body: All of it.
        limit: As of ``read_body``, as is the next.
        content_type: What it must be; any if None.

    Raises:
        UnsupportedTypeError, BodyTooLargeError: As ``read_body``.
    """
    if content_type is not None and kind != content_type:
        raise UnsupportedTypeError(content_type)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _waited_for(  # noqa: PLR0913 - what read_body knows
    receive: Receive,
    pending: Awaitable[Mapping[str, Any]],
    *,
    announced: int,
    limit: int,
    deadlines: BodyDeadlines,
    scope: Mapping[str, Any] | None,
) -> bytes:
    try:
        task = deadlines.begin(scope or {})
    except OverloadedError:
        if isinstance(pending, _Resumed):
            pending.close()
        raise
    try:
        message = await pending
        return await _read_rest(
            receive, message, announced=announced, limit=limit, deadlines=deadlines
        )
    except asyncio.CancelledError:
        if deadlines.expired(task):
            raise BodyTooSlowError(f"no whole body within {deadlines.timeout_s} s") from None
        raise
    finally:
        deadlines.end(task)


class _Arrived:
    """A message that is there."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        self.message = message

    def __await__(self) -> Generator[Any, Any, Mapping[str, Any]]:
        yield from ()  # nothing to wait for
        return self.message


class _Resumed:
    """A coroutine that was driven one step, to be awaited from there.

    What it waits for goes to the event loop, and what comes back goes to it, as ``await`` would do.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, Mapping[str, Any]], waits_for: object
    ) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def close(self) -> None:
        """Wait no more."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Mapping[str, Any]]:
        coroutine, waits_for = self._coroutine, self._waits_for
        try:
            while True:
                try:
                    sent = yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation: the coroutine's
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(sent)
        except StopIteration as ended:
            message: Mapping[str, Any] = ended.value
            return message


async def _read_rest(
    receive: Receive,
    message: Mapping[str, Any],
    *,
    announced: int,
    limit: int,
    deadlines: BodyDeadlines,
) -> bytes:
    body = bytearray()
    gathered_len = 0
    try:
        while message["type"] != "http.disconnect":
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > limit:
                raise _too_large(limit)
            deadlines.gather(len(chunk))
            gathered_len += len(chunk)
            body += chunk
            if len(body) == announced or not message.get("more_body", False):
                return bytes(body)
            message = await receive()
    finally:
        deadlines.gather(-gathered_len)
    raise ClientGoneError(f"disconnected after {len(body)} bytes of the body")


def _announced_len(
    headers: Iterable[tuple[bytes, bytes]], limit: int, content_type: bytes | None
) -> int:
    """The ``Content-Length``, or -1 where there is none that can be relied on."""
    announced = -1
    chunked = False
    typed = content_type is None
    for name, value in headers:
        if len(name) < _SHORTEST_NAME:
            continue
        if name == b"content-length":
            if value.isdigit():
                announced = int(value) if len(value) <= _MAX_DIGITS else limit + 1
        elif name == b"content-type":
            typed = typed or value == content_type or essence_of(value) == content_type
        elif name in _CODINGS:
            if value.strip().lower() != _CODINGS[name]:
                raise UnsupportedEncodingError("a request body must not be compressed")
            chunked = chunked or name == b"transfer-encoding"  # overrides any length
    if not typed:
        raise UnsupportedTypeError(content_type or b"")
    if announced > limit:
        raise _too_large(limit)
    return -1 if chunked else announced


def essence_of(content_type: bytes) -> bytes:
    """Return a ``Content-Type`` without its parameters, in lower case."""
    return content_type.partition(b";")[0].strip().lower()


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"a body of more than {limit} bytes; the limit is {limit}")
