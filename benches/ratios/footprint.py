"""``python -m benches.ratios.footprint KIND COUNT``: prints the bytes for each, as JSON."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benches.peers.replay import DictReplays
from sage_native import Initiator, ReplaySet, Responder, SigningKey, resolve_did_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native import Session

NOW_MS = 1_800_000_000_000
SCOPE = "did:example:alice"
BATCH_LEN = 1_000
_WARM_UP_COUNT = 500


class MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    )  # fmt: skip


def resident_len() -> int:
    """Return the resident memory of this process in bytes, shared memory included."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def allocated_len() -> int:
    """Return what malloc has handed out, or the resident memory where it does not say."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return resident_len()
    mallinfo2.restype = MallocInfo
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def growth(measured: Callable[[], int], grow: Callable[[], None]) -> int:
    """Return by how much something grows."""
    gc.collect()
    before = measured()
    grow()
    gc.collect()
    return measured() - before


def nonces(count: int) -> float:
    """Fill a set to its capacity."""
    warm = ReplaySet(_WARM_UP_COUNT, now_ms=NOW_MS)
    warm.admit_many(SCOPE, [b"warm"], NOW_MS + 1_000, now_ms=NOW_MS)
    kept: list[ReplaySet] = []

    def fill() -> None:
        replays = ReplaySet(count, now_ms=NOW_MS)
        kept.append(replays)
        for _ in range(0, count, BATCH_LEN):
            batch = [os.urandom(32) for _ in range(BATCH_LEN)]
            admitted = replays.admit_many(SCOPE, batch, NOW_MS + 1_000, now_ms=NOW_MS).admitted
            assert admitted.all()

    return growth(resident_len, fill) / count


def in_a_dict(count: int) -> float:
    """Fill the peer."""
    replays = DictReplays()

    def fill() -> None:
        for _ in range(0, count, BATCH_LEN):
            batch = [os.urandom(32) for _ in range(BATCH_LEN)]
            replays.admit_many(SCOPE, batch, NOW_MS + 1_000, NOW_MS)

    return growth(resident_len, fill) / count


def sessions(count: int, *, idle: bool) -> float:
    """Open sessions of one server, use each once, and put them to rest."""
    alice, bob = SigningKey.generate(), SigningKey.generate()
    responder = Responder(bob, resolve=resolve_did_key, admit=ReplaySet().admit)
    kept: list[Session] = []

    def open_one() -> None:
        attempt = Initiator(alice, bob.verifying_key).initiate(now_ms=NOW_MS)
        reply, server = responder.respond(attempt.message, now_ms=NOW_MS)
        confirmation, client = attempt.finish(reply, now_ms=NOW_MS)
        server.confirm(confirmation, now_ms=NOW_MS)
        server.open(client.seal(b"request", now_ms=NOW_MS), now_ms=NOW_MS)
        client.open(server.seal(b"answer", now_ms=NOW_MS), now_ms=NOW_MS)
        if idle:
            server.sweep(now_ms=NOW_MS + 20_000)
        kept.append(server)

    def open_all() -> None:
        for _ in range(count):
            open_one()

    for _ in range(_WARM_UP_COUNT):
        open_one()
    object_len = sys.getsizeof(kept[0])
    return growth(allocated_len, open_all) / count + object_len


def main() -> None:
    """Run the command."""
    kind, count = sys.argv[1], int(sys.argv[2])
    each_len = {
        "nonces": lambda: nonces(count),
        "dict": lambda: in_a_dict(count),
        "idle": lambda: sessions(count, idle=True),
        "used": lambda: sessions(count, idle=False),
    }[kind]()
    print(json.dumps(round(each_len, 1)))


if __name__ == "__main__":
    main()
