"""Starting and stopping: what counts, where it is collected, and when it is written for others.

::

    native counters ─┐                  ┌─▶ collector ─▶ registry      one process
    events ──────────┼─▶ tallies ───────┤
    requests ────────┘                  └─▶ shared files, once a second several processes
                                                │
                         asked when scraped ─▶ registry ─▶ /metrics

A process shares its numbers if ``PROMETHEUS_MULTIPROC_DIR`` is set, as all of prometheus_client
does then. What a process had not written when it was killed is lost, at most a second's numbers; of
one that serves them all, its own since it was scraped. What it had written stays.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from sage_native import __version__
from sage_native.counting import count_operations
from sage_native.events import report, subscribe
from sage_native.exceptions import UsageError
from sage_native.observability.metrics.events import EventCounter
from sage_native.observability.metrics.exposing import SharedValues, TallyCollector
from sage_native.observability.metrics.running import running
from sage_native.observability.metrics.serving import MetricsApp
from sage_native.observability.metrics.sources import (
    DroppedLines,
    NativeCounts,
    ResidentMemory,
    memory_limit_bytes,
)
from sage_native.observability.metrics.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

    from sage_native.observability.metrics.sources import Source

__all__ = ["Metrics", "start_metrics"]

WRITE_S: Final = 1.0
"""How often a process writes its numbers for the others."""
ASK_S: Final = 2.0
"""How long whoever is asked at a scrape may take, all together."""
MULTIPROC_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of this process. Made by `start_metrics`; use it as a context manager, or `stop`.

    Attributes:
        tallies: The numbers.
        is_shared: Whether several processes add theirs up, in files.
        registry: Where everything is collected, for whoever serves it in his own way.
        app: An ASGI application that serves it.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None,
        *,
        listener: str | None,
        place: str | None,
        is_serving: bool,
    ) -> None:
        self.tallies = Tallies()
        self.is_shared = MULTIPROC_VARIABLE in os.environ
        self._sources: list[Source] = [NativeCounts(), DroppedLines()]
        if listener is not None:
            self._sources.append(ResidentMemory(listener))
        self._asked: list[Callable[[Tallies], Awaitable[None]]] = []
        own = [one for one in self.tallies if not self.is_shared or one.definition.is_asked]
        self._shared = [one for one in self.tallies if one not in own]
        self._values = SharedValues(place)
        self._is_trouble_told = False
        self._collector = TallyCollector(own, self.refresh)
        self.registry = registry or (CollectorRegistry() if self.is_shared else REGISTRY)
        shared = MultiProcessCollector(None) if self.is_shared else None  # type: ignore[no-untyped-call]
        # Collected in this order: what is read of all processes has what this one writes before.
        self.registry.register(self._collector)
        if shared is not None:
            self.registry.register(shared)
        self.app = MetricsApp(self.registry, before=self.ask)
        self._stopped = threading.Event()
        counter = EventCounter(self.tallies)
        self._end_events = subscribe(counter, *counter.kinds)
        self.tallies["sage_build_info"].tally(__version__).set(1)
        self.tallies["sage_process_memory_limit_bytes"].tally().set(memory_limit_bytes())
        count_operations()
        self._start_writing(is_serving=is_serving)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, source: Source) -> Callable[[], None]:
        """Call a function with the tallies each time before they are read.

        Args:
            source: It must be quick, and sets the numbers that it knows of.

        Returns:
            A function that ends it. What the source had set stays.
        """
        self._sources.append(source)

        def end() -> None:
            self._refresh_of(source)
            with contextlib.suppress(ValueError):
                self._sources.remove(source)

        return end

    def ask_at_scrape(self, source: Callable[[Tallies], Awaitable[None]]) -> Callable[[], None]:
        """Await a function with the tallies when `app` is scraped, before it answers.

        Args:
            source: It sets metrics that are asked for (``Metric.is_asked``), and has two seconds.

        Returns:
            A function that ends it.
        """
        self._asked.append(source)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._asked.remove(source)

        return end

    def refresh(self) -> None:
        """Read what is counted elsewhere, and in a shared process write it for the others."""
        for source in tuple(self._sources):
            self._refresh_of(source)
        if self.is_shared:
            self._share()

    async def ask(self) -> None:
        """Ask everybody who is to be asked at a scrape."""
        if self._asked:
            asking = [self._ask_one(source) for source in tuple(self._asked)]
            await asyncio.gather(*asking)

    def stop(self) -> None:
        """Count no more, and write what is left for the others. Idempotent."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._end_events()
        count_operations(is_on=False)
        self.refresh()
        self.registry.unregister(self._collector)
        atexit.unregister(self.stop)
        if running.metrics is self:
            running.metrics = None

    async def _ask_one(self, source: Callable[[Tallies], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                await source(self.tallies)
        except Exception as error:  # noqa: BLE001 - a scrape goes without what gives no answer
            report(source, error, "Exception ignored in what is asked for metrics")

    def _share(self) -> None:
        try:
            self._values.write(self._shared)
        except Exception as error:  # noqa: BLE001 - they are counted on, and written when it is over
            if not self._is_trouble_told:
                report(self, error, "Metrics could not be written for the other processes")
            self._is_trouble_told = True
        else:
            self._is_trouble_told = False

    def _refresh_of(self, source: Source) -> None:
        try:
            source(self.tallies)
        except Exception as error:  # noqa: BLE001 - the other numbers are read all the same
            report(source, error, "Exception ignored in a source of metrics")

    def _start_writing(self, *, is_serving: bool) -> None:
        if self.is_shared:
            self.refresh()
            if not is_serving:
                thread = threading.Thread(target=self._write_for_ever, name="sage-metrics")
                thread.daemon = True
                thread.start()
            atexit.register(self.stop)

    def _write_for_ever(self) -> None:
        while not self._stopped.wait(WRITE_S):
            self.refresh()


def start_metrics(
    registry: CollectorRegistry | None = None,
    *,
    listener: str | None = "public",
    place: str | None = None,
    is_serving: bool = False,
) -> Metrics:
    """Count what happens in this process, from now on.

    Handshakes, sessions, replays and stores are counted by their events, records and signatures
    by the native module; HTTP requests by `MetricsMiddleware`. All metrics are in
    docs/MONITORING.md.

    Several processes: set ``PROMETHEUS_MULTIPROC_DIR`` to an empty directory before they start, as
    for every application with prometheus_client, and call this in each of them, after forks. Any of
    them can serve the numbers of all; each writes its own once a second, or when it is scraped.

    Args:
        registry: Where to collect; prometheus_client's own for one process, a new one for several.
        listener: What the label ``listener`` of this process's memory says; None leaves it out.
        place: The name of this process among several, without underscores; its id if it is left
            out. One that takes the place of another that ended goes on with its numbers.
        is_serving: This process serves the numbers of all. So it writes its own when it is scraped,
            and has no thread for that.

    Raises:
        UsageError: They were started before.
        ValueError: ``PROMETHEUS_MULTIPROC_DIR`` names no directory.

    Cost: none on the way of a record but its counter, 3 ns; about 1 µs an event, 2 µs a request.
    """
    if running.metrics is not None:
        raise UsageError("metrics were started in this process; stop them first")
    running.metrics = Metrics(registry, listener=listener, place=place, is_serving=is_serving)
    return running.metrics
