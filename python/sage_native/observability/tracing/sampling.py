"""Which spans are recorded: those of a trace that is sampled, and a part of the traces.

The decision is made once, at the head of a trace, and everything in it follows. For a request of
the gateway it is made before there is a span (`requests.TracingObserver`), since a span that is
thrown away costs ten times as much as the decision. Here the decision is only carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import get_current_span

from sage_native.observability.tracing.current import current_request_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Link, SpanKind
    from opentelemetry.trace.span import TraceState
    from opentelemetry.util.types import Attributes

__all__ = ["DECIDED", "HeadSampler"]

_DECIDED_KEY: Final = create_key("sage-native-decided")
DECIDED: Final = set_value(_DECIDED_KEY, value=True, context=Context())
"""The context of a first span that is sampled whatever the rate is: that was decided already."""


class HeadSampler(Sampler):
    """Follows the parent; without one follows the request; without that takes a part of all.

    Args:
        rate: Which part of the traces is sampled, 0 to 1.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._by_parent_or_rate = ParentBased(TraceIdRatioBased(rate))

    def should_sample(  # noqa: PLR0913, PLR0917 - OpenTelemetry's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about one span."""
        if get_value(_DECIDED_KEY, parent_context):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        if not get_current_span(parent_context).get_span_context().is_valid:
            request = current_request_trace()
            if request is not None and not request.is_sampled:
                return SamplingResult(Decision.DROP)
        return self._by_parent_or_rate.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Describe it."""
        return f"HeadSampler({self._rate})"
