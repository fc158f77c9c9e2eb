"""Many spans of requests, encoded by the patterns of their kinds.

Encoding one by OpenTelemetry's means takes 40 µs in a loop that does nothing else. A gateway has
few kinds, and a span of one whose pattern is known is eleven pieces of bytes in a row.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sage_native.observability.tracing.ended_span import EndedSpan
from sage_native.observability.tracing.span_pattern import learn_pattern, spelt_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from sage_native.observability.tracing.ended_span import Kind
    from sage_native.observability.tracing.span_pattern import SpanHead, SpanPattern

__all__ = ["PATTERN_COUNT", "SpanStamps"]

PATTERN_COUNT: Final = 256
"""How many kinds are remembered, half a kilobyte each; before one more, all are forgotten."""

_logger = logging.getLogger("sage_native.tracing")


class SpanStamps:
    """The patterns that were learnt. For one thread."""

    def __init__(self) -> None:
        self._patterns: dict[Kind, SpanPattern | None] = {}
        self._resource: Resource | None = None
        self._head: SpanHead | None = None

    def spell(self, spans: Sequence[ReadableSpan | EndedSpan]) -> tuple[bytes, list[ReadableSpan]]:
        """Encode what has a pattern, of the spans of a batch.

        Returns:
            The spans that have one as an ``ExportTraceServiceRequest``, empty if none has, and all
            others as the SDK's.

        Cost: 1.5 µs for a span that has one.
        """
        makes = next((one.makes for one in spans if isinstance(one, EndedSpan)), None)
        if makes is not None and self._resource is not makes.resource:
            self._belong_to(makes.resource)
        patterns = self._patterns
        stamped: list[bytes] = []
        others: list[ReadableSpan] = []
        for span in spans:
            if not isinstance(span, EndedSpan):
                others.append(span)
                continue
            pattern: SpanPattern | None = None
            if span.makes is makes:
                try:
                    trace_id, span_id, begin, end, request_id = span.own()
                    kind = span.kind_with(len(request_id))
                    pattern = patterns[kind]
                except KeyError:
                    pattern = self._learnt(kind, span)
                except UnicodeEncodeError:
                    pass
            if pattern is None:
                others.append(span.readable())
                continue
            first, second, third, fourth, fifth, last = pattern.pieces
            # One by one: thousands of pieces joined at once take more than twice as long.
            # fmt: off
            stamped.append(b"".join((
                first, trace_id, second, span_id, third, begin, fourth, end, fifth, request_id, last
            )))
            # fmt: on
        if self._head is None or not stamped:
            return b"", others
        return spelt_request(self._head, stamped), others

    def _learnt(self, kind: Kind, span: EndedSpan) -> SpanPattern | None:
        """Return the pattern of a kind that was not met yet; None if it has none."""
        pattern: SpanPattern | None = None
        try:
            pattern = learn_pattern(span)
        except Exception:
            # Then the encoder cannot have it, or gives something else than it gave so far.
            _logger.debug("spans of a kind are encoded one by one", exc_info=True)
        if pattern is not None:
            if self._head is None:
                self._head = pattern.head
            elif self._head != pattern.head:
                pattern = None
        if len(self._patterns) >= PATTERN_COUNT:
            self._patterns.clear()
        self._patterns[kind] = pattern
        return pattern

    def _belong_to(self, resource: Resource) -> None:
        """Forget what was learnt for another resource."""
        self._patterns.clear()
        self._resource = resource
        self._head = None
