"""Tracing, started and ended: spans go to a receiver of OTLP over HTTP.

The packages of OpenTelemetry are an extra. They are imported here, when somebody wants spans.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sage_native import __version__
from sage_native.exceptions import ConfigurationError, UsageError
from sage_native.observability.tracing import tracers

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

    from sage_native.observability.pseudonyms import Pseudonyms
    from sage_native.observability.tracing.request_spans import RequestSpans
    from sage_native.observability.tracing.span_queue import SpanQueue

__all__ = [
    "EXPORT_TIMEOUT_S",
    "QUEUE_LEN",
    "SHUTDOWN_S",
    "Tracing",
    "check_packages",
    "start_tracing",
]

QUEUE_LEN: Final = 2048
"""How many spans wait at most, in each process; about 2 KB each."""
BATCH_LEN: Final = 512
INTERVAL_S: Final = 2.0
"""How long a span waits for others before it is sent."""
EXPORT_TIMEOUT_S: Final = 3.0
"""When the receiver is given up, with all attempts that a batch gets."""
SHUTDOWN_S: Final = 5.0
"""How long the end of a process waits for the last spans."""
TROUBLE_INTERVAL_S: Final = 60.0
_PATH: Final = "/v1/traces"
_PACKAGES: Final = {
    "opentelemetry.sdk.trace": "opentelemetry-sdk",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter": (
        "opentelemetry-exporter-otlp-proto-http"
    ),
}


class Tracing:
    """Tracing that is on. Use it as a context manager, or shut it down.

    Attributes:
        tracer: Makes spans.
        provider: The tracer provider, for `opentelemetry.trace.set_tracer_provider`.
        request_spans: Makes spans of requests.
        sample_rate: Which part of the traces is sampled.
    """

    def __init__(
        self,
        provider: TracerProvider,
        request_spans: RequestSpans,
        queue: SpanQueue,
        *,
        sample_rate: float,
    ) -> None:
        self.provider = provider
        self.tracer: Tracer = request_spans.tracer
        self.request_spans = request_spans
        self.sample_rate = sample_rate
        self._queue = queue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def flush(self, timeout_s: float = SHUTDOWN_S) -> bool:
        """Send the spans that have ended; tell whether that was done in time."""
        return self._queue.force_flush(int(timeout_s * 1000))

    def shutdown(self, timeout_s: float = SHUTDOWN_S) -> bool:
        """Send the last spans and end; harmless when called twice.

        Args:
            timeout_s: How long it may take. What is not sent by then is dropped and counted.

        Returns:
            Whether nothing was cut off.
        """
        tracers.forget(self.tracer)
        is_whole = self._queue.close(timeout_s)
        self.provider.shutdown()
        return is_whole


def check_packages() -> None:
    """Tell whether the packages that `start_tracing` needs are installed.

    Raises:
        ConfigurationError: They are not. It says how to go on.
    """
    missing = [package for module, package in _PACKAGES.items() if not _is_installed(module)]
    if missing:
        raise ConfigurationError(
            f"tracing needs {' and '.join(missing)}: pip install 'sage-native[observability]', "
            "or set tracing.enabled to false"
        )


def start_tracing(  # noqa: PLR0913 - keywords
    endpoint: str,
    *,
    sample_rate: float = 1.0,
    service_name: str = "sage-native",
    is_global: bool = False,
    pseudonyms: Pseudonyms | None = None,
    queue_len: int = QUEUE_LEN,
    export_timeout_s: float = EXPORT_TIMEOUT_S,
) -> Tracing:
    """Begin to record spans and to send them.

    Call it in the process whose spans are sent. A child that is forked later goes on with a queue
    and a connection of its own, and does not send what its parent has queued.

    Args:
        endpoint: A receiver of OTLP over HTTP, such as ``http://127.0.0.1:4318/v1/traces``; that
            path is added if there is none. OpenTelemetry's environment variables say which
            certificates and headers (``OTEL_EXPORTER_OTLP_CERTIFICATE``, ``…_HEADERS``).
        sample_rate: Which part of the traces that begin here is sampled, 0 to 1. What belongs to a
            trace that began elsewhere follows that one's decision.
        service_name: What the spans are filed under.
        is_global: Make it OpenTelemetry's tracer provider of this process too, for spans of
            everybody else. One that is set already stays.
        pseudonyms: Replace DIDs and session ids in spans. With those of the log, both can be read
            together. If they are left out, spans have pseudonyms of this process alone.
        queue_len: How many spans wait at most; what comes beyond that is dropped and counted.
        export_timeout_s: When a batch is given up, with all attempts that it gets.

    Raises:
        ConfigurationError: The packages of OpenTelemetry are not installed.
        UsageError: A rate that is none.
    """
    if not 0 <= sample_rate <= 1 or math.isnan(sample_rate):
        raise UsageError(f"sample_rate is {sample_rate}; it must be 0 to 1")
    check_packages()
    from opentelemetry import trace as api  # noqa: PLC0415 - an extra
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above

    from sage_native.observability.tracing.request_spans import (  # noqa: PLC0415 - as above
        GivenIds,
        RequestSpans,
        SeenProvider,
    )
    from sage_native.observability.tracing.sampling import HeadSampler  # noqa: PLC0415 - as above
    from sage_native.observability.tracing.span_queue import SpanQueue  # noqa: PLC0415 - as above
    from sage_native.observability.tracing.stamping_exporter import (  # noqa: PLC0415 - as above
        StampingExporter,
    )
    from sage_native.observability.tracing.suppressing import Seldom  # noqa: PLC0415 - as above

    exporter_logger = logging.getLogger(OTLPSpanExporter.__module__)
    if not any(isinstance(one, Seldom) for one in exporter_logger.filters):
        exporter_logger.addFilter(Seldom(TROUBLE_INTERVAL_S))
    url = f"{endpoint.rstrip('/')}{_PATH}" if urlsplit(endpoint).path in {"", "/"} else endpoint
    queue = SpanQueue(
        lambda: StampingExporter(OTLPSpanExporter(endpoint=url, timeout=export_timeout_s)),
        max_len=queue_len,
        batch_len=BATCH_LEN,
        interval_s=INTERVAL_S,
        close_s=SHUTDOWN_S,
    )
    resource = Resource.create(
        {
            "service.name": service_name,
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    ids = GivenIds()
    provider = SeenProvider(sampler=HeadSampler(sample_rate), resource=resource, id_generator=ids)
    provider.add_span_processor(queue)
    if is_global and isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        api.set_tracer_provider(provider)
    request_spans = RequestSpans(provider, ids, add=queue.add)
    tracing = Tracing(provider, request_spans, queue, sample_rate=sample_rate)
    tracers.use(tracing.tracer, pseudonyms)
    return tracing


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
