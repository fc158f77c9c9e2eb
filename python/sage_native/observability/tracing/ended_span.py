"""The span of a request that is over: what it says, and nothing that anybody could add to."""

from __future__ import annotations

from random import getrandbits
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sage_native.observability.tracing.current import RANDOM_FLAG, SAMPLED_FLAG

if TYPE_CHECKING:
    from sage_native.observability.tracing.request_attributes import Begun, Outcome
    from sage_native.observability.tracing.request_spans import RequestSpans

__all__ = ["FLAGS", "EndedSpan", "Kind", "Own", "drawn_ids"]

Kind: TypeAlias = tuple[str, str, str, str, int, "Outcome"]
"""What a span says that others say too."""
Own: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
"""Trace id, span id, begin and end (16, 8, 8 and 8 bytes), and the name of the request."""

FLAGS: Final = TraceFlags(SAMPLED_FLAG | RANDOM_FLAG)
_UNSET: Final = Status()
_FAILED: Final = Status(StatusCode.ERROR)


class EndedSpan(NamedTuple):
    """A span that is sampled and belongs to no other, once it is over.

    Attributes:
        trace_id: 16 bytes, not all 0.
        span_id: 8 bytes, not all 0.
        begun_ns: When it began, in ns since the epoch.
        ended_ns: When it ended.
        begun: What is known of the request.
        outcome: What has become of it.
        makes: Whose span it is.
    """

    trace_id: bytes
    span_id: bytes
    begun_ns: int
    ended_ns: int
    begun: Begun
    outcome: Outcome
    makes: RequestSpans

    def readable(self) -> ReadableSpan:
        """Return what an exporter takes."""
        begun, outcome = self.begun, self.outcome
        return ReadableSpan(
            outcome.name(begun),
            SpanContext(
                int.from_bytes(self.trace_id, "big"),
                int.from_bytes(self.span_id, "big"),
                is_remote=False,
                trace_flags=FLAGS,
            ),
            resource=self.makes.resource,
            attributes={**begun.attributes(), **outcome.attributes()},
            kind=SpanKind.SERVER,
            status=_UNSET if outcome.trouble is None else _FAILED,
            start_time=self.begun_ns,
            end_time=self.ended_ns,
            instrumentation_scope=self.makes.scope,
        )

    def own(self) -> Own:
        """Spell what differs between spans that say the same.

        Raises:
            UnicodeEncodeError: The name of the request cannot be sent.
        """
        trace_id, span_id, begun_ns, ended_ns, begun, _, _ = self
        return (
            trace_id,
            span_id,
            begun_ns.to_bytes(8, "little"),
            ended_ns.to_bytes(8, "little"),
            begun.request_id.encode(),
        )

    def kind_with(self, request_id_len: int) -> Kind:
        """Return what else it says, if the name of its request has so many bytes."""
        begun = self.begun
        return (
            begun.name,
            begun.scheme,
            begun.version,
            begun.listener,
            request_id_len,
            self.outcome,
        )

    def alike(self, request_id: str) -> EndedSpan:
        """Return one of the same kind, whose ids and times were drawn.

        Args:
            request_id: The name of its request.
        """
        trace_id, span_id = drawn_ids()
        return self._replace(
            trace_id=trace_id,
            span_id=span_id,
            begun_ns=getrandbits(64) or 1,
            ended_ns=getrandbits(64) or 1,
            begun=self.begun._replace(request_id=request_id),
        )


def drawn_ids() -> tuple[bytes, bytes]:
    """Draw the ids of a trace and of the span with which it begins."""
    return (getrandbits(128) or 1).to_bytes(16, "big"), (getrandbits(64) or 1).to_bytes(8, "big")
