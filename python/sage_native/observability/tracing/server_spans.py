"""The span of one request, current from its beginning to its end.

In a task that does nothing else, which is what a worker's own server has for each request, the span
is current until the task ends, and nothing is put back (`begin_alone`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

from sage_native.observability.middleware import SPAN_KEY, request_id_of
from sage_native.observability.tracing.current import TRACE_KEY, RequestTrace, request_trace
from sage_native.observability.tracing.request_attributes import Begun, outcome_of
from sage_native.observability.tracing.request_span import RequestSpan, finish

if TYPE_CHECKING:
    from sage_native.observability.middleware import ObservedRequest, Scope
    from sage_native.observability.tracing.request_spans import RequestSpans
    from sage_native.observability.tracing.starting import Tracing
    from sage_native.observability.tracing.traceparent import RemoteParent

__all__ = ["ServerSpan", "begin_alone"]

_EMPTY = Context()


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
        self._begun = begun = Begun(
            request.method,
            scope.get("scheme", "http"),
            scope.get("http_version", "1.1"),
            listener,
            request.request_id,
        )
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


def begin_alone(spans: RequestSpans, scope: Scope, listener: str) -> RequestSpan:
    """Begin the span of a scope's request, in the task that answers it and does nothing else.

    Args:
        spans: Whose `RequestSpans.is_enough`.
        scope: An ASGI scope.
        listener: Which listener it came to.
    """
    version, scheme = scope.get("http_version", "1.1"), scope.get("scheme", "http")
    # As `Begun` itself would, without a function of Python's.
    begun = tuple.__new__(Begun, (scope["method"], scheme, version, listener, request_id_of(scope)))
    span = scope[TRACE_KEY] = RequestSpan(begun, spans)
    # A task of a request begins with nothing of OpenTelemetry's that would have to be kept.
    context_api.attach(set_span_in_context(span, _EMPTY))
    return span


def _context_of(remote: RemoteParent) -> SpanContext:
    state = TraceState.from_header([remote.tracestate.decode("ascii")])
    return SpanContext(
        remote.trace_id,
        remote.span_id,
        is_remote=True,
        trace_flags=TraceFlags(remote.flags),
        trace_state=state,
    )
