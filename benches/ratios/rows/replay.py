"""Rows 11 and 12: request nonces admitted, with a million of them live.

Each side is filled before it is measured, and then lives on as in service: the time goes on with
every nonce, so that as many are forgotten as come. Nonces are fresh for every call and of one
scope; what is timed begins with the bytes and ends with a verdict. cachebox keeps the time itself
and forgets by arrival, so its row beside ours has nothing to forget within a run.

The rows of shared memory put our set in a file beside our set without one.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benches.peers.replay import CacheboxReplays, DictReplays
from benches.ratios.sides import Row, Side
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.ratios.sides import Arguments

SCOPE = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
LIFETIME_MS = 120_000
START_MS = 1_800_000_000_000
NONCE_LEN = 32
BATCH_LEN = 1000


class Load:
    """How many nonces are live; tests take fewer."""

    live_count = 1_000_000


class Service:
    """A clock that moves with the nonces, and a memory that was filled before."""

    def __init__(self, fill: Callable[[list[bytes], int, int], object]) -> None:
        self._admitted_count = 0
        self._fill = fill

    @property
    def now_ms(self) -> int:
        """The time: a lifetime later, as many nonces as are live have come."""
        return START_MS + self._admitted_count * LIFETIME_MS // Load.live_count

    def nonces(self, count: int) -> list[bytes]:
        """Draw fresh nonces, and fill the memory before the first."""
        while self._admitted_count < Load.live_count:
            batch = self._draw(min(10_000, Load.live_count))
            self._fill(batch, self.now_ms + LIFETIME_MS, self.now_ms)
        return self._draw(count)

    def _draw(self, count: int) -> list[bytes]:
        self._admitted_count += count
        drawn = os.urandom(count * NONCE_LEN)
        return [drawn[at : at + NONCE_LEN] for at in range(0, len(drawn), NONCE_LEN)]


def _singles(service: Service, count: int) -> Iterator[Arguments]:
    nonces = service.nonces(count)
    now_ms = service.now_ms
    return ((SCOPE, nonce, now_ms + LIFETIME_MS, now_ms) for nonce in nonces)


def _batches(service: Service, count: int) -> Iterator[Arguments]:
    for _ in range(count):
        nonces = service.nonces(BATCH_LEN)
        now_ms = service.now_ms
        yield SCOPE, nonces, now_ms + LIFETIME_MS, now_ms


def _replays(path: Path | None = None) -> ReplaySet:
    # What is over is forgotten up to a second late, so a little more than a million are live.
    return ReplaySet(Load.live_count * 21 // 20, path=path, now_ms=START_MS)


def _filling(replays: ReplaySet) -> Service:
    def fill(nonces: list[bytes], until_ms: int, now_ms: int) -> None:
        replays.admit_many(SCOPE, nonces, until_ms, now_ms=now_ms)

    return Service(fill)


def _our_admit(replays: ReplaySet | None = None) -> Side:
    replays = replays or _replays()
    admit = replays.admit

    def call(scope: str, nonce: bytes, until_ms: int, now_ms: int) -> None:
        admit(scope, nonce, until_ms, now_ms=now_ms)

    return Side(call, partial(_singles, _filling(replays)))


def _our_admit_many(replays: ReplaySet | None = None) -> Side:
    replays = replays or _replays()
    admit_many = replays.admit_many

    def call(scope: str, nonces: list[bytes], until_ms: int, now_ms: int) -> list[bool]:
        admitted: list[bool] = admit_many(scope, nonces, until_ms, now_ms=now_ms).admitted
        return admitted

    return Side(call, partial(_batches, _filling(replays)), BATCH_LEN, seen=all)


def _dict_admit() -> Side:
    replays = DictReplays()
    service = Service(partial(replays.admit_many, SCOPE))
    return Side(replays.admit, partial(_singles, service))


def _dict_admit_many() -> Side:
    replays = DictReplays()
    service = Service(partial(replays.admit_many, SCOPE))
    return Side(replays.admit_many, partial(_batches, service), BATCH_LEN, seen=all)


def _cachebox_admit() -> Side:
    replays = CacheboxReplays(4 * Load.live_count, 86_400)

    def fill(nonces: list[bytes], _until_ms: int, _now_ms: int) -> None:
        for nonce in nonces:
            replays.admit(SCOPE, nonce)

    service = Service(fill)
    admit = replays.admit

    def call(scope: str, nonce: bytes, _until_ms: int, _now_ms: int) -> None:
        admit(scope, nonce)

    return Side(call, partial(_singles, service))


def _in_a_file() -> ReplaySet:
    """Make a set in a file of its own, which loses its name only with this process."""
    directory = tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None)
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
