"""The numbers of one process, in plain integers and floats.

Counting happens on the way of requests, so it must cost next to nothing: adding to a number here
takes a tenth of what a value of prometheus_client takes in a file that processes share. Whoever
serves or shares the numbers reads them now and then.

A family is all series of one metric. Its tallies are made once and kept by whoever adds to them.
Labels have the values of the table, and every other counts as ``other``; that there are no more
series than the table allows is decided here, whatever is asked for. One lock guards everything:
several threads may count.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from sage_native.observability.metrics.definitions import MAX_ROUTES, METRICS, OTHER, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Exemplar", "Family", "Spread", "Tallies", "Tally"]

MAX_ZEROS: Final = 32
"""Counters with at most so many series begin with all of them: a rate needs a zero before a one."""
MAX_OPEN: Final = 4096
"""The most series of a family whose labels are open, whatever an application does."""

Exemplar = tuple[str, float, float]
"""A trace id, what was measured of it, and when, in s since the epoch."""


class Tally:
    """One number: of a counter, which only grows, or of a gauge; None if it is not known."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: threading.Lock, value: float | None) -> None:
        self._lock = lock
        self.value = value

    def add(self, more: float = 1) -> None:
        """Count something."""
        with self._lock:
            self.value = (self.value or 0) + more

    def set(self, value: float | None) -> None:
        """Replace the number."""
        self.value = value


class Spread:
    """How what was measured is spread over the buckets of a histogram.

    Attributes:
        bounds: The upper bounds of the buckets.
        counts: How many fell into each bucket, by itself; the last one has no bound.
        total: The sum of all.
        exemplars: Of buckets that have one, by their place.
    """

    __slots__ = ("_lock", "bounds", "counts", "exemplars", "total")

    def __init__(self, lock: threading.Lock, bounds: tuple[float, ...]) -> None:
        self._lock = lock
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def add(self, measured: float) -> None:
        """Put what was measured into its bucket."""
        at = bisect_left(self.bounds, measured)
        with self._lock:
            self.counts[at] += 1
            self.total += measured

    def set(self, counts: list[int], total: float) -> None:
        """Replace what is known by what somebody else has counted."""
        with self._lock:
            self.counts, self.total = counts, total


class Family:
    """All series of one metric."""

    def __init__(self, definition: Metric, lock: threading.Lock) -> None:
        self.definition = definition
        self._lock = lock
        self._children: dict[tuple[str, ...], Tally | Spread] = {}
        self._routes: set[str] = set()
        labels = definition.labels
        if definition.kind != "gauge" and all(label.values for label in labels):
            combinations = list(itertools.product(*(label.values for label in labels)))
            if len(combinations) <= MAX_ZEROS:
                for values in combinations:
                    self._children[values] = self._made()

    def tally(self, *values: str) -> Tally:
        """Return the number of these labels' values."""
        found = self._of(values)
        assert isinstance(found, Tally)  # noqa: S101 - for the type checker
        return found

    def spread(self, *values: str) -> Spread:
        """Return the histogram of these labels' values."""
        found = self._of(values)
        assert isinstance(found, Spread)  # noqa: S101 - for the type checker
        return found

    @property
    def series_count(self) -> int:
        """How many series there are; none is ever taken away."""
        return len(self._children)

    def series(self) -> list[tuple[tuple[str, ...], Tally | Spread]]:
        """Return all series: the values of their labels, and the numbers."""
        with self._lock:
            return list(self._children.items())

    def _of(self, values: tuple[str, ...]) -> Tally | Spread:
        found = self._children.get(values)
        if found is not None:
            return found
        with self._lock:
            bounded = self._bounded(values)
            return self._children.setdefault(bounded, self._made())

    def _bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        bounded = []
        for label, value in zip(self.definition.labels, values, strict=True):
            kept = value
            if label.values:
                kept = value if value in label.values else OTHER
            elif label.name == "route" and value not in self._routes:
                if len(self._routes) < MAX_ROUTES:
                    self._routes.add(value)
                else:
                    kept = OTHER
            bounded.append(kept)
        if len(self._children) >= MAX_OPEN:
            return tuple(OTHER for _ in values)
        return tuple(bounded)

    def _made(self) -> Tally | Spread:
        if self.definition.kind == "histogram":
            return Spread(self._lock, self.definition.buckets_s)
        return Tally(self._lock, 0 if self.definition.kind == "counter" else None)


class Tallies:
    """The families of all metrics, by their names.

    Attributes:
        lock: Held by whoever changes a number, for those who change several at once.
    """

    def __init__(self, definitions: Iterable[Metric] = METRICS) -> None:
        self.lock = threading.Lock()
        self._families = {one.name: Family(one, self.lock) for one in definitions}

    def __getitem__(self, name: str) -> Family:
        return self._families[name]

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())
