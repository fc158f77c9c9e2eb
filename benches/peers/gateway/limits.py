"""Token buckets in a dict: how often one address or one DID may ask.

A bucket is kept as the time at which it would be full (GCRA): one number, one look-up, one store.
A full bucket need not be kept, so all that are full are thrown away when there are too many.
"""

from __future__ import annotations

from benches.peers.errors import RefusedError


class Buckets:
    """One bucket for every name."""

    def __init__(self, rate_per_s: float, burst: int, *, max_count: int = 65_536) -> None:
        self._each_s = 1 / rate_per_s
        self._depth_s = burst / rate_per_s
        self._max_count = max_count
        self._full_at_s: dict[str | bytes, float] = {}

    def take(self, name: str | bytes, now_s: float) -> None:
        """Take one token, or refuse with ``rate_limited``."""
        full_at_s = max(now_s, self._full_at_s.get(name, now_s)) + self._each_s
        if full_at_s - now_s > self._depth_s:
            raise RefusedError("rate_limited")
        self._full_at_s[name] = full_at_s
        if len(self._full_at_s) > self._max_count:
            kept = {name: at_s for name, at_s in self._full_at_s.items() if at_s > now_s}
            if len(kept) > self._max_count:
                raise RefusedError("overloaded")
            self._full_at_s = kept
