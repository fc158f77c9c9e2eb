"""Spans of one kind of request say the same but for five values: a pattern has gaps for these.

What a span says is in its bytes field by field, each with its length before it. So all that say
the same, and whose requests have names of the same length, differ in those five places and nowhere
else. Where the places are is learnt from OpenTelemetry's own encoder: it is given such a span with
values that were drawn for this, and its bytes are cut where these are found. What cannot be cut so,
because a value is not there or is there twice, has no pattern, and is encoded like any other span.

Source: Protocol Buffers, "Encoding"; the numbers of fields: OpenTelemetry's ``trace.proto`` and
``trace_service.proto``.
"""

from __future__ import annotations

from random import getrandbits
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.observability.tracing.ended_span import EndedSpan

__all__ = ["SpanHead", "SpanPattern", "learn_pattern", "spelt_request"]

_RESOURCE_SPANS: Final = 1
"""Of ``ExportTraceServiceRequest``."""
_SCOPE_SPANS: Final = 2
"""Of ``ResourceSpans``."""
_SPANS: Final = 2
"""Of ``ScopeSpans``."""
_LENGTH_DELIMITED: Final = 2
_VARINT_BITS: Final = 7
_VARINT_MORE: Final = 0x80


class SpanHead(NamedTuple):
    """What is said once of many spans.

    Attributes:
        resource: Whose they are: a ``ResourceSpans`` without spans.
        scope: Who made them: a ``ScopeSpans`` without spans.
    """

    resource: bytes
    scope: bytes


class SpanPattern(NamedTuple):
    """The bytes of one kind of span: a field ``spans`` without what differs.

    Attributes:
        head: What is said before it.
        pieces: What comes before each part of `EndedSpan.own`, and what comes after them: 6.
    """

    head: SpanHead
    pieces: tuple[bytes, ...]


def learn_pattern(span: EndedSpan) -> SpanPattern | None:
    """Return the pattern of the kind of a span that has ended; None if it has none.

    Cost: as much as encoding a batch of this span alone, some 100 µs.
    """
    # Drawn, so that nobody who sends a request can know it.
    mark = span.alike(_drawn_text(len(span.own()[-1])))
    message: Any = encode_spans([mark.readable()])
    (of_resource,) = message.resource_spans
    (of_scope,) = of_resource.scope_spans
    (encoded,) = of_scope.spans
    spelt = encoded.SerializeToString()
    pieces = _cut(_tag(_SPANS, len(spelt)) + spelt, mark.own())
    if pieces is None:
        return None
    of_scope.ClearField("spans")
    scope = of_scope.SerializeToString()
    of_resource.ClearField("scope_spans")
    return SpanPattern(SpanHead(of_resource.SerializeToString(), scope), pieces)


def spelt_request(head: SpanHead, spans: list[bytes]) -> bytes:
    """Return an ``ExportTraceServiceRequest`` of fields ``spans``.

    Another one may be appended to it, which makes one with the spans of both.
    """
    spans_len = sum(map(len, spans))
    before_scope = head.resource + _tag(_SCOPE_SPANS, len(head.scope) + spans_len)
    whole_len = len(before_scope) + len(head.scope) + spans_len
    return b"".join((_tag(_RESOURCE_SPANS, whole_len), before_scope, head.scope, *spans))


def _cut(spelt: bytes, marks: Sequence[bytes]) -> tuple[bytes, ...] | None:
    """Return what is before, between and after marks; None unless each is there once, in order."""
    pieces: list[bytes] = []
    rest = spelt
    for mark in marks:
        if spelt.count(mark) != 1 or mark not in rest:
            return None
        before, _, rest = rest.partition(mark)
        pieces.append(before)
    return (*pieces, rest)


def _drawn_text(length: int) -> str:
    return f"{getrandbits(4 * length):0{length}x}" if length else ""


def _tag(number: int, length: int) -> bytes:
    """Spell the beginning of a field with so many bytes."""
    spelt = bytearray([number << 3 | _LENGTH_DELIMITED])
    while length >= _VARINT_MORE:
        spelt.append(length % _VARINT_MORE | _VARINT_MORE)
        length >>= _VARINT_BITS
    spelt.append(length)
    return bytes(spelt)
