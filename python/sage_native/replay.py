"""Request nonces, each admitted once.

A plain set in this process's memory, exact and bounded: what a responder needs to refuse a replayed
M1. It forgets on restart and knows nothing of other workers.
"""

from __future__ import annotations

import heapq
import threading
import time

from sage_native.exceptions import CapacityError, ReplayDetectedError, UsageError

__all__ = ["ReplaySet"]


class ReplaySet:
    """Remembers (scope, nonce) pairs until their time has passed.

    Expiry follows the signed time that the caller hands in. The clock is only ever read forward: a
    clock that steps back forgets nothing, and what was given up once is refused for good.
    """

    def __init__(self, capacity: int = 1_000_000) -> None:
        """Make an empty set.

        Args:
            capacity: The most entries remembered at once; about 250 bytes each.
        """
        if capacity < 1:
            raise UsageError(f"capacity must be at least 1, not {capacity}")
        self.capacity = capacity
        self._lock = threading.Lock()
        self._live: set[tuple[str, bytes]] = set()
        self._expiry: list[tuple[int, tuple[str, bytes]]] = []
        self._watermark_ms = 0

    def __len__(self) -> int:
        """Return how many entries are remembered."""
        return len(self._live)

    def admit(
        self, scope: str, nonce: bytes, remember_until_ms: int, *, now_ms: int | None = None
    ) -> None:
        """Admit a request nonce exactly once.

        Args:
            scope: Whose nonce it is: the client's DID.
            nonce: The random value of the request.
            remember_until_ms: Signed time + skew + margin, in ms since the epoch.
            now_ms: The time; the clock is asked if it is left out.

        Raises:
            ReplayDetectedError: Admitted before, or of a time that was already given up.
            CapacityError: Full. Nothing was evicted and the nonce was not admitted.

        Cost: about 1 µs, plus the expiry of what is over.
        """
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        entry = (scope, nonce)
        with self._lock:
            self._forget(now_ms)
            if entry in self._live or remember_until_ms <= self._watermark_ms:
                raise ReplayDetectedError("this request nonce was admitted before")
            if len(self._live) >= self.capacity:
                raise CapacityError(f"all {self.capacity} places for request nonces are taken")
            self._live.add(entry)
            heapq.heappush(self._expiry, (remember_until_ms, entry))

    def _forget(self, now_ms: int) -> None:
        self._watermark_ms = max(self._watermark_ms, now_ms)
        while self._expiry and self._expiry[0][0] <= self._watermark_ms:
            self._live.discard(heapq.heappop(self._expiry)[1])
