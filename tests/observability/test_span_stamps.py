"""Spans of requests that are made of patterns are those that OpenTelemetry's encoder makes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from sage_native.observability.middleware import METHODS, UNMATCHED
from sage_native.observability.tracing import span_pattern
from sage_native.observability.tracing.ended_span import EndedSpan
from sage_native.observability.tracing.request_attributes import Begun, Outcome
from sage_native.observability.tracing.request_span import RequestSpan
from sage_native.observability.tracing.request_spans import GivenIds, RequestSpans, SeenProvider
from sage_native.observability.tracing.span_stamps import PATTERN_COUNT, SpanStamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

BEGUN = Begun("POST", "https", "1.1", "public", "0123456789abcdef")
OUTCOME = Outcome("/v1/records", 200, None, None)

texts = st.text(max_size=200)
begun = st.builds(
    Begun,
    st.sampled_from(sorted(METHODS)) | texts,
    st.sampled_from(["http", "https"]) | texts,
    texts,
    st.sampled_from(["public", "admin"]) | texts,
    texts | st.text("0123456789abcdef", min_size=16, max_size=16),
)
outcomes = st.builds(
    Outcome,
    st.just(UNMATCHED) | texts,
    st.none() | st.integers(100, 599) | st.integers(-(2**63), 2**63 - 1),
    st.none() | texts,
    st.none() | st.sampled_from(["ValueError", "CancelledError"]) | texts,
)


class Maker:
    """Makes spans of requests that have ended."""

    def __init__(self, resource: Resource | None = None) -> None:
        ids = GivenIds()
        self.provider = SeenProvider(
            resource=resource or Resource({"service.name": "made", "numbers": (1, 2)}),
            id_generator=ids,
            shutdown_on_exit=False,
        )
        self._ended: list[EndedSpan] = []
        self._spans = RequestSpans(self.provider, ids, add=self._ended.append)

    def span(self, begun: Begun = BEGUN, outcome: Outcome = OUTCOME) -> EndedSpan:
        RequestSpan.of_begun(begun, self._spans).ended(outcome)
        return self._ended.pop()


class Encoder:
    """OpenTelemetry's, which counts how often it is asked for a pattern."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(span_pattern, "encode_spans", self)

    def __call__(self, spans: list[ReadableSpan]) -> Any:  # noqa: ANN401 - a message of protobuf
        self.count += 1
        return encode_spans(spans)


def told(*messages: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return resource, scope and span of all spans of messages in a row, sorted."""
    return sorted(
        (
            of_resource.resource.SerializeToString() + of_resource.schema_url.encode(),
            of_scope.scope.SerializeToString() + of_scope.schema_url.encode(),
            span.SerializeToString(),
        )
        for of_resource in ExportTraceServiceRequest.FromString(b"".join(messages)).resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    )


def readable(spans: Iterable[ReadableSpan | EndedSpan]) -> list[ReadableSpan]:
    return [one.readable() if isinstance(one, EndedSpan) else one for one in spans]


def encoded(spans: Iterable[ReadableSpan | EndedSpan]) -> bytes:
    return bytes(encode_spans(readable(spans)).SerializeToString())


def holds(stamps: SpanStamps, spans: Sequence[ReadableSpan | EndedSpan]) -> int:
    """Hold a batch to OpenTelemetry's encoder; return how many of it were made of patterns."""
    stamped, others = stamps.spell(spans)
    assert told(stamped, encoded(others)) == told(encoded(spans))
    return len(spans) - len(others)


@given(st.lists(st.tuples(begun, outcomes), max_size=8))
def test_they_are_the_encoders_whatever_they_say(kinds: list[tuple[Begun, Outcome]]) -> None:
    """Twice of each, so that one is not that from which the pattern was learnt."""
    maker, stamps = Maker(), SpanStamps()
    holds(stamps, [maker.span(*one) for one in kinds])
    holds(stamps, [maker.span(*one) for one in kinds])


@pytest.mark.parametrize("method", [*sorted(METHODS), "PURGE", "", "é" * 300])
@pytest.mark.parametrize(
    "outcome",
    [
        OUTCOME,
        Outcome(UNMATCHED, 404, "not_found", None),
        Outcome("/v1/records", 503, "overloaded", None),
        Outcome("/v1/records", 500, "internal_error", "ZeroDivisionError"),
        Outcome("/v1/records", None, None, "CancelledError"),
        Outcome("/ü/{thing}", None, None, None),
    ],
)
@pytest.mark.parametrize("request_id", ["0123456789abcdef", "from-elsewhere", "ß" * 70, "x" * 128])
def test_what_a_gateway_says_has_a_pattern(method: str, outcome: Outcome, request_id: str) -> None:
    maker, stamps = Maker(), SpanStamps()
    one = BEGUN._replace(method=method, request_id=request_id)
    assert holds(stamps, [maker.span(one, outcome) for _ in range(3)]) == 3
    assert holds(stamps, [maker.span(one, outcome)]) == 1


def test_an_encoder_is_asked_once_for_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a client chooses makes no kinds: its method and what is in a name of a request."""
    maker, stamps, encoder = Maker(), SpanStamps(), Encoder(monkeypatch)
    holds(stamps, [maker.span(BEGUN._replace(method=f"ODD{one}")) for one in range(50)])
    assert encoder.count == 1
    holds(stamps, [maker.span(BEGUN._replace(request_id=f"{one:016x}")) for one in range(50)])
    assert encoder.count == 2
    holds(stamps, [maker.span(BEGUN._replace(request_id=f"{one:017x}")) for one in range(50)])
    assert encoder.count == 3


def test_batches_of_all_lengths_are_well_formed() -> None:
    """Lengths are spelt in one byte, in two and in three."""
    for count in (0, 1, 2, 60, 512):
        maker, stamps = Maker(Resource({})), SpanStamps()
        assert holds(stamps, [maker.span() for _ in range(count)]) == count


def test_others_in_a_batch_are_left_to_the_encoder() -> None:
    maker, stamps = Maker(), SpanStamps()
    others = readable(maker.span() for _ in range(20))
    batch: list[ReadableSpan | EndedSpan] = [*others, *(maker.span() for _ in range(20))]
    random.Random(2026).shuffle(batch)
    assert holds(stamps, batch) == 20
    assert stamps.spell(others) == (b"", others)
    assert stamps.spell([]) == (b"", [])


def test_patterns_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, stamps, encoder = Maker(), SpanStamps(), Encoder(monkeypatch)
    kinds = [BEGUN._replace(listener=f"{one}") for one in range(PATTERN_COUNT + 1)]
    assert holds(stamps, [maker.span(one) for one in kinds[:-1]]) == PATTERN_COUNT
    assert holds(stamps, [maker.span(one) for one in kinds[:-1]]) == PATTERN_COUNT
    assert encoder.count == PATTERN_COUNT
    holds(stamps, [maker.span(kinds[-1])])
    holds(stamps, [maker.span(kinds[-1])])
    assert encoder.count == PATTERN_COUNT + 1
    holds(stamps, [maker.span(kinds[0])])
    assert encoder.count == PATTERN_COUNT + 2, "all were forgotten"
    assert len(stamps._patterns) == 2


def test_what_was_learnt_holds_for_its_resource_alone() -> None:
    """A child that was forked has another; so have spans of two makers, which no queue has."""
    maker, other, stamps = Maker(), Maker(Resource({"service.name": "other"})), SpanStamps()
    assert holds(stamps, [maker.span()]) == 1
    assert holds(stamps, [other.span(), other.span()]) == 2
    assert holds(stamps, [maker.span(), other.span(), maker.span()]) == 2
    maker.provider._resource = Resource({"service.name": "a child"})
    assert holds(stamps, [maker.span()]) == 1


def test_a_name_that_cannot_be_sent_is_the_encoders_trouble() -> None:
    maker, stamps = Maker(), SpanStamps()
    holds(stamps, [maker.span()])
    batch = [maker.span(BEGUN._replace(request_id="\ud800" * 16)), maker.span()]
    assert holds(stamps, batch) == 1
    broken = maker.span(outcome=OUTCOME._replace(route="/\ud800"))
    stamped, others = stamps.spell([broken, maker.span()])
    assert len(told(stamped)) == 1
    assert [one.name for one in others] == ["POST /\ud800"]


@pytest.mark.parametrize("request_id", ["", "a", "0"])
def test_what_cannot_be_told_apart_has_no_pattern(request_id: str) -> None:
    maker, stamps = Maker(Resource({"all": "0123456789abcdef" * 2})), SpanStamps()
    one = BEGUN._replace(request_id=request_id, listener="0123456789abcdef")
    assert holds(stamps, [maker.span(one), maker.span(one)]) == 0


def test_an_encoder_that_gives_something_else_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It repeats an id, gives two spans for one, changes its mind about the resource, or breaks."""

    def repeats(message: Any) -> None:  # noqa: ANN401 - a message of protobuf
        span = message.resource_spans[0].scope_spans[0].spans[0]
        span.links.add(trace_id=span.trace_id)

    def doubles(message: Any) -> None:  # noqa: ANN401 - as above
        spans = message.resource_spans[0].scope_spans[0].spans
        spans.add().CopyFrom(spans[0])

    def wavers(message: Any) -> None:  # noqa: ANN401 - as above
        message.resource_spans[0].schema_url = "another"

    def breaks(_: object) -> None:
        raise ValueError("broken")

    for changes in (repeats, doubles, wavers, breaks):
        maker, stamps = Maker(), SpanStamps()
        assert holds(stamps, [maker.span()]) == 1

        def encode(spans: list[ReadableSpan], changes: Any = changes) -> Any:  # noqa: ANN401
            message = encode_spans(spans)
            changes(message)
            return message

        with monkeypatch.context() as patched:
            patched.setattr(span_pattern, "encode_spans", encode)
            one = BEGUN._replace(method="GET")
            assert holds(stamps, [maker.span(one), maker.span(), maker.span(one)]) == 1
