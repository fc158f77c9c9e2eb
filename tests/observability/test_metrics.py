"""Metrics of one process: what is counted, how it is bounded, and how it is served."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sage_native import (
    AeadKey,
    AuthenticationError,
    ReplaySet,
    SigningKey,
    VerifyingKeyCache,
    events,
)
from sage_native.counting import BOUNDS_NS
from sage_native.exceptions import ConfigurationError, StorageError, UsageError
from sage_native.gateway import measuring
from sage_native.gateway.request_nonces import MachineNonces
from sage_native.observability import RequestMiddleware, writer
from sage_native.observability import metrics as package
from sage_native.observability.answered import RECORD_ROUTE, ended_of
from sage_native.observability.metrics import MetricsMiddleware, MetricsObserver, start_metrics
from sage_native.observability.metrics.definitions import (
    MAX_ROUTES,
    METRICS,
    NATIVE_BUCKETS_S,
    OTHER,
)
from sage_native.observability.metrics.running import running_metrics
from sage_native.observability.metrics.sources import KeyCaches, memory_limit_bytes
from sage_native.observability.metrics.tallies import MAX_OPEN, Tallies
from sage_native.observability.tracing.current import RequestTrace, request_trace
from sage_native.observability.tracing.drops import count_dropped
from sage_native.storage.memory import MemorySessionStore
from tests.gateways import gateway_settings, open_site
from tests.observability.records import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

    from sage_native.observability.answered import AnsweredRecord
    from sage_native.observability.metrics import Metrics


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with start_metrics(CollectorRegistry()) as started:
        yield started


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def broken(_request: Request) -> PlainTextResponse:
    raise ZeroDivisionError


def client(app: Any) -> httpx2.AsyncClient:  # noqa: ANN401 - any ASGI application
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://application")


def application(metrics: Metrics) -> MetricsMiddleware:
    routes = [
        Route("/hello/{name}", hello, methods=["GET", "POST"]),
        Route("/broken", broken),
        Route("/metrics", metrics.app),
    ]
    return MetricsMiddleware(Starlette(routes=routes), metrics=metrics)


def value(metrics: Metrics, name: str, /, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, (name, labels)
    return found


async def test_requests_are_counted_by_their_routes(metrics: Metrics) -> None:
    async with client(application(metrics)) as http:
        for name in ("alice", "bob"):
            await http.get(f"/hello/{name}")
        await http.post("/hello/alice")
        await http.get("/nothing")
        assert (await http.get("/broken")).status_code == 500
        text = (await http.get("/metrics")).text
    ours = {"listener": "public", "method": "GET", "route": "/hello/{name}", "status": "200"}
    name = "sage_http_requests_total"
    assert value(metrics, name, **ours) == 2
    assert value(metrics, name, **{**ours, "method": "POST"}) == 1
    assert value(metrics, name, **{**ours, "route": "unmatched", "status": "404"}) == 1
    assert value(metrics, name, **{**ours, "route": "/broken", "status": "500"}) == 1
    took = {"listener": "public", "route": "/hello/{name}"}
    assert value(metrics, "sage_http_request_duration_seconds_count", **took) == 3
    assert value(metrics, "sage_http_requests_in_flight", listener="public") == 0
    assert {family.name for family in plain(text)} == {
        one.name.removesuffix("_total") for one in METRICS
    }


async def test_a_request_that_is_scraped_is_in_flight(metrics: Metrics) -> None:
    async with client(application(metrics)) as http:
        text = (await http.get("/metrics")).text
    assert 'sage_http_requests_in_flight{listener="public"} 1.0' in text


async def test_an_answer_that_never_began_is_aborted(metrics: Metrics) -> None:
    async def silent(_scope: object, _receive: object, _send: object) -> None:
        raise ConnectionResetError

    observed = RequestMiddleware(silent, MetricsObserver(metrics, listener="admin"))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(ConnectionResetError):
        await observed(scope, None, None)  # type: ignore[arg-type]
    labels = {"listener": "admin", "method": "GET", "route": "unmatched", "status": "aborted"}
    assert value(metrics, "sage_http_requests_total", **labels) == 1


def test_records_are_counted_as_any_other_request_is(metrics: Metrics) -> None:
    """Those in a bucket, on its bound, beyond the last one, and none at all."""
    took = metrics.tallies["sage_http_request_duration_seconds"]
    bounds = took.spread("public", RECORD_ROUTE).bounds
    lasted_s = [0.0, 1.0, 100.0, *bounds, *(bound * 1.5 for bound in bounds), *bounds[3:7]]
    records: list[AnsweredRecord] = [("", 1, 5.0, 5.0 + one, None, None) for one in lasted_s]
    for some in (records[:1], records[1:]):
        observer = MetricsObserver(metrics, listener="public")
        assert observer.takes_records
        observer.finish_records(records_of(*some))
    MetricsObserver(metrics, listener="admin").finish_many([ended_of(one) for one in records])
    counted, expected = (took.spread(one, RECORD_ROUTE) for one in ("public", "admin"))
    assert counted.counts == expected.counts
    assert sum(counted.counts) == len(records)
    assert counted.total == pytest.approx(expected.total)
    labels = {"method": "POST", "route": RECORD_ROUTE, "status": "200"}
    for listener in ("public", "admin"):
        name = "sage_http_requests_total"
        assert value(metrics, name, listener=listener, **labels) == len(records)


async def test_text_is_what_the_client_wants(metrics: Metrics) -> None:
    async with client(metrics.app) as http:
        usual = await http.get("/", headers={"accept": "text/plain;version=0.0.4"})
        opened = await http.get("/", headers={"accept": "application/openmetrics-text"})
        head = await http.head("/")
        assert (await http.post("/")).status_code == 405
    assert usual.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert usual.headers["cache-control"] == "no-store"
    assert head.status_code == 200
    assert head.content == b""
    assert len(list(open_metrics(opened.text))) == len(METRICS)  # type: ignore[no-untyped-call]


async def test_sampled_traces_are_exemplars_of_one_process(metrics: Metrics) -> None:
    trace_id = 0x4BF92F3577B34DA6A3CE929D0E0E4736

    async def traced(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        await hello_app(scope, receive, send)

    hello_app = Starlette(routes=[Route("/hello", hello)])
    observed = MetricsMiddleware(traced, metrics=metrics)
    for flags in (2, 3):
        token = request_trace.set(RequestTrace.of(trace_id, flags=flags, tracestate=b""))
        span = _current_span(trace_id, is_sampled=flags == 3)
        with span:
            async with client(observed) as http:
                await http.get("/hello")
        request_trace.reset(token)
    async with client(metrics.app) as http:
        text = (await http.get("/", headers={"accept": "application/openmetrics-text"})).text
        usual = (await http.get("/")).text
    exemplars = [
        sample.exemplar
        for family in open_metrics(text)  # type: ignore[no-untyped-call]
        if family.name == "sage_http_request_duration_seconds"
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert [one.labels for one in exemplars] == [{"trace_id": f"{trace_id:032x}"}]
    assert f"{trace_id:032x}" not in usual


def _current_span(trace_id: int, *, is_sampled: bool) -> Any:  # noqa: ANN401 - a context manager
    from opentelemetry import trace  # noqa: PLC0415 - the tests' own

    flags = trace.TraceFlags(int(is_sampled))
    context = trace.SpanContext(trace_id, 0xB7AD6B7169203331, is_remote=False, trace_flags=flags)
    return trace.use_span(trace.NonRecordingSpan(context))


def test_events_are_counted(metrics: Metrics) -> None:
    events.replay_refused("replayed", 3)
    events.session_started("responder")
    events.session_restored("responder", demands_rekey=True)
    events.session_rekeyed(2)
    events.sessions_ended("ended elsewhere", 4)
    events.sessions_ended("expired", 5)
    events.emit(events.HandshakeFinished("completed", "ed25519", 0.003, None, "did:a", "did:b"))
    events.emit(events.HandshakeFinished("refused", "ed25519", None, "conflict", None, None))
    events.emit(events.RequestRefused("replay_detected", 409))
    events.store_answered("sqlite", "create", 0.0002)
    for store, operation in (
        ("PostgreSQL db:5432", "admit_many"),
        ("the sessions in Redis 127.0.0.1:6379", "get"),
        ("secrets vault", "get kek"),
        ("responder", "touch"),
        ("memory redis-like", "count"),
    ):
        events.store_failed(store, operation, StorageError("no answer"))
    expected = {
        ("sage_replay_refused_total", ("reason", "replayed")): 3,
        ("sage_sessions_started_total", ("role", "responder")): 1,
        ("sage_sessions_restored_total", ("demands_rekey", "true")): 1,
        ("sage_sessions_ended_total", ("reason", "ended_elsewhere")): 4,
        ("sage_sessions_ended_total", ("reason", "expired")): 5,
        ("sage_problems_total", ("code", "replay_detected")): 1,
    }
    for (name, label), count in expected.items():
        assert value(metrics, name, **dict([label])) == count
    assert value(metrics, "sage_session_rekeys_total") == 1
    assert value(metrics, "sage_sessions_expired_total") == 5
    handshakes = "sage_handshakes_total"
    assert value(metrics, handshakes, status="completed", key_type="ed25519") == 1
    assert value(metrics, handshakes, status="refused", key_type="ed25519") == 1
    assert value(metrics, "sage_handshake_duration_seconds_sum") == 0.003
    answered = {"store": "sqlite", "operation": "create"}
    assert value(metrics, "sage_store_operations_total", outcome="ok", **answered) == 1
    assert value(metrics, "sage_store_duration_seconds_sum", **answered) == 0.0002
    for store, operation in (
        *(("postgres", "admit_many"), ("redis", "get"), ("secrets", "get"), ("memory", "count")),
        ("sqlite", "touch"),  # sessions are called by their name: those of the store that answers
    ):
        labels = {"store": store, "operation": operation, "outcome": "failed"}
        assert value(metrics, "sage_store_operations_total", **labels) == 1


def test_what_is_not_in_the_table_is_other(metrics: Metrics) -> None:
    for number in range(1000):
        events.emit(events.RequestRefused(f"code-{number}", 400))
        events.store_answered(f"sqlite:/home/{number}", f"did:key:{number}", 0.001)
    assert value(metrics, "sage_problems_total", code=OTHER) == 1000
    labels = {"store": OTHER, "operation": OTHER}
    assert value(metrics, "sage_store_operations_total", outcome="ok", **labels) == 1000
    assert len(metrics.tallies["sage_store_operations_total"].series()) == 1


async def test_made_up_paths_and_methods_make_no_series(metrics: Metrics) -> None:
    async with client(application(metrics)) as http:
        for number in range(300):
            await http.request(f"MADE{number}", f"/hello/{number}")
            await http.get(f"/{number}")
    series = metrics.tallies["sage_http_requests_total"].series()
    assert {labels[1:] for labels, _ in series} == {
        (OTHER, "/hello/{name}", "405"),
        ("GET", "unmatched", "404"),
    }


def test_routes_and_series_are_bounded_whatever_an_application_does() -> None:
    family = Tallies()["sage_http_requests_total"]
    for number in range(2 * MAX_OPEN):
        family.tally("public", "GET", f"/{number}", f"{number}").add()
    series = family.series()
    assert len(series) <= MAX_OPEN + 1
    assert len({labels[2] for labels, _ in series}) <= MAX_ROUTES + 1
    assert sum(numbers.value for _, numbers in series) == 2 * MAX_OPEN  # type: ignore[misc, union-attr]


def test_records_and_signatures_are_counted_natively(metrics: Metrics) -> None:
    key, signing_key = AeadKey.generate(), SigningKey.generate()
    nonces = [number.to_bytes(12, "big") for number in range(1000)]
    key.open_many(nonces, key.seal_many(nonces, [b"x" * 10] * 1000))
    with pytest.raises(AuthenticationError):
        key.open(nonces[0], bytes(30))
    for _ in range(64):
        signing_key.sign(b"x")
    operations = "sage_encryption_operations_total"
    assert value(metrics, operations, operation="seal", outcome="ok") == 1000
    assert value(metrics, operations, operation="open", outcome="ok") == 1000
    assert value(metrics, operations, operation="open", outcome="refused") == 1
    assert value(metrics, "sage_encryption_bytes_total", operation="seal") == 10_000
    took = value(metrics, "sage_encryption_duration_seconds_count", operation="seal")
    assert abs(took - 1000 / 64) <= 1
    signed = {"operation": "sign", "outcome": "ok"}
    assert value(metrics, "sage_signature_operations_total", **signed) == 64
    assert value(metrics, "sage_signature_duration_seconds_count", operation="sign") == 1
    metrics.stop()
    before = metrics.tallies["sage_encryption_bytes_total"].tally("seal").value
    key.seal(nonces[0], b"x")
    metrics.refresh()
    assert metrics.tallies["sage_encryption_bytes_total"].tally("seal").value == before


def test_the_buckets_are_those_of_the_native_module() -> None:
    assert [round(bound * 1e9) for bound in NATIVE_BUCKETS_S] == list(BOUNDS_NS)


def test_caches_are_read(metrics: Metrics) -> None:
    cache, key = VerifyingKeyCache(), SigningKey.generate()
    cache.register(key.verifying_key)
    for _ in range(10):
        assert cache.is_valid(key.verifying_key, key.sign(b"x"), b"x")
    end = metrics.watch(KeyCaches(lambda: [cache.statistics()]))
    assert value(metrics, "sage_verify_cache_lookups_total", result="hit") == 7
    assert value(metrics, "sage_verify_cache_lookups_total", result="miss") == 3
    assert value(metrics, "sage_verify_cache_keys", tier="expanded") == 1
    assert value(metrics, "sage_verify_cache_promotions_total") == 1
    assert value(metrics, "sage_verify_cache_bytes") > 24_000
    end()
    end()


def test_what_is_lost_is_counted(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, before = 3, value(metrics, "sage_spans_dropped_total")
    count_dropped(lost)
    assert value(metrics, "sage_spans_dropped_total") == before + lost
    monkeypatch.setattr(writer, "dropped_count", lambda: 17)
    assert value(metrics, "sage_log_lines_dropped_total") == 17
    # Writers that were closed have taken their counts with them.
    monkeypatch.setattr(writer, "dropped_count", lambda: 0)
    assert value(metrics, "sage_log_lines_dropped_total") == 17


async def test_an_embedded_gateway_is_asked(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = gateway_settings(tmp_path, {"admission.policy": "any_did_key"})
    async with open_site(settings) as site, client(metrics.app) as http:
        agent = site.agent()
        sessions = [await agent.handshake() for _ in range(4)]
        await http.get("/")
        assert value(metrics, "sage_sessions_active") == 4
        assert value(metrics, "sage_replay_nonces") == 4
        assert value(metrics, "sage_replay_capacity") >= settings.replay.capacity
        assert value(metrics, "sage_replay_memory_complete") == 0
        assert value(metrics, "sage_verify_cache_promotions_total") == 1
        assert value(metrics, "sage_verify_cache_lookups_total", result="hit") >= 1
        # It is asked at most every few seconds.
        await site.admin.delete(f"/v1/sessions/{sessions[0].session_id}")
        await http.get("/")
        assert value(metrics, "sage_sessions_active") == 4
        monkeypatch.setattr(measuring, "CACHED_S", 0.0)
        await http.get("/")
        assert value(metrics, "sage_sessions_active") == 3
    assert metrics._asked == []


async def test_the_memory_of_nonces_is_told_while_the_store_gives_no_answer(
    metrics: Metrics, tmp_path: Path
) -> None:
    class Silent(MemorySessionStore):
        async def count(self, *, client_did: str | None = None) -> int:  # noqa: ARG002
            raise StorageError("no answer")

    nonces = MachineNonces(ReplaySet.open(tmp_path / "replay", capacity=1000))
    gauges = measuring.StoreGauges(Silent("gateway"), nonces)
    with pytest.raises(StorageError):
        await gauges(metrics.tallies)
    assert value(metrics, "sage_replay_capacity") >= 1000
    assert value(metrics, "sage_replay_nonces") == 0
    assert metrics.registry.get_sample_value("sage_sessions_active") is None


async def test_what_is_asked_at_a_scrape_may_fail(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:

    def told() -> int:
        return [one.name for one in caplog.records].count("sage_native.events")

    async def failing(_tallies: Tallies) -> None:
        raise StorageError("no answer")

    async def answering(tallies: Tallies) -> None:
        tallies["sage_sessions_active"].tally().set(17)

    ends = [metrics.ask_at_scrape(failing), metrics.ask_at_scrape(answering)]
    async with client(metrics.app) as http:
        text = (await http.get("/")).text
        assert "sage_sessions_active 17.0" in text
        assert told() == 1
        for end in ends:
            end()
        await http.get("/")
    assert told() == 1


def test_a_gauge_that_nobody_knows_is_left_out(metrics: Metrics) -> None:
    assert metrics.registry.get_sample_value("sage_sessions_active") is None


def test_they_are_started_once_and_stop() -> None:
    registry = CollectorRegistry()
    first = start_metrics(registry)
    assert running_metrics() is first
    with pytest.raises(UsageError, match="started"):
        start_metrics(registry)
    first.stop()
    first.stop()
    assert running_metrics() is None
    assert not events.is_heard()
    assert registry.get_sample_value("sage_session_rekeys_total") is None
    start_metrics(registry).stop()


def test_a_start_that_failed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, directory = CollectorRegistry(), tmp_path / "missing"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    with pytest.raises(ValueError, match="PROMETHEUS_MULTIPROC_DIR"):
        start_metrics(registry)
    assert running_metrics() is None
    directory.mkdir()
    start_metrics(registry).stop()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sage-native\[observability\]'"):
        package.check_packages()
    with pytest.raises(ConfigurationError, match="prometheus-client"):
        _ = package.start_metrics
    assert importlib.util.find_spec("prometheus_client") is not None


def test_memory_is_told(metrics: Metrics) -> None:
    resident = value(metrics, "sage_process_resident_memory_bytes", listener="public")
    assert 10_000_000 < resident < value(metrics, "sage_process_memory_limit_bytes")


@pytest.mark.parametrize(
    ("own", "limits", "limit"),
    [
        ("", {}, None),
        # A container: its group is the root.
        ("0::/\n", {"memory.max": "1000\n"}, 1000),
        ("0::/\n", {"memory.max": "max\n"}, None),
        # A service of systemd, with MemoryMax of its own or of its slice.
        ("0::/system.slice/a.service\n", {"system.slice/a.service/memory.max": "2000"}, 2000),
        (
            "0::/system.slice/a.service\n",
            {"system.slice/memory.max": "3000", "system.slice/a.service/memory.max": "max"},
            3000,
        ),
        ("0::/system.slice/a.service\n", {"system.slice/b.service/memory.max": "4000"}, None),
        # The system's first version, beside the second without a limit.
        (
            "4:cpu,memory:/docker/a\n1:cpu:/docker/b\n0::/\n",
            {"memory/docker/a/memory.limit_in_bytes": "5000"},
            5000,
        ),
        ("0::/../../x\n", {"x/memory.max": "6000"}, None),
    ],
)
def test_the_limit_of_memory_is_that_of_the_own_group(
    own: str, limits: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    machine = memory_limit_bytes(tmp_path / "nothing")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(own)
    for name, told in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told)
    assert memory_limit_bytes(tmp_path) == (machine if limit is None else limit)
