"""Request nonces, each admitted once, with what Python has: written to be fast.

`DictReplays` is a dict of what is remembered, a deque of when it may be forgotten, and a lock.
Tried, and what was kept (CPython 3.11):

* A tuple of scope and nonce as the key: joining them into one ``bytes`` costs a copy and hashes the
  scope each time, where a ``str`` keeps its hash.
* One tuple in dict and deque; a deque, since requests come nearly in the order of their times, and
  an entry may only live longer than asked.
* ``setdefault`` instead of ``in`` and a store, where entries come singly: one look-up. Whether the
  value that comes back is the very one that was given tells if the key was new; so the entry itself
  is the value, which nobody else has.

`CacheboxReplays` is ``cachebox.TTLCache``, a Rust hash table that expires by itself, by arrival.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

import cachebox

from .errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Entry = tuple[str, bytes]


class DictReplays:
    """Exact, in one process."""

    def __init__(self) -> None:
        self._live: dict[Entry, Entry] = {}
        self._order: deque[tuple[int, Entry]] = deque()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._live)

    def admit(self, scope: str, nonce: bytes, remember_until_ms: int, now_ms: int) -> None:
        """Admit once, or raise."""
        entry = (scope, nonce)
        live, order = self._live, self._order
        with self._lock:
            while order and order[0][0] <= now_ms:
                del live[order.popleft()[1]]
            if live.setdefault(entry, entry) is not entry:
                raise RefusedError("replay_detected")
            order.append((remember_until_ms, entry))

    def admit_many(
        self, scope: str, nonces: Sequence[bytes], remember_until_ms: int, now_ms: int
    ) -> list[bool]:
        """Admit each of a batch, under one lock."""
        live, order = self._live, self._order
        verdicts = []
        with self._lock:
            while order and order[0][0] <= now_ms:
                del live[order.popleft()[1]]
            for nonce in nonces:
                entry = (scope, nonce)
                if entry in live:
                    verdicts.append(False)
                    continue
                live[entry] = entry
                order.append((remember_until_ms, entry))
                verdicts.append(True)
        return verdicts


class CacheboxReplays:
    """The same look-up in ``cachebox``, which keeps the time itself."""

    def __init__(self, capacity: int, lifetime_s: float) -> None:
        self._live: cachebox.TTLCache[Entry, object] = cachebox.TTLCache(
            capacity, lifetime_s, capacity=capacity
        )

    def __len__(self) -> int:
        return len(self._live)

    def admit(self, scope: str, nonce: bytes, _remember_until_ms: int) -> None:
        """Admit once, or raise. It forgets by arrival."""
        marker = object()
        if self._live.setdefault((scope, nonce), marker) is not marker:
            raise RefusedError("replay_detected")
