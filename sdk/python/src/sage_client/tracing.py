"""W3C Trace Context: where the application traces, the gateway learns of the trace.

OpenTelemetry is no dependency. An application that has a current span has imported it; where nobody
has, requests say nothing of traces.
"""

from __future__ import annotations

import sys

__all__ = ["trace_fields"]


def trace_fields() -> dict[str, str]:
    """Return ``traceparent`` and ``tracestate`` of the current span; nothing if there is none.

    Cost: 0.1 µs where nobody traces.
    """
    fields: dict[str, str] = {}
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - it is there
            TraceContextTextMapPropagator,
        )

        TraceContextTextMapPropagator().inject(fields)
    return fields
