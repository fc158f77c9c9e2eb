"""HTTP requests, counted and measured: an observer for `RequestMiddleware`."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING

from sage_native.observability.answered import RECORD_METHOD, RECORD_ROUTE, RECORD_STATUS
from sage_native.observability.middleware import (
    METHODS,
    ROUTE_KEY,
    RequestMiddleware,
    RequestObserver,
    route_of,
)
from sage_native.observability.tracing.current import trace_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sage_native.observability.answered import AnsweredRecords
    from sage_native.observability.metrics.starting import Metrics
    from sage_native.observability.metrics.tallies import Spread, Tally
    from sage_native.observability.middleware import Application, Ended, ObservedRequest

__all__ = ["MetricsMiddleware", "MetricsObserver"]

ABORTED = "aborted"
"""The status of a request whose client got no answer."""
OTHER_METHOD = "other"
MAX_KNOWN = 4096


class MetricsObserver(RequestObserver):
    """Counts the requests of one listener.

    Args:
        metrics: Where it counts, as `start_metrics` returns it.
        listener: ``public`` or ``admin``.

    Cost: 2 µs a request.
    """

    def __init__(self, metrics: Metrics, *, listener: str = "public") -> None:
        tallies = metrics.tallies
        self._lock = tallies.lock
        self._requests = tallies["sage_http_requests_total"]
        self._durations = tallies["sage_http_request_duration_seconds"]
        self._in_flight = tallies["sage_http_requests_in_flight"].tally(listener)
        self._begun = self._ended = 0
        # Who tells of requests only when they are over knows how many are not.
        self.count_in_flight: Callable[[], int] = lambda: self._begun - self._ended
        metrics.watch(lambda _: self._in_flight.set(self.count_in_flight()))
        self._listener = listener
        self._has_exemplars = not metrics.is_shared
        self._known: dict[tuple[str, str, int | None], tuple[Tally, Spread]] = {}

    def begin(self, request: ObservedRequest) -> None:  # noqa: ARG002, D102 - as the port says
        with self._lock:
            self._begun += 1

    def finish(self, request: ObservedRequest, state: object) -> None:  # noqa: ARG002, D102
        key = request.route, request.method_label, request.status
        known = self._known.get(key)
        if known is None:
            known = self._learned(*key)
        count, took = known
        duration_s = request.duration_s
        at = bisect_left(took.bounds, duration_s)
        with self._lock:
            self._ended += 1
            count.value += 1  # type: ignore[operator]
            took.counts[at] += 1
            took.total += duration_s
        if self._has_exemplars:
            ids = trace_ids()
            if ids is not None and ids.is_sampled:
                took.exemplars[at] = ids.trace_id, duration_s, time.time()

    def finish_many(self, ended: Sequence[Ended]) -> None:
        """Count requests that are over, of which nothing was told before.

        Cost: 0.6 µs each.
        """
        known_ones, found = self._known, []
        for scope, status, _, started_s, ended_s, _ in ended:
            method = scope["method"]
            if method not in METHODS:
                method = OTHER_METHOD
            key = scope.get(ROUTE_KEY) or route_of(scope), method, status
            count, took = known_ones.get(key) or self._learned(*key)
            took_s = ended_s - started_s
            found.append((count, took, bisect_left(took.bounds, took_s), took_s))
        with self._lock:
            for count, took, at, took_s in found:
                count.value += 1  # type: ignore[operator]
                took.counts[at] += 1
                took.total += took_s

    @property
    def takes_records(self) -> bool:
        """Whether records are counted: all of them."""
        return True

    def finish_records(self, records: AnsweredRecords) -> None:
        """Count records that were answered, of which nothing was told before.

        Cost: 0.01 µs each.
        """
        key = RECORD_ROUTE, RECORD_METHOD, RECORD_STATUS
        count, took = self._known.get(key) or self._learned(*key)
        found, total_s = records.durations(took.bounds)
        with self._lock:
            count.value += len(records)  # type: ignore[operator]
            for at, more in enumerate(found):
                took.counts[at] += more
            took.total += total_s

    def _learned(self, route: str, method: str, status: int | None) -> tuple[Tally, Spread]:
        """Find the numbers of a kind of request, once for each."""
        told = f"{status:03d}" if status is not None else ABORTED
        found = (
            self._requests.tally(self._listener, method, route, told),
            self._durations.spread(self._listener, route),
        )
        if len(self._known) < MAX_KNOWN:
            self._known[route, method, status] = found
        return found


class MetricsMiddleware(RequestMiddleware):
    """An ASGI application, any, whose requests are counted and measured.

    ::

        metrics = start_metrics()
        application.add_middleware(MetricsMiddleware, metrics=metrics)
        application.add_route("/metrics", metrics.app)

    To have more than metrics, give `RequestMiddleware` a `MetricsObserver` beside other observers.

    Args:
        app: The application.
        metrics: Where it counts, as `start_metrics` returns it.
        listener: What the label ``listener`` says: ``public`` or ``admin``.

    Cost: 4 µs a request.
    """

    def __init__(self, app: Application, *, metrics: Metrics, listener: str = "public") -> None:
        super().__init__(app, MetricsObserver(metrics, listener=listener))
