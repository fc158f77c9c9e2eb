"""A request to an upstream: its span, and the fields that tell the upstream of the trace.

The upstream follows the decision that was made for the request of the client. The fields are ours
alone: what a peer writes into ``traceparent`` ends at the gateway.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sage_native.observability.tracing.current import (
    RequestTrace,
    current_request_trace,
    current_span_context,
)
from sage_native.observability.tracing.entered import EnteredSpan
from sage_native.observability.tracing.traceparent import spelt_parent

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.trace import Span, Tracer

__all__ = ["UpstreamSpan"]


class UpstreamSpan(EnteredSpan):
    """A request to an upstream, while it is entered. A span is made of it only if it is sampled.

    Args:
        method: The method.
        host: The upstream, as the settings name it.
        port: Its port.

    Attributes:
        headers: What is sent with the request; nothing where nobody traces.
        status: To be set to the status of the answer.
    """

    __slots__ = ("_host", "_method", "_port", "headers", "status")

    def __init__(self, method: str, *, host: str, port: int) -> None:
        super().__init__()
        self._method = method
        self._host = host
        self._port = port
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.status: int | None = None

    def __enter__(self) -> Self:
        request = current_request_trace()
        if request is not None and not request.is_sampled:
            self.headers = _unsampled(request)
            return self
        return super().__enter__()

    def _start(self, tracer: Tracer) -> Span:
        from opentelemetry import trace  # noqa: PLC0415 - somebody has imported it

        return tracer.start_span(
            self._method,
            kind=trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": self._method,
                "server.address": self._host,
                "server.port": self._port,
            },
        )

    def _begun(self) -> None:
        found = current_span_context()
        if found is not None:
            parent = spelt_parent(found.trace_id, found.span_id, found.trace_flags)
            self.headers = _fields(parent, found.trace_state.to_header())

    def _trouble(self, error: BaseException | None) -> str | None:
        trouble = None if error is None else type(error).__qualname__
        if self.status is not None:
            self.note("http.response.status_code", self.status)
            if self.status >= 400:
                trouble = str(self.status)
        return trouble


def _unsampled(request: RequestTrace) -> tuple[tuple[bytes, bytes], ...]:
    span_id = random.getrandbits(64) or 1
    parent = spelt_parent(request.trace_id, span_id, request.flags)
    return _fields(parent, request.tracestate.decode("ascii"))


def _fields(parent: bytes, tracestate: str) -> tuple[tuple[bytes, bytes], ...]:
    if not tracestate:
        return ((b"traceparent", parent),)
    return (b"traceparent", parent), (b"tracestate", tracestate.encode("ascii"))
