"""Which trace a line of the log, a measurement or a request to an upstream belongs to.

A request of the gateway has a trace whether its spans are sent or not: without a span the trace is
a number that is drawn when somebody asks for it. That costs a tenth of a span that is thrown away,
and what is behind the gateway still learns that the trace is not sampled. Nothing here imports
OpenTelemetry: where nobody else has, there is no span.
"""

from __future__ import annotations

import random
import sys
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from sage_native.observability.context import scope_here

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Self

__all__ = [
    "TRACE_KEY",
    "RequestTrace",
    "SpanToCome",
    "TraceIds",
    "begin_span_to_come",
    "current_request_trace",
    "current_span_context",
    "request_trace",
    "trace_ids",
]

TRACE_KEY = "sage.trace"
"""In the scope of a request: its trace; None until somebody asks for one that is not sampled."""

RANDOM_FLAG = 0x02
"""Trace flags: this trace id was drawn at random."""
SAMPLED_FLAG = 0x01
"""Trace flags: spans of this trace are sent."""


class TraceIds(NamedTuple):
    """The names of a trace and of a span in it.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits; None where no span is recorded.
        is_sampled: Whether spans of this trace are sent.
    """

    trace_id: str
    span_id: str | None
    is_sampled: bool


class RequestTrace:
    """The trace of one request. By itself it is not sampled, and its id is drawn when asked for.

    Attributes:
        flags: Trace flags of W3C Trace Context.
        tracestate: What vendors say of the trace, as it came; passed on unread.
    """

    # Of the class, so that the many that nobody asks cost no assignment.
    flags = RANDOM_FLAG
    tracestate = b""
    _trace_id = 0

    @classmethod
    def of(cls, trace_id: int, *, flags: int, tracestate: bytes) -> Self:
        """Make one of a trace that has a name."""
        self = cls()
        self._trace_id = trace_id
        self.flags = flags
        self.tracestate = tracestate
        return self

    @property
    def is_sampled(self) -> bool:
        """Tell whether spans of this trace are sent."""
        return self.flags & SAMPLED_FLAG != 0

    @property
    def span_id(self) -> int:
        """Return the span of the request in it; 0 if it has none."""
        return 0

    def be_current(self) -> None:
        """Have OpenTelemetry find the span of the request here, if it finds none."""

    @property
    def trace_id(self) -> int:
        """Return the trace, not 0."""
        while not self._trace_id:
            self._trace_id = random.getrandbits(128)
        return self._trace_id


class SpanToCome(RequestTrace, ABC):
    """The trace of any request that is sampled and whose span nobody has needed yet.

    Nearly always nobody does before it is over, and then it is made with many others.
    """

    flags = SAMPLED_FLAG | RANDOM_FLAG

    @abstractmethod
    def begin(self, scope: MutableMapping[str, Any]) -> RequestTrace:
        """Begin the span of a scope's request, by whoever needs it first; return its own trace."""


request_trace: ContextVar[RequestTrace | None] = ContextVar("sage_request_trace", default=None)
"""The trace of the request that is at work here, where its observer has set one."""


def current_request_trace() -> RequestTrace | None:
    """Return the trace of the request that is at work here; None outside of requests with one."""
    trace = request_trace.get()
    if trace is None:
        scope = scope_here()
        if scope is not None and TRACE_KEY in scope:
            trace = scope[TRACE_KEY]
            if trace is None:
                trace = scope[TRACE_KEY] = RequestTrace()
            elif trace.is_sampled:
                trace = trace.begin(scope) if isinstance(trace, SpanToCome) else trace
                # Whoever asked first may have done so in a task or a thread of its own.
                trace.be_current()
    return trace


def begin_span_to_come(scope: MutableMapping[str, Any]) -> None:
    """Begin the span of a request, if it is to have one, for those who ask OpenTelemetry alone."""
    trace = scope.get(TRACE_KEY)
    if isinstance(trace, SpanToCome):
        trace.begin(scope).be_current()


def trace_ids() -> TraceIds | None:
    """Name the trace and the span that are at work here; None if there are none.

    Cost: 0.1 µs where nothing traces, below 1 µs in a request.
    """
    request = current_request_trace()
    if request is not None and not request.is_sampled:
        return TraceIds(f"{request.trace_id:032x}", None, False)  # noqa: FBT003 - by name it takes twice as long
    context = current_span_context()
    if context is None:
        if request is None or not request.span_id:
            return None
        # It is over, and nobody had needed its span before.
        return TraceIds(f"{request.trace_id:032x}", f"{request.span_id:016x}", True)  # noqa: FBT003 - as above
    return TraceIds(
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        context.trace_flags & SAMPLED_FLAG != 0,
    )


def current_span_context() -> Any | None:  # noqa: ANN401 - a type of a package that may be missing
    """Return OpenTelemetry's ``SpanContext`` of the current span; None if there is none."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    return context if context.is_valid else None
