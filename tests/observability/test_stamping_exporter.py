"""Bytes of spans go out by OpenTelemetry's exporter, as if it had made them."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sage_native.observability.tracing import signature, spans_dropped, start_tracing
from sage_native.observability.tracing.ended_span import EndedSpan
from sage_native.observability.tracing.request_attributes import Begun, Outcome
from sage_native.observability.tracing.request_span import finish
from sage_native.observability.tracing.stamping_exporter import StampingExporter
from tests.observability.test_span_stamps import Maker, encoded, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.observability.tracing import Tracing
    from tests.observability.otlp import Receiver

BEGUN = Begun("POST", "https", "1.1", "public", "0123456789abcdef")
OUTCOME = Outcome("/v1/records", 200, None, None)
SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


def asked(tracing: Tracing, count: int = 1) -> None:
    for _ in range(count):
        finish(tracing.request_spans.begin(BEGUN), BEGUN, OUTCOME)


class Keeping(SpanExporter):
    """Keeps what it is given, and is built like the one of OpenTelemetry where it says so."""

    def __init__(self, **inside: object) -> None:
        self.given: list[ReadableSpan] = []
        self.is_shut = False
        for name, value in inside.items():
            setattr(self, name, value)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.given += spans
        return SUCCESS

    def shutdown(self) -> None:
        self.is_shut = True


def inside(bodies: list[bytes]) -> dict[str, Any]:
    def export(data: bytes) -> SimpleNamespace:
        bodies.append(data)
        return SimpleNamespace(success=True)

    operation = OTLPSpanExporter(endpoint="http://127.0.0.1:1")._metrics.export_operation
    return {
        "_client": SimpleNamespace(export=export),
        "_metrics": SimpleNamespace(export_operation=operation),
        "_max_request_size": 1 << 20,
    }


def test_the_exporter_that_is_installed_is_built_as_expected() -> None:
    """Where this fails, spans are still sent, and cost as much as without patterns."""
    exporter = StampingExporter(OTLPSpanExporter(endpoint="http://127.0.0.1:1"))
    assert exporter.is_stamping
    assert exporter.force_flush()
    exporter.shutdown()
    assert not exporter.is_stamping


def test_tracing_sends_spans_of_requests_by_their_pattern(
    tracing: Tracing, taker: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EndedSpan] = []
    readable = EndedSpan.readable

    def counted(span: EndedSpan) -> ReadableSpan:
        made.append(span)
        return readable(span)

    monkeypatch.setattr(EndedSpan, "readable", counted)
    for _ in range(3):
        asked(tracing, 100)
        assert tracing.flush()
    assert len(taker.spans()) == 300
    assert len(made) == 1, "that which the pattern is learnt from"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_mixed_batch_comes_whole_however_it_travels(
    taker: Receiver, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    exporter = StampingExporter(OTLPSpanExporter(endpoint=taker.url))
    maker = Maker()
    batch: list[ReadableSpan | EndedSpan] = [maker.span() for _ in range(100)]
    batch[30:60] = [one.readable() for one in batch[30:60] if isinstance(one, EndedSpan)]
    assert exporter.export(batch) is SUCCESS
    assert exporter.export(batch[30:60]) is SUCCESS
    exporter.shutdown()
    first, second = taker.bodies
    assert told(first) == told(encoded(batch))
    assert told(second) == told(encoded(batch[30:60]))


@pytest.mark.parametrize(
    ("status", "max_len", "result"),
    [(200, None, SUCCESS), (400, None, FAILURE), (503, None, FAILURE), (200, 100, FAILURE)],
)
def test_it_answers_and_measures_as_the_exporter_by_itself(  # noqa: PLR0917 - cases
    taker: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    max_len: int | None,
    result: SpanExportResult,
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    # Tracing that was started in this process lets its lines pass seldom.
    monkeypatch.setattr(logging.getLogger(OTLPSpanExporter.__module__), "filters", [])
    taker.status = status
    seen: list[object] = []
    for is_stamping in (True, False):
        caplog.clear()
        reader = InMemoryMetricReader()
        exporter = OTLPSpanExporter(
            endpoint=taker.url,
            timeout=0.2,
            max_request_size=max_len,
            meter_provider=MeterProvider([reader]),
        )
        stamping = StampingExporter(exporter)
        if not is_stamping:
            stamping._inside = None
        maker = Maker()
        assert stamping.export([maker.span() for _ in range(7)]) is result
        seen.append((_measured(reader), {line.levelname for line in caplog.records}))
        stamping.shutdown()
    assert seen[0] == seen[1]
    assert len(taker.bodies) == (2 if result is SUCCESS else 0)


def _measured(reader: InMemoryMetricReader) -> list[tuple[str, object, object]]:
    data: Any = reader.get_metrics_data()
    return [
        (
            metric.name,
            {name: value for name, value in point.attributes.items() if "component" not in name},
            getattr(point, "value", None) or getattr(point, "count", None),
        )
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in metric.data.data_points
    ]


def test_one_that_was_shut_down_sends_nothing(taker: Receiver) -> None:
    exporter = StampingExporter(OTLPSpanExporter(endpoint=taker.url))
    exporter.shutdown()
    assert exporter.export([Maker().span()]) is FAILURE
    assert taker.bodies == []


@pytest.mark.parametrize("missing", ["_client", "_metrics", "_max_request_size"])
def test_an_exporter_that_is_built_otherwise_gets_spans(missing: str) -> None:
    bodies: list[bytes] = []
    maker = Maker()
    batch: list[ReadableSpan | EndedSpan] = [maker.span(), maker.span().readable()]
    known = Keeping(**inside(bodies))
    assert StampingExporter(known).export(batch) is SUCCESS
    assert [told(one) for one in bodies] == [told(encoded(batch))]
    assert known.given == []
    exporter = Keeping(**{**inside(bodies), missing: None})
    stamping = StampingExporter(exporter)
    assert not stamping.is_stamping
    assert stamping.export(batch) is SUCCESS
    assert all(isinstance(one, ReadableSpan) for one in exporter.given)
    assert told(encoded(exporter.given)) == told(encoded(batch))
    assert len(bodies) == 1
    stamping.shutdown()
    assert exporter.is_shut


@pytest.mark.parametrize("answer", [None, TypeError("it takes a message")])
def test_a_client_that_is_not_what_it_looks_like_costs_no_span(answer: Exception | None) -> None:
    asked_count = 0

    def export(_data: bytes) -> None:
        nonlocal asked_count
        asked_count += 1
        if answer is not None:
            raise answer

    maker = Maker()
    exporter = Keeping(**inside([]) | {"_client": SimpleNamespace(export=export)})
    stamping = StampingExporter(exporter)
    for _ in range(2):
        assert stamping.export([maker.span(), maker.span()]) is SUCCESS
    assert len(exporter.given) == 4
    assert asked_count == 1
    assert not stamping.is_stamping


def test_a_batch_that_cannot_be_encoded_is_the_exporters_trouble() -> None:
    bodies: list[bytes] = []
    exporter = Keeping(**inside(bodies))
    maker = Maker()
    broken = maker.span(outcome=OUTCOME._replace(route="/\ud800"))
    assert StampingExporter(exporter).export([maker.span(), broken]) is SUCCESS
    assert len(exporter.given) == 2
    assert bodies == []


def test_a_forked_child_signs_for_its_own_spans(tracing: Tracing, taker: Receiver) -> None:
    asked(tracing, 3)
    assert tracing.flush()
    child = os.fork()
    if child == 0:
        try:
            asked(tracing, 4)
            os._exit(0 if tracing.flush() and not spans_dropped() else 1)
        except BaseException:  # noqa: BLE001 - a child that returns would run the tests twice
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    asked(tracing, 5)
    with signature("ed25519"):
        pass
    assert tracing.flush()
    spans = taker.spans()
    instances = [one.resource["service.instance.id"] for one in spans]
    assert sorted(instances.count(one) for one in set(instances)) == [4, 9]
    assert len({one.span_id for one in spans}) == 13


def test_a_receiver_that_refuses_them_is_noticed(taker: Receiver) -> None:
    before = spans_dropped()
    taker.status = 400
    with start_tracing(taker.url) as tracing:
        asked(tracing, 3)
        assert tracing.flush()
        assert spans_dropped() - before == 3
