"""Metrics of a gateway as operators run it: several workers count, and another one serves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
import pytest_asyncio

from sage_native import SigningKey
from sage_native.config import load_settings
from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.gateway import serving
from sage_native.gateway.metric_files import MetricFiles
from sage_native.gateway.state import StateDirectory
from sage_native.observability import metrics as package
from sage_native.observability.metrics.definitions import METRICS
from tests.gateways import Agent
from tests.security.gateway.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Found: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]

in_loop = pytest.mark.asyncio(loop_scope="module")
ENOUGH_S = 30.0
NOT_MOVED = {
    "sage_http_requests_in_flight": "nothing is being answered when it is read",
    "sage_verify_cache_evictions_total": "2,048 keys must come often first",
    "sage_spans_dropped_total": "nothing is traced here",
    "sage_log_lines_dropped_total": "the log is written",
    "sage_sessions_expired_total": "no session is that old",
    "sage_replay_memory_complete": "a new memory may lack something of the time before it",
}
"""Metrics that this walk does not move, and why; other tests do."""


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    one = Live(**{"admission.policy": "any_did_key", "metrics.enabled": "true"})
    try:
        yield one.start()
    finally:
        one.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def _busy(live: Live) -> None:
    """Do of everything a little, once."""
    async with live.client(keeps=False) as http:
        agent = Agent(http, SigningKey.generate())
        sessions = [await agent.handshake() for _ in range(8)]
        for session in sessions:
            for _ in range(10):
                await agent.ask(session, b"message")
            await agent.rekey(session)
            await agent.ask(session, b"message")
        record = sessions[0].seal(b"once", aad=b"SAGE-HTTP/1 request")
        for _ in range(2):
            await agent.send_record(sessions[0].session_id, record)
        await live.admin("DELETE", f"/v1/sessions/{sessions[1].session_id}")
        await live.admin("GET", "/v1/sessions")


def total(found: Found, name: str, **labels: str) -> float:
    """Add up the series of a name that have these labels."""
    wanted = frozenset(labels.items())
    return sum(value for (one, have), value in found.items() if one == name and wanted <= have)


async def until(live: Live, missing: Callable[[Found], object]) -> Found:
    """Wait until nothing is missing in the metrics, and return them."""
    deadline_s = time.monotonic() + ENOUGH_S
    while lacks := missing(found := live.metrics()):
        assert time.monotonic() < deadline_s, lacks
        await asyncio.sleep(0.2)
    return found


@in_loop
async def test_requests_of_all_workers_add_up_exactly(live: Live) -> None:
    route = {"listener": "public", "route": "/v1/identity", "status": "200"}
    name = "sage_http_requests_total"
    await asyncio.sleep(2)
    before = total(live.metrics(), name, **route)
    async with live.client(keeps=False) as http:
        for _ in range(200):
            assert (await http.get("/v1/identity")).status_code == 200
    found = await until(live, lambda found: total(found, name, **route) < before + 200)
    assert total(found, name, **route) == before + 200
    await asyncio.sleep(2)
    assert total(live.metrics(), name, **route) == before + 200


@in_loop
async def test_every_metric_moves(live: Live) -> None:
    def still(found: Found) -> set[str]:
        moved = {name for (name, _), value in found.items() if value}
        samples = {one.name: one.name + "_count" * (one.kind == "histogram") for one in METRICS}
        return {name for name, sample in samples.items() if sample not in moved} - set(NOT_MOVED)

    found = await until(live, still)
    assert set(NOT_MOVED) < {one.name for one in METRICS}
    named = {name for name, _ in found}
    for one in METRICS:
        assert one.name in named or f"{one.name}_count" in named, one.name
    assert total(found, "sage_replay_memory_complete") in {0, 1}
    assert total(found, "sage_sessions_active") >= 7
    assert total(found, "sage_replay_capacity") >= 10_000
    assert total(found, "sage_handshakes_total", status="completed") >= 8
    assert total(found, "sage_replay_refused_total", reason="replayed") >= 1
    assert total(found, "sage_problems_total", code="replay_detected") >= 1
    assert total(found, "sage_encryption_operations_total", operation="open", outcome="ok") >= 88
    assert total(found, "sage_build_info") == 1


@in_loop
async def test_no_counter_falls_when_a_worker_is_killed(live: Live) -> None:
    route = {"listener": "public", "route": "/v1/identity"}
    await asyncio.sleep(2)
    before = live.metrics()
    workers = set(live.workers())
    name = "sage_http_requests_total"
    victim = _public_worker(live)
    os.kill(victim, signal.SIGKILL)
    deadline_s = time.monotonic() + ENOUGH_S
    while len(set(live.workers()) - workers) < 1 or victim in live.workers():
        assert time.monotonic() < deadline_s
        _never_fell(before, live.metrics())
        await asyncio.sleep(0.2)
    sent, count = 0, total(before, name, **route)
    async with live.client(keeps=False) as http:
        while sent < 50:
            try:
                await http.get("/v1/identity")
            except httpx2.TransportError:  # it is starting
                continue
            sent += 1
    found = await until(live, lambda found: total(found, name, **route) < count + sent)
    assert total(found, name, **route) == count + sent
    _never_fell(before, found)
    assert total(found, "sage_http_requests_in_flight", listener="public") == 0


def _public_worker(live: Live) -> int:
    for pid in live.workers():
        if b"public" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    raise AssertionError("no public worker runs")


def _never_fell(before: Found, after: Found) -> None:
    for key, value in before.items():
        if key[0].endswith(("_total", "_count", "_bucket", "_sum")):
            assert after[key] >= value, key


@in_loop
async def test_only_metrics_are_served_there(live: Live) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{live.metrics_port}") as http:
        for path in ("/", "/metrics/", "/v1/health", "/v1/sessions", "/docs", "/metricsx"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/metrics")).status_code == 405
        assert (await http.head("/metrics")).status_code == 200
    for url in (live.url, live.admin_url):
        async with httpx2.AsyncClient(base_url=url) as http:
            assert (await http.get("/metrics")).status_code == 404
    assert live.metrics_url in live.log()


@in_loop
async def test_files_are_private_and_go_with_the_gateway() -> None:
    one = Live(**{"metrics.enabled": "true"})
    left = one.state_dir / "metrics" / "1"
    left.mkdir(parents=True)
    one.state_dir.chmod(0o700)
    (left / "counter_public0.db").write_bytes(b"of a supervisor that was killed")
    try:
        one.start()
        assert not left.exists()
        (files,) = (one.state_dir / "metrics").iterdir()
        assert files.stat().st_mode & 0o077 == 0
        os.kill(one.pid, signal.SIGTERM)
        assert one.wait() == 0
        assert not files.exists()
    finally:
        one.close()


def test_supervisors_leave_each_others_files_alone(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    first, second = MetricFiles(state), MetricFiles(state)
    assert first.path.exists()
    assert second.path.exists()
    assert first.environment("public0") != second.environment("public0")
    second.close()
    second.close()
    assert first.path.exists()
    assert not second.path.exists()
    first.close()


def test_a_directory_that_was_removed_is_made_again_for_the_next_worker(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    files = MetricFiles(state)
    shutil.rmtree(state.path / "metrics")
    told = files.environment("public0")
    assert Path(told["PROMETHEUS_MULTIPROC_DIR"]) == files.path
    assert files.path.stat().st_mode & 0o777 == 0o700
    beside = MetricFiles(state)
    assert files.path.is_dir(), "it is held anew: the next supervisor leaves it alone"
    beside.close()
    files.close()
    assert not files.path.exists()


def test_files_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    (state.path / "metrics").touch()
    with pytest.raises(StorageError, match=r"metrics/.* cannot be made"):
        MetricFiles(state)


def test_gauges_go_with_the_worker_of_a_place_and_counters_stay(tmp_path: Path) -> None:
    files = MetricFiles(StateDirectory(tmp_path / "state"))
    kinds = ("counter", "histogram", "gauge_livesum")
    for kind in kinds:
        for place in ("public1", "public11"):
            (files.path / f"{kind}_{place}.db").touch()
    files.ended("public1")
    left = {file.name for file in files.path.glob("*.db")}
    assert left == {
        *(f"{kind}_public11.db" for kind in kinds),
        "counter_public1.db",
        "histogram_public1.db",
    }
    files.close()


@in_loop
async def test_switched_off_nothing_listens() -> None:
    one = Live(**{"features.metrics": "false", "metrics.enabled": "true"})
    try:
        one.start()
        assert not (one.state_dir / "metrics").exists()
        with pytest.raises(ConnectionRefusedError), socket.socket() as client:
            client.connect(("127.0.0.1", one.metrics_port))
    finally:
        one.close()


@in_loop
async def test_a_missing_package_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "find_spec", lambda _: None)
    monkeypatch.setattr(serving, "forbid_core_dumps", lambda: None)
    settings = load_settings("dev", environ={}, overrides={"state_dir": str(tmp_path / "state")})
    with pytest.raises(ConfigurationError, match=r"metrics\.enabled to false"):
        await serving.check(settings)
