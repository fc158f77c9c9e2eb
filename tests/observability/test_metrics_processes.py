"""Metrics of several processes: what each has counted is added up, and nothing is lost or twice."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from sage_native.observability.metrics.reserving import reserve
from tests.observability.metrics_server import SEALED_COUNT
from tests.servers.processes import Child, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH_S = 30.0
ROOT = Path(__file__).parents[2]
PID = {"listener": "public", "method": "GET", "route": "/pid", "status": "200"}


class Served:
    """Two workers of granian, and how often each was asked."""

    def __init__(self) -> None:
        self._child = Child("granian")
        (port,) = free_ports()
        self._url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "tests.observability.metrics_server", str(port)]
        self.asked: dict[int, int] = {}

    def start(self) -> None:
        files = self._child.directory / "files"
        files.mkdir()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = ["env", f"PROMETHEUS_MULTIPROC_DIR={files}", f"PYTHONPATH={path}"]
        self._child.spawn([*environment, *self._command], is_ready=self.is_ready)

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self._url}/metrics").status_code == 200
        except httpx2.TransportError:
            return False

    def ask(self) -> None:
        """Ask once, on a connection of its own, so that every worker is met."""
        worker = int(httpx2.get(f"{self._url}/pid").text)
        self.asked[worker] = self.asked.get(worker, 0) + 1

    def ask_two_workers(self) -> None:
        deadline_s = time.monotonic() + ENOUGH_S
        for _ in range(100):
            self.ask()
        while len(self.asked) < 2:
            assert time.monotonic() < deadline_s, self.asked
            self.ask()

    def sample(self, name: str, **labels: str) -> float:
        text = httpx2.get(f"{self._url}/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )

    def counted(self) -> float:
        return self.sample("sage_http_requests_total", **PID)

    def close(self) -> None:
        self._child.close()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    try:
        one.start()
        yield one
    finally:
        one.close()


def until_counted(served: Served, count: int) -> None:
    """Wait until so many requests are counted; never are there more, nor less than before."""
    seen, deadline_s = 0.0, time.monotonic() + ENOUGH_S
    while seen != count:
        now = served.counted()
        assert seen <= now <= count
        seen = now
        assert time.monotonic() < deadline_s, (seen, count)
        time.sleep(0.1)


def test_two_workers_of_granian_add_up_exactly(served: Served) -> None:
    served.ask_two_workers()
    count = sum(served.asked.values())
    until_counted(served, count)
    took = {"listener": "public", "route": "/pid"}
    assert served.sample("sage_http_request_duration_seconds_count", **took) == count
    sealed = {"operation": "seal", "outcome": "ok"}
    assert served.sample("sage_encryption_operations_total", **sealed) == count * SEALED_COUNT
    time.sleep(2)  # it is written again, and adds up to the same
    assert served.counted() == count


def test_no_counter_falls_when_a_worker_is_killed_and_replaced(served: Served) -> None:
    served.ask_two_workers()
    count = sum(served.asked.values())
    until_counted(served, count)
    floor, victim = count, next(iter(served.asked))
    os.kill(victim, signal.SIGKILL)
    served.asked = {worker: asked for worker, asked in served.asked.items() if worker != victim}
    deadline_s = time.monotonic() + ENOUGH_S
    while len(served.asked) < 2:
        assert time.monotonic() < deadline_s, served.asked
        try:
            served.ask()
        except httpx2.TransportError:  # the dead one's socket
            continue
        count += 1
        assert served.counted() >= floor
    until_counted(served, count)


PLACE = """
import sys
from sage_native import events
from sage_native.observability.metrics import start_metrics

with start_metrics(place=sys.argv[1]) as metrics:
    for _ in range(int(sys.argv[2])):
        events.session_rekeyed(1)
    metrics.tallies["sage_verify_cache_bytes"].tally().set(int(sys.argv[2]))
    metrics.refresh()
    metrics.refresh()
    print(metrics.registry.get_sample_value("sage_session_rekeys_total"))
    print(metrics.registry.get_sample_value("sage_verify_cache_bytes"))
"""


def test_a_process_that_takes_a_place_goes_on_with_its_numbers(tmp_path: Path) -> None:
    def run(place: str, count: int) -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", PLACE, place, str(count)],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    assert run("public0", 3) == ["3.0", "3.0"]
    assert run("public1", 4) == ["7.0", "7.0"]
    files = {file.name for file in tmp_path.iterdir()}
    # Counters go on, and gauges tell what is there now.
    assert run("public0", 5) == ["12.0", "9.0"]
    assert {file.name for file in tmp_path.iterdir()} == files


SERVING = """
import threading
from sage_native import events
from sage_native.observability.metrics import start_metrics

with start_metrics(place="metrics", is_serving=True) as metrics:
    for _ in range(2):
        events.session_rekeyed(1)
        print(metrics.registry.get_sample_value("sage_session_rekeys_total"))
    print(*(thread.name for thread in threading.enumerate()))
"""


def test_who_serves_the_numbers_writes_its_own_when_it_is_asked(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", SERVING],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told == ["1.0", "2.0", "MainThread"]


_UNTIL_THE_DISK_IS_FULL = """
import os

from sage_native.observability.metrics import start_metrics

metrics = start_metrics(place="public0")
really, is_full = os.posix_fallocate, True


def allocate(descriptor, offset, length):
    if is_full:
        raise OSError(28, "No space left on device")
    really(descriptor, offset, length)


os.posix_fallocate = allocate


def count():
    for route in range(200):
        metrics.tallies["sage_http_requests_total"].tally("public", "GET", f"/{route}", "200").add()
        took = metrics.tallies["sage_http_request_duration_seconds"]
        took.spread("public", f"/{route}").add(0.01)
    metrics.refresh()
    # Whatever is mapped and written has its place on the disk: no hole that a full disk refuses.
    for file in os.scandir(os.environ["PROMETHEUS_MULTIPROC_DIR"]):
        found = file.stat()
        assert found.st_blocks * 512 >= found.st_size, (file.name, found)


count()
print("full")
is_full = False
count()
metrics.stop()
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_a_disk_that_is_full_ends_no_process_and_loses_no_number(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _UNTIL_THE_DISK_IS_FULL],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "full\n"
    assert done.stderr.count("Metrics could not be written for the other processes") == 1
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))  # type: ignore[no-untyped-call]
    for route in range(200):
        labels = {"listener": "public", "route": f"/{route}"}
        asked = registry.get_sample_value(
            "sage_http_requests_total", {**labels, "method": "GET", "status": "200"}
        )
        took = registry.get_sample_value("sage_http_request_duration_seconds_count", labels)
        assert (asked, took) == (2, 2)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_a_file_for_which_there_is_no_room_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        reserve(tmp_path / "gauge_livesum_public0.db", ["key"])
    assert list(tmp_path.iterdir()) == []
    MultiProcessCollector(registry := CollectorRegistry(), str(tmp_path))  # type: ignore[no-untyped-call]
    assert list(registry.collect()) == []
