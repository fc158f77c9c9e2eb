"""Rows 11 and 12: request nonces admitted, with a million of them live.

Each side is filled before it is measured and lives on as in service: nonces are remembered for some
seconds of real time, as many are forgotten as come, and each side asks the clock for itself. Before
each slice the memory is topped up, or left alone, until about a million are live. Nonces are fresh
for every call and of one scope; what is timed begins with the bytes and ends with a verdict.

The rows of shared memory put our set in a file beside our set without one.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from time import sleep, time_ns
from typing import TYPE_CHECKING

from benches.peers.replay import CacheboxReplays, DictReplays
from benches.ratios.sides import Row, Side
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.ratios.sides import Arguments
    from sage_native.replay import Admissions

SCOPE = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
LIFETIME_MS = 3_000
NONCE_LEN = 32
BATCH_LEN = 1000
# What is over is forgotten up to a generation late.
_SLACK_MS = 1_100


class Load:
    """How many nonces are live; tests take fewer."""

    live_count = 1_000_000


class Service:
    """A memory that about so many nonces live in."""

    def __init__(self, fill: Callable[[list[bytes], int], object]) -> None:
        self._fill = fill
        self._admitted: deque[tuple[int, int]] = deque()
        self._live_count = 0

    def nonces(self, count: int) -> tuple[list[bytes], int]:
        """Draw fresh nonces, and the time until which they are to be remembered."""
        self._settle()
        return self._drawn(count)

    def _settle(self) -> None:
        while True:
            self._forget()
            if self._live_count > Load.live_count * 9 // 8:
                sleep(0.01)
            elif self._live_count < Load.live_count:
                self._fill(*self._drawn(min(10_000, Load.live_count)))
            else:
                return

    def _forget(self) -> None:
        over_ms = _now_ms() - LIFETIME_MS - _SLACK_MS
        while self._admitted and self._admitted[0][0] < over_ms:
            self._live_count -= self._admitted.popleft()[1]

    def _drawn(self, count: int) -> tuple[list[bytes], int]:
        now_ms = _now_ms()
        self._admitted.append((now_ms, count))
        self._live_count += count
        drawn = os.urandom(count * NONCE_LEN)
        nonces = [drawn[at : at + NONCE_LEN] for at in range(0, len(drawn), NONCE_LEN)]
        return nonces, now_ms + LIFETIME_MS


def _now_ms() -> int:
    return time_ns() // 1_000_000


def _singles(service: Service, count: int) -> Iterator[Arguments]:
    nonces, until_ms = service.nonces(count)
    return ((SCOPE, nonce, until_ms) for nonce in nonces)


def _batches(service: Service, count: int) -> Iterator[Arguments]:
    for _ in range(count):
        nonces, until_ms = service.nonces(BATCH_LEN)
        yield SCOPE, nonces, until_ms


def _replays(path: Path | None = None) -> ReplaySet:
    # Room for what a slice adds to a million and an eighth.
    return ReplaySet(Load.live_count * 5 // 4 + 100_000, path=path)


def _our_admit(replays: ReplaySet | None = None) -> Side:
    replays = replays or _replays()
    service = Service(partial(replays.admit_many, SCOPE))
    return Side(replays.admit, partial(_singles, service))


def _our_admit_many(replays: ReplaySet | None = None) -> Side:
    replays = replays or _replays()
    service = Service(partial(replays.admit_many, SCOPE))
    seen: Callable[[Admissions], bool] = lambda verdicts: bool(verdicts.admitted.all())  # noqa: E731
    return Side(replays.admit_many, partial(_batches, service), BATCH_LEN, seen=seen)


def _dict_admit() -> Side:
    replays = DictReplays()
    service = Service(partial(replays.admit_many, SCOPE))
    return Side(replays.admit, partial(_singles, service))


def _dict_admit_many() -> Side:
    replays = DictReplays()
    service = Service(partial(replays.admit_many, SCOPE))
    return Side(replays.admit_many, partial(_batches, service), BATCH_LEN, seen=all)


def _cachebox_admit() -> Side:
    replays = CacheboxReplays(2 * Load.live_count, LIFETIME_MS / 1000)

    def fill(nonces: list[bytes], until_ms: int) -> None:
        for nonce in nonces:
            replays.admit(SCOPE, nonce, until_ms)

    return Side(replays.admit, partial(_singles, Service(fill)))


def _in_a_file() -> ReplaySet:
    """Make a set in a file of its own, which is removed when this process ends."""
    directory = tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return _replays(Path(directory) / "replays")


_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
_DICT, _FILE = "dict, deque and lock", "the same in this process's memory"

ROWS = (
    Row(
        11,
        "Replay admit, 1 M live",
        _DICT,
        lambda: (_our_admit(), _dict_admit()),
        5,
        8,
    ),
    Row(
        11,
        "Replay admit, 1 M live, batch of 1,000",
        _DICT,
        lambda: (_our_admit_many(), _dict_admit_many()),
        12,
        25,
    ),
    Row(
        11,
        "Replay admit, 1 M live, in a shared file",
        _FILE,
        lambda: (_our_admit(_in_a_file()), _our_admit()),
        0.67,
        1,
    ),
    Row(
        11,
        "Replay admit, 1 M live, in a shared file, batch of 1,000",
        _FILE,
        lambda: (_our_admit_many(_in_a_file()), _our_admit_many()),
        0.67,
        1,
    ),
    Row(
        12,
        "Replay admit, 1 M live",
        "cachebox.TTLCache",
        lambda: (_our_admit(), _cachebox_admit()),
        2.5,
        3.5,
    ),
)
