"""The span of a request: its ids and a time, until somebody wants to do something with it.

A span of OpenTelemetry's SDK is made for whoever may add to it: locks, bounded lists, attributes
that are looked through one by one. That is 30 µs where it is made all the time, and twice as much
for one request in a hundred, when nothing of it is in a cache. What the gateway says of a request
needs none of it. So this span keeps what it was told, and the thread that sends spans makes of it
what the exporter takes (`EndedSpan`). Who takes hold of it by OpenTelemetry's ways, as an
application behind the gateway may, holds a span of the SDK with the same ids, and from then on all
goes there.
"""

from __future__ import annotations

import threading
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from sage_native.observability.tracing.current import RANDOM_FLAG, SAMPLED_FLAG, RequestTrace
from sage_native.observability.tracing.ended_span import FLAGS, EndedSpan, drawn_ids
from sage_native.observability.tracing.making_current import make_current
from sage_native.observability.tracing.request_attributes import Begun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from opentelemetry.util.types import Attributes, AttributeValue

    from sage_native.observability.middleware import Scope
    from sage_native.observability.tracing.request_attributes import Outcome
    from sage_native.observability.tracing.request_spans import RequestSpans

__all__ = ["RequestSpan", "finish"]

_FAILED: Final = Status(StatusCode.ERROR)


class RequestSpan(RequestTrace, Span):
    """A span that is sampled and belongs to no other, and so the beginning of its trace.

    Args:
        makes: Makes a span of the SDK in its place, and takes it at its end.
        scope: The scope of its request, kept until its end.
        listener: Which listener it came to.
        begun_ns: When it began, in ns since the epoch.

    Attributes:
        makes: As handed in.
    """

    # Of the class, as in `RequestTrace`: each assignment costs, in caches that hold nothing of it.
    flags = SAMPLED_FLAG | RANDOM_FLAG
    _scope: Scope | None = None
    _listener = ""
    _begun: Begun | None = None
    _is_over = False
    _context: SpanContext | None = None
    _whole: Span | None = None

    def __init__(self, makes: RequestSpans, scope: Scope, listener: str, begun_ns: int) -> None:
        self.makes = makes
        self._scope = scope
        self._listener = listener
        self._begun_ns = begun_ns

    @classmethod
    def of_begun(cls, begun: Begun, makes: RequestSpans) -> Self:
        """Begin one of which everything is known.

        Args:
            begun: What is known of the request.
            makes: As above.
        """
        self = cls.__new__(cls)
        self.makes = makes
        self._begun = begun
        self._begun_ns = time_ns()
        return self

    @property
    def trace_id(self) -> int:
        """Return its trace, 128 bits, not 0."""
        return int.from_bytes(self._ids()[0], "big")

    @property
    def span_id(self) -> int:
        """Return its own id, 64 bits, not 0."""
        return int.from_bytes(self._ids()[1], "big")

    def ended(self, outcome: Outcome, ended_ns: int | None = None) -> None:
        """End it, as `finish` says: at a time in ns since the epoch, or now."""
        with self._holding():
            begun = self._known()
            self._scope = None  # which has this span in it
            self._is_over = True
        if self._whole is None:
            trace_id, span_id = self._ids()
            ended = EndedSpan(
                trace_id,
                span_id,
                self._begun_ns,
                time_ns() if ended_ns is None else ended_ns,
                begun,
                outcome,
                self.makes,
            )
            self.makes.add(ended)
        else:
            finish(self._whole, begun, outcome, ended_ns)

    def be_current(self) -> None:
        """Have OpenTelemetry find it here, if it finds none and this is not over."""
        if self._is_over:
            return
        found = get_current_span()
        # One of another request is that of whoever has left its context to this one.
        is_of_another = isinstance(found, RequestSpan) and found is not self
        if is_of_another or not found.get_span_context().is_valid:
            make_current(set_span_in_context(self))

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        context = self._context
        if context is None:
            context = self._context = SpanContext(
                self.trace_id, self.span_id, is_remote=False, trace_flags=FLAGS
            )
        return context

    def is_recording(self) -> bool:
        """Tell whether it has not ended."""
        return not self._is_over if self._whole is None else self._whole.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """End it, whatever becomes of the request."""
        self._held().end(end_time)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes."""
        self._held().set_attributes(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add an attribute."""
        self._held().set_attribute(key, value)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Add an event."""
        self._held().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link."""
        self._held().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Call it something else."""
        self._held().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went."""
        self._held().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's
    ) -> None:
        """Add an event of an exception."""
        self._held().record_exception(exception, attributes, timestamp, escaped)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a span of the SDK has
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._held(), name)

    def _held(self) -> Span:
        """Return the span of the SDK in place of this one; one that takes nothing if it is over."""
        with self._holding():
            if self._whole is None:
                if self._is_over:
                    return NonRecordingSpan(self.get_span_context())
                known = self._known()
                self._whole = self.makes.whole(self.get_span_context(), known, self._begun_ns)
            return self._whole

    def _holding(self) -> threading.Lock:
        """Return the lock of whoever takes hold of it, or ends it."""
        # Whichever thread asks first, all have the same one: this is one step of the interpreter.
        lock: threading.Lock = self.__dict__.setdefault("_lock", threading.Lock())
        return lock

    def _ids(self) -> tuple[bytes, bytes]:
        """Return the ids of its trace and its own; drawn if need be, by one of those who ask."""
        ids: tuple[bytes, bytes] | None = self.__dict__.get("_drawn")
        if ids is None:
            ids = self.__dict__.setdefault("_drawn", drawn_ids())
        return ids

    def _known(self) -> Begun:
        """Return what is known of the request; to whoever holds the lock, or once it is over."""
        begun = self._begun
        if begun is None:
            assert self._scope is not None  # noqa: S101 - else that was known
            begun = self._begun = Begun.of(self._scope, self._listener)
        return begun


def finish(span: Span, begun: Begun, outcome: Outcome, ended_ns: int | None = None) -> None:
    """Say how a request went, and end its span, of whatever kind it is.

    Args:
        span: The span.
        begun: What was known of the request when it came.
        outcome: What has become of it.
        ended_ns: When, in ns since the epoch; now if it is left out.
    """
    if isinstance(span, RequestSpan):
        span.ended(outcome, ended_ns)
        return
    span.update_name(outcome.name(begun))
    if outcome.trouble is not None:
        span.set_status(_FAILED)
    span.set_attributes(outcome.attributes())
    span.end(ended_ns)
