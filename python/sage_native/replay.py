"""Replay protection: what is admitted once is never admitted again.

`ReplaySet` remembers request nonces until their time has passed. `ReplayWindow` and
`ReplayWindowTable` remember sequence numbers. Sets and tables without a path belong to this process
and the children that it forks; with a path they belong to every process of the machine that opens
it, and survive all of them.

Nothing here takes a lock: a process may be killed at any instruction, nobody waits for it, and
nothing that was admitted is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native._native import ReplaySet as NativeReplaySet
from sage_native._native import ReplayWindow
from sage_native._native import ReplayWindowTable as NativeReplayWindowTable
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from sage_native._native import _Batch

__all__ = [
    "Admissions",
    "ReplaySet",
    "ReplayStatistics",
    "ReplayWindow",
    "ReplayWindowTable",
]


@dataclass(frozen=True)
class Admissions:
    """The verdicts on a batch of request nonces, in its order.

    Attributes:
        admitted: Read-only array (count,) of bool. Whatever is not True here is refused.
        full: Read-only array (count,) of bool: refused because no place was free, not because it
            is a replay. To be answered with ``store_full``.
    """

    admitted: NDArray[np.bool_]
    full: NDArray[np.bool_]


@dataclass(frozen=True)
class ReplayStatistics:
    """What a replay memory holds, and what this object has answered.

    Attributes:
        capacity: How many entries there is room for, at least.
        memory_len: Bytes of memory, whatever it holds.
        live: Entries remembered, of all processes.
        spent: Places that an interrupted claim left unused, until their generation is over.
        given_up_before_ms: Whatever is to be remembered until a time before this is refused, in ms
            since the epoch. Far ahead of the clock it shows that a clock ran ahead.
        generations: Pairs of the time at which entries are forgotten, in ms since the epoch, and
            how many; soonest first.
        admitted: How often this object has admitted.
        replayed: How often it has refused what was admitted before.
        given_up: How often it has refused a time that is over or given up.
        full: How often no place was free.
    """

    capacity: int
    memory_len: int
    live: int
    spent: int
    given_up_before_ms: int
    generations: Sequence[tuple[int, int]]
    admitted: int
    replayed: int
    given_up: int
    full: int


class ReplaySet(NativeReplaySet):  # noqa: D101 - the native class says it
    __doc__ = NativeReplaySet.__doc__
    __slots__ = ()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        capacity: int = 1_000_000,
        horizon_ms: int = 180_000,
        now_ms: int | None = None,
    ) -> Self:
        """Open the set in a file, which is made if it is not there.

        Any number of processes may open it; a nonce is admitted by one of them. The memory
        outlives them. After a start of the machine ``is_complete`` is False for a while. Whoever
        removes or replaces the file while it is used is noticed within a second: ``admit`` raises
        StorageError. Never write a backup into the file.

        Args:
            path: On a local file system; on ``/dev/shm`` nothing is ever written to a disk. The
                file gets mode 0600 and its full length at once, about 13 bytes a nonce.
            capacity: How many nonces there is room for, at least.
            horizon_ms: How far ahead of the clock ``remember_until_ms`` may lie, in ms.
            now_ms: The time; the clock is asked if it is left out.

        Raises:
            ConfigurationError: The file has another version, capacity, horizon, owner or mode, or
                is damaged; or the path is not one to rely on. The text says what to do.
            StorageError: The system refused, with its OSError as ``__cause__``.
            UsageError: ``capacity`` or ``horizon_ms`` is out of its range.

        Cost: 1 ms, and for a new file up to 20 ms a million nonces.
        Source: docs/adr/0011-a-lock-free-replay-table.md.
        """
        return cls(capacity, horizon_ms=horizon_ms, path=path, now_ms=now_ms)

    def admit_many(
        self,
        scopes: str | Sequence[str],
        nonces: _Batch,
        remember_until_ms: int | np.integer | Sequence[int] | NDArray[np.integer],
        *,
        purpose: str = "",
        now_ms: int | None = None,
    ) -> Admissions:
        """Admit each nonce of a batch by itself, in order.

        Args:
            scopes: One scope for all, or one for each.
            nonces: A list of bytes, or an array (count, length) of uint8. Of equal ones with equal
                scopes the first is admitted.
            remember_until_ms: One time for all, or one for each, in ms since the epoch.
            purpose: What the nonces are for.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            One verdict for each nonce. A refusal changes nothing for its neighbours.

        Raises:
            UsageError: The batches differ in length, or a time lies further ahead than
                ``horizon_ms``. Nothing was admitted.
            StorageError: The file was removed or replaced: refuse the whole batch.

        Cost: one crossing; 0.1 to 0.25 µs a nonce with a million live ones. The interpreter lock
        is released for large batches.
        """
        import numpy as np  # noqa: PLC0415 - batches alone need numpy

        each_scope = scopes if isinstance(scopes, str) else list(scopes)
        if isinstance(remember_until_ms, int | np.integer):
            ends: int | NDArray[np.uint64] = int(remember_until_ms)
        else:
            ends = _ends(remember_until_ms)
        admitted, full = self._admit_many(each_scope, nonces, ends, purpose=purpose, now_ms=now_ms)
        return Admissions(np.frombuffer(admitted, np.bool_), np.frombuffer(full, np.bool_))

    def statistics(self) -> ReplayStatistics:
        """Count what the set holds.

        Cost: about 1 ms a million places; the interpreter lock is released.
        """
        return ReplayStatistics(*self._statistics())


class ReplayWindowTable(NativeReplayWindowTable):  # noqa: D101 - the native class says it
    __doc__ = NativeReplayWindowTable.__doc__
    __slots__ = ()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        capacity: int = 65_536,
        horizon_ms: int = 86_400_000,
        now_ms: int | None = None,
    ) -> Self:
        """Open the windows in a file, which is made if it is not there.

        After a start of the machine the windows are empty and ``table_id`` is another: sessions
        that were served with the old ones must rekey.

        Args:
            path: On a local file system; on ``/dev/shm`` nothing is ever written to a disk. The
                file gets mode 0600 and its full length at once, about 440 bytes a window.
            capacity: How many windows there is room for, at least.
            horizon_ms: How long a session may live, in ms.
            now_ms: The time; the clock is asked if it is left out.

        Raises:
            ConfigurationError, StorageError, UsageError: As ``ReplaySet.open``.
        """
        return cls(capacity, horizon_ms=horizon_ms, path=path, now_ms=now_ms)

    def statistics(self) -> ReplayStatistics:
        """Count what the table holds.

        Cost: about 1 ms a million places; the interpreter lock is released.
        """
        return ReplayStatistics(*self._statistics())


def _ends(ends: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint64]:
    import numpy as np  # noqa: PLC0415 - batches alone need numpy

    array = np.asarray(ends)
    if array.size and array.dtype.kind not in "iu":
        raise UsageError(
            "remember_until_ms must be whole numbers below 2^64; "
            f"these make an array of {array.dtype}"
        )
    if array.ndim != 1:
        raise UsageError(f"remember_until_ms must be one-dimensional, not {array.ndim}-dimensional")
    if array.size and array.min() < 0:
        raise UsageError(f"remember_until_ms must not be negative, as {array.min()} is")
    return np.ascontiguousarray(array, np.uint64)
