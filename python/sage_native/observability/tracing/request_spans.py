"""Who makes the spans of requests: this package where that is enough, OpenTelemetry's SDK else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanLimits, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind

from sage_native import __version__
from sage_native.observability.tracing.request_span import RequestSpan
from sage_native.observability.tracing.sampling import DECIDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Link, Span, SpanContext

    from sage_native.observability.tracing.ended_span import EndedSpan
    from sage_native.observability.tracing.request_attributes import Begun

__all__ = ["GivenIds", "RequestSpans", "SeenProvider"]

_NAME: Final = "sage_native"
_ATTRIBUTE_COUNT: Final = 16
"""More than the span of a request has."""


class GivenIds(RandomIdGenerator):
    """Draws the ids of spans, unless this thread was given those of the next one."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def give(self, context: SpanContext | None) -> None:
        """Have this thread's spans named so, until it is given None."""
        self._of_thread.given = context

    def generate_trace_id(self) -> int:
        """Return a trace id."""
        given: SpanContext | None = getattr(self._of_thread, "given", None)
        return super().generate_trace_id() if given is None else given.trace_id

    def generate_span_id(self) -> int:
        """Return a span id."""
        given: SpanContext | None = getattr(self._of_thread, "given", None)
        return super().generate_span_id() if given is None else given.span_id


class SeenProvider(TracerProvider):
    """A tracer provider that knows how many want to see its spans begin and end.

    Attributes:
        processor_count: So many.
        on_more: Called before there is one more, once it is set.
    """

    processor_count = 0
    on_more: Callable[[], None] | None = None

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Have one more see its spans."""
        self.processor_count += 1
        if self.on_more is not None:
            self.on_more()
        super().add_span_processor(span_processor)


class RequestSpans:
    """Makes spans of requests that are sampled and belong to no other span.

    Args:
        provider: Whose spans they are. Its only processor is who is behind ``add``.
        ids: The provider's.
        add: Takes an `EndedSpan`.

    Attributes:
        tracer: What makes the SDK's spans.
        scope: As what they were made, in the SDK's words.
        add: As handed in.
        is_enough: Whether a `RequestSpan` is all that anybody wants.
    """

    def __init__(
        self, provider: SeenProvider, ids: GivenIds, *, add: Callable[[EndedSpan], None]
    ) -> None:
        self._provider = provider
        self._ids = ids
        self.add = add
        self.scope = InstrumentationScope(_NAME, __version__)
        # One that does nothing if the SDK is switched off.
        self.tracer = provider.get_tracer(_NAME, __version__)
        # Environment variables of the SDK may say otherwise.
        limits = SpanLimits()
        self._is_plain = (
            isinstance(self.tracer, Tracer)
            and limits.max_span_attribute_length is None
            and (limits.max_span_attributes or _ATTRIBUTE_COUNT) >= _ATTRIBUTE_COUNT
        )
        provider.on_more = self._look
        self._look()

    def begin(self, begun: Begun, links: Sequence[Link] = ()) -> Span:
        """Begin a span.

        Args:
            begun: What is known of the request.
            links: Spans that have to do with it.

        Cost: 2 µs; 20 µs if somebody else wants to see it, if it has a link, or if attributes are
        limited.
        """
        if self.is_enough and not links:
            return RequestSpan.of_begun(begun, self)
        return self._start(begun, links=links)

    @property
    def resource(self) -> Resource:
        """Return whose spans they are, in the SDK's words; another one in a child."""
        return self._provider.resource

    def whole(self, context: SpanContext, begun: Begun, begun_ns: int) -> Span:
        """Return a span of the SDK with these ids, begun then."""
        self._ids.give(context)
        try:
            return self._start(begun, begun_ns=begun_ns)
        finally:
            self._ids.give(None)

    def _look(self) -> None:
        self.is_enough = self._is_plain and self._provider.processor_count == 1

    def _start(
        self, begun: Begun, *, links: Sequence[Link] = (), begun_ns: int | None = None
    ) -> Span:
        return self.tracer.start_span(
            begun.name,
            context=DECIDED,
            kind=SpanKind.SERVER,
            attributes=begun.attributes(),
            links=links,
            start_time=begun_ns,
        )
