"""The span of one request that the gateway serves.

Source: OpenTelemetry's semantic conventions for HTTP server spans. Left out of what they name is
what holds identifiers or is the client's to choose: path, query, address, user agent.
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

from sage_native.observability.middleware import SPAN_KEY, UNMATCHED
from sage_native.observability.tracing.current import RequestTrace, request_trace
from sage_native.observability.tracing.request_span import finish

if TYPE_CHECKING:
    from sage_native.observability.middleware import ObservedRequest
    from sage_native.observability.tracing.starting import Tracing
    from sage_native.observability.tracing.traceparent import RemoteParent

__all__ = ["ServerSpan"]


class ServerSpan:
    """A span that has begun, and is current until it ends.

    Args:
        tracing: Makes it.
        request: The request.
        listener: Which listener it came to.
        parent: The span that it belongs to.
        link: A span that it is said to belong to, by somebody who is not believed.
    """

    __slots__ = ("_context_token", "_span", "_trace_token")

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
        known: dict[str, str | int] = {
            "http.request.method": _method(request),
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version", "1.1"),
            "sage.listener": listener,
            "sage.request_id": request.request_id,
        }
        if parent is None:
            links = () if link is None else (Link(_context_of(link._replace(tracestate=b""))),)
            self._span = tracing.request_spans.begin(request.method_label, known, links)
        else:
            self._span = tracing.tracer.start_span(
                request.method_label,
                context=set_span_in_context(NonRecordingSpan(_context_of(parent)), Context()),
                kind=SpanKind.SERVER,
                attributes=known,
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
        name, route, status = request.method_label, request.route, request.status
        known: dict[str, str | int] = {}
        if route != UNMATCHED:
            name = f"{name} {route}"
            known["http.route"] = route
        if status is not None:
            known["http.response.status_code"] = status
        if request.problem is not None:
            known["sage.problem"] = request.problem
        trouble = None
        if request.error is not None:
            trouble = type(request.error).__qualname__
        elif status is not None and status >= 500:
            trouble = str(status)
        if trouble is not None:
            known["error.type"] = trouble
        finish(self._span, name, known, has_failed=trouble is not None)


def _method(request: ObservedRequest) -> str:
    label = request.method_label
    return "_OTHER" if label == "other" else label


def _context_of(remote: RemoteParent) -> SpanContext:
    state = TraceState.from_header([remote.tracestate.decode("ascii")])
    return SpanContext(
        remote.trace_id,
        remote.span_id,
        is_remote=True,
        trace_flags=TraceFlags(remote.flags),
        trace_state=state,
    )
