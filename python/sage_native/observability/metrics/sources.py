"""Numbers that are kept elsewhere, and read when they are wanted."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.counting import operation_counts
from sage_native.observability.tracing.drops import spans_dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from sage_native.counting import OperationCounts
    from sage_native.keys import KeyCacheStatistics
    from sage_native.observability.metrics.tallies import Tallies

    Source: TypeAlias = Callable[[Tallies], None]

__all__ = ["DroppedLines", "KeyCaches", "NativeCounts", "ResidentMemory", "memory_limit_bytes"]

_NS = 1e-9
_LOCK_S = 1.0


class NativeCounts:
    """What the native module has counted since this was made: one crossing reads everything."""

    def __init__(self) -> None:
        self._before = operation_counts()
        self._seen: dict[str, OperationCounts] = {}
        self._reading = threading.Lock()

    def __call__(self, tallies: Tallies) -> None:
        """Bring the tallies up to date."""
        # One after the other, or an older count could come after a newer one, and stay. In a forked
        # child the lock may be that of a thread which is not there.
        is_alone = self._reading.acquire(timeout=_LOCK_S)
        try:
            self._read(tallies, is_alone=is_alone)
        finally:
            if is_alone:
                self._reading.release()

    def _read(self, tallies: Tallies, *, is_alone: bool) -> None:
        for operation, counts in operation_counts().items():
            if counts == self._seen.get(operation):
                continue
            if is_alone:
                self._seen[operation] = counts
            kind = "encryption" if operation in {"seal", "open"} else "signature"
            since = _since(self._before[operation], counts)
            done = tallies[f"sage_{kind}_operations_total"]
            done.tally(operation, "ok").set(since.calls - since.refused)
            done.tally(operation, "refused").set(since.refused)
            if kind == "encryption":
                tallies["sage_encryption_bytes_total"].tally(operation).set(since.plaintext_len)
            took = tallies[f"sage_{kind}_duration_seconds"].spread(operation)
            took.set(since.took, since.took_ns * _NS)


def _since(before: OperationCounts, now: OperationCounts) -> OperationCounts:
    return now._replace(
        calls=now.calls - before.calls,
        refused=now.refused - before.refused,
        plaintext_len=now.plaintext_len - before.plaintext_len,
        took_ns=now.took_ns - before.took_ns,
        took=[after - first for first, after in zip(before.took, now.took, strict=True)],
    )


class KeyCaches:
    """What caches of verifying keys have done, added up.

    Args:
        read: Returns the statistics of each cache there is.
    """

    def __init__(self, read: Callable[[], Iterable[KeyCacheStatistics]]) -> None:
        self._read = read

    def __call__(self, tallies: Tallies) -> None:
        """Bring the tallies up to date."""
        found = list(self._read())
        lookups = tallies["sage_verify_cache_lookups_total"]
        lookups.tally("hit").set(sum(one.hits for one in found))
        lookups.tally("miss").set(sum(one.decoded_hits + one.misses for one in found))
        keys = tallies["sage_verify_cache_keys"]
        keys.tally("expanded").set(sum(one.expanded for one in found))
        keys.tally("decoded").set(sum(one.registered - one.expanded for one in found))
        tallies["sage_verify_cache_bytes"].tally().set(sum(one.used_bytes for one in found))
        promotions = tallies["sage_verify_cache_promotions_total"]
        promotions.tally().set(sum(one.promotions for one in found))
        evictions = tallies["sage_verify_cache_evictions_total"]
        evictions.tally().set(sum(one.evictions for one in found))


class ResidentMemory:
    """The memory of this process, where the system tells it.

    Args:
        listener: Whose worker this process is.
    """

    def __init__(self, listener: str) -> None:
        self._listener = listener

    def __call__(self, tallies: Tallies) -> None:
        """Bring the tally up to date."""
        if sys.platform == "linux":
            pages = int(_file_text("/proc/self/statm").split()[1])
            resident = tallies["sage_process_resident_memory_bytes"].tally(self._listener)
            resident.set(pages * os.sysconf("SC_PAGE_SIZE"))


def _file_text(path: str) -> bytes:
    """Read a small file of the system's, in a third of the time of a ``Path``: once a second."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


class DroppedLines:
    """Spans and lines of the log that were lost in this process."""

    def __call__(self, tallies: Tallies) -> None:
        """Bring the tallies up to date."""
        tallies["sage_spans_dropped_total"].tally().set(spans_dropped())
        writer = sys.modules.get("sage_native.observability.writer")
        if writer is not None:
            tally = tallies["sage_log_lines_dropped_total"].tally()
            tally.set(max(tally.value or 0, writer.dropped_count()))


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """Return what this process's control group may take, else what the machine has.

    The limit of every group above it counts too. None if nothing is told.

    Args:
        root: Of the file system.
    """
    limits = []
    for path in _limit_files(root):
        # There may be no such group, and it may say ``max``.
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text("ascii")))
    with contextlib.suppress(OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """Name the files with the limits of this process's groups, of both versions of the system's.

    In a container its own group is the root of what it sees. A service of systemd sees all, and
    is told which group is its own.
    """
    groups = root / "sys/fs/cgroup"
    yield groups / "memory.max"
    yield groups / "memory/memory.limit_in_bytes"
    own = ""
    with contextlib.suppress(OSError):
        own = (root / "proc/self/cgroup").read_text("utf-8", "replace")
    for line in own.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, named = rest.partition(":")
        at, file = groups, "memory.max"
        if "memory" in controllers.split(","):
            at, file = groups / "memory", "memory.limit_in_bytes"
        elif number != "0":
            continue
        for part in Path(named.lstrip("/")).parts:
            if part == "..":  # outside of what this process sees
                break
            at /= part
            yield at / file
