"""Rows 11 and 12: request nonces admitted, with a million of them live.

Each side is filled before it is measured and then lives on as in service: as many nonces are
forgotten as come. Nonces are fresh for every call and of one scope; what is timed begins with the
bytes and ends with a verdict.

* Ours asks the clock at every call. Nonces are remembered for some seconds of real time, and before
  a slice the set is topped up, or left alone, until about a million are live.
* The dict is handed the time, which goes on with every nonce, so that it forgets within the timed
  calls as many as it admits. In the rows of batches it admits one nonce after the other, as its
  users would, and beside that all of a batch under one lock.
* cachebox keeps the time itself and has nothing to forget in a run.

The rows of shared memory put our set in a file beside our set without one.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from time import sleep, time_ns
from typing import TYPE_CHECKING

import numpy as np

from benches.peers.replay import CacheboxReplays, DictReplays
from benches.ratios.sides import Row, Side
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.ratios.sides import Arguments
    from sage_native.replay import Admissions

SCOPE = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
NONCE_LEN = 32
BATCH_LEN = 1000
OUR_LIFETIME_MS = 3_000
# What is over is forgotten up to a generation late.
_SLACK_MS = 1_100
START_MS = 1_800_000_000_000
THEIR_LIFETIME_MS = 120_000


class Load:
    """How many nonces are live; tests take fewer."""

    live_count = 1_000_000


def _drawn(count: int) -> list[bytes]:
    drawn = os.urandom(count * NONCE_LEN)
    return [drawn[at : at + NONCE_LEN] for at in range(0, len(drawn), NONCE_LEN)]


class OurReplays:
    """Our set, in real time."""

    def __init__(self, path: Path | None = None) -> None:
        # Room for what a slice adds to a million and an eighth.
        self._replays = ReplaySet(Load.live_count * 5 // 4 + 100_000, path=path)
        self._admitted: deque[tuple[int, int]] = deque()
        self._live_count = 0

    def single(self) -> Side:
        """Return the side that admits one nonce."""
        return Side(self._replays.admit, self._singles)

    def batch(self, *, array: bool = False) -> Side:
        """Return the side that admits a list of nonces, or an array."""
        prepare = self._arrays if array else self._batches
        return Side(self._replays.admit_many, prepare, BATCH_LEN, seen=_are_all_admitted)

    def _singles(self, count: int) -> Iterator[Arguments]:
        nonces, until_ms = self._draw(count)
        return ((SCOPE, nonce, until_ms) for nonce in nonces)

    def _batches(self, count: int) -> Iterator[Arguments]:
        return ((SCOPE, *self._draw(BATCH_LEN)) for _ in range(count))

    def _arrays(self, count: int) -> Iterator[Arguments]:
        for _ in range(count):
            nonces, until_ms = self._draw(BATCH_LEN)
            joined = np.frombuffer(b"".join(nonces), np.uint8)
            yield SCOPE, joined.reshape(BATCH_LEN, NONCE_LEN), until_ms

    def _draw(self, count: int) -> tuple[list[bytes], int]:
        while True:
            self._forget()
            if self._live_count > Load.live_count * 9 // 8:
                sleep(0.01)
            elif self._live_count < Load.live_count:
                nonces, until_ms = self._remembered(min(10_000, Load.live_count))
                assert self._replays.admit_many(SCOPE, nonces, until_ms).admitted.all()
            else:
                return self._remembered(count)

    def _remembered(self, count: int) -> tuple[list[bytes], int]:
        now_ms = time_ns() // 1_000_000
        self._admitted.append((now_ms, count))
        self._live_count += count
        return _drawn(count), now_ms + OUR_LIFETIME_MS

    def _forget(self) -> None:
        over_ms = time_ns() // 1_000_000 - OUR_LIFETIME_MS - _SLACK_MS
        while self._admitted and self._admitted[0][0] < over_ms:
            self._live_count -= self._admitted.popleft()[1]


class TheirReplays:
    """A dict, a deque and a lock, and a clock that moves with the nonces."""

    def __init__(self) -> None:
        self._replays = DictReplays()
        self._drawn_count = 0

    def single(self) -> Side:
        """Return the side that admits one nonce."""
        return Side(self._replays.admit, self._singles)

    def each(self) -> Side:
        """Return the side that admits the nonces of a list one by one."""
        return Side(self._admit_each, self._batches, BATCH_LEN, seen=all)

    def batch(self) -> Side:
        """Return the side that admits a list of nonces under one lock."""
        return Side(self._replays.admit_many, self._batches, BATCH_LEN, seen=all)

    def _singles(self, count: int) -> Iterator[Arguments]:
        self._fill()
        for nonce in _drawn(count):
            yield SCOPE, nonce, *self._times(1)

    def _batches(self, count: int) -> Iterator[Arguments]:
        self._fill()
        for _ in range(count):
            yield SCOPE, _drawn(BATCH_LEN), *self._times(BATCH_LEN)

    def _fill(self) -> None:
        while self._drawn_count < Load.live_count:
            nonces = _drawn(100)
            assert all(self._replays.admit_many(SCOPE, nonces, *self._times(len(nonces))))

    def _times(self, count: int) -> tuple[int, int]:
        """Return until when to remember, and the time: a lifetime brings as many as are live."""
        self._drawn_count += count
        now_ms = START_MS + self._drawn_count * THEIR_LIFETIME_MS // Load.live_count
        return now_ms + THEIR_LIFETIME_MS, now_ms

    def _admit_each(
        self, scope: str, nonces: list[bytes], until_ms: int, now_ms: int
    ) -> list[bool]:
        admit = self._replays.admit
        for nonce in nonces:
            admit(scope, nonce, until_ms, now_ms)
        return [True] * len(nonces)


def _are_all_admitted(verdicts: Admissions) -> bool:
    return bool(verdicts.admitted.all())


def _cachebox_single() -> Side:
    replays = CacheboxReplays(4 * Load.live_count, 86_400)

    def singles(count: int) -> Iterator[Arguments]:
        while len(replays) < Load.live_count:
            for nonce in _drawn(10_000):
                replays.admit(SCOPE, nonce, 0)
        return ((SCOPE, nonce, 0) for nonce in _drawn(count))

    return Side(replays.admit, singles)


def _of_a_file() -> Path:
    """Name a file in a directory of its own, which is removed when this process ends."""
    directory = tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory) / "replays"


_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
_DICT, _FILE = "dict, deque and lock", "the same without a file"
_BATCH = "Replay admit, 1 M live, batch of 1,000"


ROWS = (
    Row(
        11,
        "Replay admit, 1 M live",
        _DICT,
        lambda: (OurReplays().single(), TheirReplays().single()),
        5,
        8,
    ),
    Row(
        11,
        _BATCH,
        f"{_DICT}, one by one",
        lambda: (OurReplays().batch(), TheirReplays().each()),
        12,
        25,
    ),
    Row(
        11,
        f"{_BATCH}, array",
        f"{_DICT}, one by one",
        lambda: (OurReplays().batch(array=True), TheirReplays().each()),
        12,
        25,
    ),
    Row(
        11,
        _BATCH,
        f"{_DICT}, one lock for a batch",
        lambda: (OurReplays().batch(), TheirReplays().batch()),
        standing="beside",
    ),
    Row(
        11,
        "Replay admit, 1 M live, in a shared file",
        _FILE,
        lambda: (OurReplays(_of_a_file()).single(), OurReplays().single()),
        0.67,
        1,
    ),
    Row(
        11,
        f"{_BATCH}, in a shared file",
        _FILE,
        lambda: (OurReplays(_of_a_file()).batch(), OurReplays().batch()),
        0.67,
        1,
    ),
    Row(
        12,
        "Replay admit, 1 M live",
        "cachebox.TTLCache",
        lambda: (OurReplays().single(), _cachebox_single()),
        2.5,
        3.5,
    ),
)
