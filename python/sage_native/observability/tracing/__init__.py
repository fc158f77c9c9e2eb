"""Traces by OpenTelemetry: who waited for what, over processes and machines.

::

    with start_tracing("http://127.0.0.1:4318/v1/traces", sample_rate=0.1):
        with handshake(client_did, server_did):
            ...

The gateway starts it by itself when its settings say so. What is imported here needs no package;
`start_tracing` needs those of the extra ``sage-native[observability]``. Where an application has
set OpenTelemetry up by itself, the spans of this package go there, without `start_tracing`.
"""

from __future__ import annotations

from sage_native.observability.tracing.current import TraceIds, trace_ids
from sage_native.observability.tracing.drops import spans_dropped
from sage_native.observability.tracing.observer import TracingObserver
from sage_native.observability.tracing.spans import (
    HandshakeSpan,
    NamedSpan,
    encryption,
    handshake,
    signature,
)
from sage_native.observability.tracing.starting import Tracing, check_packages, start_tracing

__all__ = [
    "HandshakeSpan",
    "NamedSpan",
    "TraceIds",
    "Tracing",
    "TracingObserver",
    "check_packages",
    "encryption",
    "handshake",
    "signature",
    "spans_dropped",
    "start_tracing",
    "trace_ids",
]
