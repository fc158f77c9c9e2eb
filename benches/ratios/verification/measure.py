"""Measures the ways beside each other, round by round; every way is checked before and after.

What a slow minute has spoilt is measured again when everything else is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benches.ratios.interleave import Interleaved
from benches.ratios.run import Effort
from benches.ratios.sides import Side, always
from benches.ratios.statistics import percentile, spread
from sage_native.keys import VerifyingKeyCache

from .cases import signed, spoilt
from .results import KeyTable, Point, Report, WrongBatch
from .ways import (
    all_at_once,
    by_chance,
    cached,
    cold,
    dalek,
    expanded,
    one_key,
    pyca,
    pynacl,
    warm,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.ratios.clock import ClockProbe
    from benches.ratios.interleave import Round

    from .cases import Cases
    from .dalek import Dalek
    from .results import Against
    from .ways import Way

BUDGET_LEN = VerifyingKeyCache().budget_bytes
_ROOMY_LEN = 4 * BUDGET_LEN
"""For the longest batch of distinct hot keys, more than the default budget has room for."""


@dataclass(frozen=True)
class Sizes:
    """How many of what.

    Attributes:
        batches: The lengths of batches, of distinct keys.
        keys: The numbers of keys that a batch of `batch_len` is drawn from.
        batch_len: The length of these, and of batches with wrong signatures.
        wrong: How many of those are wrong.
    """

    batches: tuple[int, ...]
    keys: tuple[int, ...]
    batch_len: int
    wrong: tuple[int, ...]


ALL = Sizes(
    batches=(1, 4, 16, 64, 256, 1_024, 4_096),
    keys=(1, 10, 100, 1_000, 2_000, 4_000, 10_000, 30_000, 100_000),
    batch_len=1_024,
    wrong=(1, 512, 1_024),
)
FULL = Effort(slice_ns=4_000_000, round_count=25, steady_count=12, pass_count=2)
QUICK = Effort(slice_ns=1_000_000, round_count=5, steady_count=3, pass_count=1)


class Measurement:
    """Measures everything, with one clock probe and one effort, beside dalek."""

    def __init__(
        self,
        probe: ClockProbe,
        effort: Effort,
        peer: Dalek,
        sizes: Sizes = ALL,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._probe = probe
        self._effort = effort
        self._peer = peer
        self._sizes = sizes
        self._notice = notice

    def report(self, facts: dict[str, object]) -> Report:
        """Measure all, a few minutes in full.

        Raises:
            WrongVerdictError: A way gave a wrong verdict.
        """
        works: list[Callable[[], Sequence[Point | WrongBatch]]] = [
            *(partial(self._batch, count) for count in self._sizes.batches),
            *(partial(self._keys, count) for count in self._sizes.keys),
            self._wrong_cached,
            self._wrong_cold,
        ]
        found = [work() for work in works]
        for _ in range(1, self._effort.pass_count):
            for at, work in enumerate(works):
                if found[at][0].is_noisy:
                    found[at] = work()
        flat = [one for group in found for one in group]
        return Report(
            facts,
            self._table(),
            [one for one in flat if isinstance(one, Point)],
            [one for one in flat if isinstance(one, WrongBatch)],
        )

    def _batch(self, count: int) -> list[Point]:
        """Verify a batch of so many distinct keys."""
        self._notice(f"a batch of {count:,}")
        cases = signed(count, count)
        cache = VerifyingKeyCache(budget_bytes=_ROOMY_LEN)
        warm(cache, cases)
        batches = all_at_once(cases)
        ways = [
            cached(cases, batches, cache),
            expanded(cases, batches),
            one_key(signed(1, count)),
            cold(cases, batches),
            dalek(cases, batches, self._peer),
            pyca(cases, batches),
            pynacl(cases, batches),
        ]
        return self._points(ways, "batch", count, cache)

    def _keys(self, count: int) -> list[Point]:
        """Verify batches that are drawn from so many keys, through a cache of the usual budget."""
        self._notice(f"{count:,} keys")
        batch_len = self._sizes.batch_len
        cases = signed(count, max(count, batch_len))
        cache = VerifyingKeyCache()
        warm(cache, cases)
        batches = by_chance(cases, batch_len)
        ways = [
            cached(cases, batches, cache),
            cold(cases, batches),
            dalek(cases, batches, self._peer),
            pyca(cases, batches),
            pynacl(cases, batches),
        ]
        return self._points(ways, "keys", count, cache)

    def _points(
        self, ways: Sequence[Way], against: Against, count: int, cache: VerifyingKeyCache
    ) -> list[Point]:
        rounds, is_noisy = self._rounds(ways)
        points: list[Point] = []
        for at, way in enumerate(ways):
            each = spread([one.times_ns[at] for one in rounds])
            tables = cache.statistics().expanded if way.name == "cache" else None
            values = (each.median, each.low, each.high, is_noisy, tables)
            points.append(Point(way.name, against, count, *values))
        return points

    def _wrong_cached(self) -> list[WrongBatch]:
        good, *spoilt_ones = self._good_and_spoilt()
        cache = VerifyingKeyCache()
        warm(cache, good)
        batches = all_at_once(good)
        return self._wrong([cached(cases, batches, cache) for cases in (good, *spoilt_ones)])

    def _wrong_cold(self) -> list[WrongBatch]:
        return self._wrong([cold(one, all_at_once(one)) for one in self._good_and_spoilt()])

    def _good_and_spoilt(self) -> list[Cases]:
        good = signed(self._sizes.batch_len, self._sizes.batch_len)
        return [good, *(spoilt(good, count) for count in self._sizes.wrong)]

    def _wrong(self, ways: Sequence[Way]) -> list[WrongBatch]:
        """Verify a batch, good and with wrong signatures, in the same rounds."""
        self._notice(f"wrong signatures, {ways[0].name}")
        batch_len = self._sizes.batch_len
        rounds, is_noisy = self._rounds(ways)
        whole_ns = [[time * batch_len for time in one.times_ns] for one in rounds]
        medians = [percentile(times, 0.5) for times in zip(*whole_ns, strict=True)]
        found: list[WrongBatch] = []
        for at, wrong_count in enumerate(self._sizes.wrong, start=1):
            ratio = spread([times[at] / times[0] for times in whole_ns])
            name, whole = ways[at].name, (medians[0], medians[at])
            values = (*whole, ratio.median, ratio.low, ratio.high, is_noisy)
            found.append(WrongBatch(name, batch_len, wrong_count, *values))
        return found

    def _table(self) -> KeyTable:
        """Build the table of one key, beside a verification without it and one with it."""
        self._notice("the table of a key")
        cases = signed(1, 1)
        (key,), (signature,), (message,) = cases.verifying_keys, cases.signatures, cases.messages
        cache = VerifyingKeyCache()
        cache.register(key)
        key_len = cache.statistics().used_bytes
        warm(cache, cases)
        table_len = cache.statistics().used_bytes - key_len
        run = self._interleaved(
            [
                Side(key.expand, always()),
                Side(key.verify, always(signature, message)),
                Side(cache.verify, always(key, signature, message)),
            ]
        )
        rounds = run.steady() or run.rounds
        times = [percentile([one.times_ns[at] for one in rounds], 0.5) for at in range(3)]
        return KeyTable(key_len, table_len, BUDGET_LEN, *times)

    def _rounds(self, ways: Sequence[Way]) -> tuple[list[Round], bool]:
        """Return the rounds that count, and whether too few were steady.

        Those are the steady ones, or else as many as are wanted, the calmest by their probes.
        """
        for way in ways:
            way.check()
        run = self._interleaved([way.side for way in ways])
        for way in ways:
            way.check()
        steady = run.steady()
        is_noisy = len(steady) < self._effort.steady_count
        calm = sorted(run.rounds, key=lambda one: max(one.probes_ns))[: self._effort.steady_count]
        return (calm if is_noisy else steady), is_noisy

    def _interleaved(self, sides: Sequence[Side]) -> Interleaved:
        run = Interleaved(sides, self._probe, self._effort.slice_ns)
        run.extend(self._effort.round_count)
        return run
