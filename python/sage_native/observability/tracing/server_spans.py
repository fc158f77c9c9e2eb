"""The span of one request, current from its beginning to its end.

In a task that does nothing else, which is what a worker's own server has for each request, the span
is current until the task ends, and nothing is put back (`ServerSpanToCome`).
"""

from __future__ import annotations

import threading
from time import time_ns
from typing import TYPE_CHECKING, Final

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from sage_native.observability.middleware import SPAN_KEY
from sage_native.observability.tracing.current import (
    RANDOM_FLAG,
    SAMPLED_FLAG,
    TRACE_KEY,
    RequestTrace,
    SpanToCome,
    request_trace,
)
from sage_native.observability.tracing.ended_span import EndedSpan, drawn_ids
from sage_native.observability.tracing.making_current import SPAN_IN_CONTEXT, make_current
from sage_native.observability.tracing.request_attributes import Begun, outcome_of
from sage_native.observability.tracing.request_span import RequestSpan, finish

if TYPE_CHECKING:
    from sage_native.observability.middleware import ObservedRequest, Scope
    from sage_native.observability.tracing.request_attributes import Outcome
    from sage_native.observability.tracing.request_spans import RequestSpans
    from sage_native.observability.tracing.starting import Tracing
    from sage_native.observability.tracing.traceparent import RemoteParent

__all__ = ["ServerSpan", "ServerSpanToCome"]

_BEGUN_KEY: Final = "sage.begun_ns"
"""In the scope of a request with a span that nobody needed when it began: when that was, in ns."""


class ServerSpan:
    """A span that has begun, and is current until it ends.

    Args:
        tracing: Makes it.
        request: The request.
        listener: Which listener it came to.
        parent: The span that it belongs to.
        link: A span that it is said to belong to, by somebody who is not believed.
    """

    __slots__ = ("_begun", "_context_token", "_span", "_trace_token")

    def __init__(
        self,
        tracing: Tracing,
        request: ObservedRequest,
        listener: str,
        *,
        parent: RemoteParent | None = None,
        link: RemoteParent | None = None,
    ) -> None:
        scope = request.scope
        self._begun = begun = Begun.of(scope, listener)
        if parent is None:
            links = () if link is None else (Link(_context_of(link._replace(tracestate=b""))),)
            self._span = tracing.request_spans.begin(begun, links)
        else:
            self._span = tracing.tracer.start_span(
                begun.name,
                context=set_span_in_context(NonRecordingSpan(_context_of(parent)), Context()),
                kind=SpanKind.SERVER,
                attributes=begun.attributes(),
            )
        found = self._span.get_span_context()
        tracestate = b"" if parent is None else parent.tracestate
        trace = RequestTrace.of(found.trace_id, flags=found.trace_flags, tracestate=tracestate)
        if found.trace_flags.sampled:
            scope[SPAN_KEY] = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        self._trace_token = request_trace.set(trace)
        self._context_token = context_api.attach(set_span_in_context(self._span))

    def end(self, request: ObservedRequest) -> None:
        """Say how the request went, and end."""
        context_api.detach(self._context_token)
        request_trace.reset(self._trace_token)
        finish(self._span, self._begun, outcome_of(request.scope, request.status, request.error))


class ServerSpanToCome(SpanToCome):
    """The span of any request, from when it is needed.

    Args:
        spans: Makes it.
        listener: Which listener the request came to.

    Attributes:
        spans: As handed in.
    """

    def __init__(self, spans: RequestSpans, listener: str) -> None:
        self.spans = spans
        self._listener = listener
        self._deciding = threading.Lock()

    def announce(self, scope: Scope) -> None:
        """Keep that a request has a span from now on, which nobody needs yet."""
        scope[_BEGUN_KEY] = time_ns()
        scope[TRACE_KEY] = self

    def begin_here(self, scope: Scope) -> RequestSpan:
        """Begin it, and let it be current, in the task that answers the request and that alone."""
        span = scope[TRACE_KEY] = RequestSpan(self.spans, scope, self._listener, time_ns())
        # A task of a request begins with nothing of OpenTelemetry's that would have to be kept.
        make_current(Context({SPAN_IN_CONTEXT: span}))
        return span

    def begin(self, scope: Scope) -> RequestTrace:
        """Begin a span that was announced, if the request is not over; return its trace."""
        with self._deciding:
            trace: RequestTrace = scope[TRACE_KEY]
            if trace is self:
                told = scope.get(SPAN_KEY)
                if told is None:
                    begun_ns = scope[_BEGUN_KEY]
                    trace = RequestSpan(self.spans, scope, self._listener, begun_ns)
                else:
                    trace = _OverTrace(*told)
                scope[TRACE_KEY] = trace
            return trace

    def end(self, scope: Scope, outcome: Outcome, ended_ns: int) -> None:
        """End the span of a scope's request, whether somebody has needed it or not."""
        with self._deciding:
            span = scope[TRACE_KEY]
            ids = drawn_ids() if span is self else None
            if ids is not None:
                scope[SPAN_KEY] = ids[0].hex(), ids[1].hex()
        if ids is not None:
            begun, begun_ns = Begun.of(scope, self._listener), scope[_BEGUN_KEY]
            spans = self.spans
            spans.add(EndedSpan(*ids, begun_ns, ended_ns, begun, outcome, spans))
        else:
            scope[SPAN_KEY] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
            span.ended(outcome, ended_ns)


class _OverTrace(RequestTrace):
    """The trace of a request that was over before anybody needed its span."""

    flags = SAMPLED_FLAG | RANDOM_FLAG

    def __init__(self, trace_id: str, span_id: str) -> None:
        self._trace_id = int(trace_id, 16)
        self._span_id = int(span_id, 16)

    @property
    def span_id(self) -> int:
        """Return the span."""
        return self._span_id


def _context_of(remote: RemoteParent) -> SpanContext:
    state = TraceState.from_header([remote.tracestate.decode("ascii")])
    return SpanContext(
        remote.trace_id,
        remote.span_id,
        is_remote=True,
        trace_flags=TraceFlags(remote.flags),
        trace_state=state,
    )
