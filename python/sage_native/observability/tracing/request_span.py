"""The span of a request: its ids and a time, until somebody wants to do something with it.

A span of OpenTelemetry's SDK is made for whoever may add to it: locks, bounded lists, attributes
that are looked through one by one. That is 30 µs where it is made all the time, and twice as much
for one request in a hundred, when nothing of it is in a cache. What the gateway says of a request
needs none of it. So this span keeps what it was told, and the thread that sends spans makes of it
what the exporter takes. Who takes hold of it by OpenTelemetry's ways, as an application behind the
gateway may, holds a span of the SDK with the same ids, and from then on all goes there.
"""

from __future__ import annotations

import threading
from random import getrandbits
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from sage_native.observability.tracing.current import RANDOM_FLAG, SAMPLED_FLAG, RequestTrace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import Attributes, AttributeValue

    from sage_native.observability.tracing.request_attributes import Begun, Outcome
    from sage_native.observability.tracing.request_spans import RequestSpans

__all__ = ["Kind", "Own", "RequestSpan", "finish"]

Kind: TypeAlias = tuple[str, str, str, str, int, "Outcome | None"]
"""What a span says that others say too."""
Own: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
"""Trace id, span id, begin and end (16, 8, 8 and 8 bytes), and the name of the request."""

_FLAGS: Final = TraceFlags(SAMPLED_FLAG | RANDOM_FLAG)
_UNSET: Final = Status()
_FAILED: Final = Status(StatusCode.ERROR)


class RequestSpan(RequestTrace, Span):
    """A span that is sampled and belongs to no other, and so the beginning of its trace.

    Args:
        begun: What is known of the request.
        makes: Makes a span of the SDK in its place, and takes it at its end.

    Attributes:
        trace_id: Its trace, 128 bits, not 0.
        span_id: Its own id, 64 bits, not 0.
        makes: As handed in.
    """

    # Of the class, as in `RequestTrace`: each assignment costs, in caches that hold nothing of it.
    flags = SAMPLED_FLAG | RANDOM_FLAG
    trace_id = 0
    _ended_ns: int | None = None
    _outcome: Outcome | None = None
    _context: SpanContext | None = None
    _whole: Span | None = None

    def __init__(self, begun: Begun, makes: RequestSpans) -> None:
        self.trace_id = getrandbits(128) or 1
        self.span_id = getrandbits(64) or 1
        self._begun_ns = time_ns()
        self._begun = begun
        self.makes = makes
        self._holding = threading.Lock()

    def ended(self, outcome: Outcome, ended_ns: int | None = None) -> None:
        """End it, as `finish` says: at a time in ns since the epoch, or now."""
        with self._holding:
            if self._whole is None:
                self._ended_ns = time_ns() if ended_ns is None else ended_ns
                self._outcome = outcome
        if self._whole is None:
            self.makes.add(self)
        else:
            finish(self._whole, self._begun, outcome, ended_ns)

    def readable(self) -> ReadableSpan:
        """Return what an exporter takes, once it has ended."""
        outcome = self._outcome
        assert outcome is not None  # noqa: S101 - it has ended
        return ReadableSpan(
            outcome.name(self._begun),
            self.get_span_context(),
            resource=self.makes.resource,
            attributes={**self._begun.attributes(), **outcome.attributes()},
            kind=SpanKind.SERVER,
            status=_UNSET if outcome.trouble is None else _FAILED,
            start_time=self._begun_ns,
            end_time=self._ended_ns,
            instrumentation_scope=self.makes.scope,
        )

    def own(self) -> Own:
        """Spell what differs between spans that say the same, once it has ended.

        Raises:
            UnicodeEncodeError: The name of the request cannot be sent.
        """
        ended_ns = self._ended_ns
        assert ended_ns is not None  # noqa: S101 - it has ended
        return (
            self.trace_id.to_bytes(16, "big"),
            self.span_id.to_bytes(8, "big"),
            self._begun_ns.to_bytes(8, "little"),
            ended_ns.to_bytes(8, "little"),
            self._begun.request_id.encode(),
        )

    def kind_with(self, request_id_len: int) -> Kind:
        """Return what else it says, if the name of its request has so many bytes."""
        begun = self._begun
        return (
            begun.name,
            begun.scheme,
            begun.version,
            begun.listener,
            request_id_len,
            self._outcome,
        )

    def alike(self, request_id: str) -> RequestSpan:
        """Return one of the same kind that has ended, whose ids and times were drawn.

        Args:
            request_id: The name of its request.
        """
        other = RequestSpan(self._begun._replace(request_id=request_id), self.makes)
        other._begun_ns = getrandbits(64) or 1
        other._ended_ns = getrandbits(64) or 1
        other._outcome = self._outcome
        return other

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        context = self._context
        if context is None:
            context = self._context = SpanContext(
                self.trace_id, self.span_id, is_remote=False, trace_flags=_FLAGS
            )
        return context

    def is_recording(self) -> bool:
        """Tell whether it has not ended."""
        return self._ended_ns is None if self._whole is None else self._whole.is_recording()

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
        with self._holding:
            if self._whole is None:
                if self._ended_ns is not None:
                    return NonRecordingSpan(self.get_span_context())
                self._whole = self.makes.whole(self.get_span_context(), self._begun, self._begun_ns)
            return self._whole


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
