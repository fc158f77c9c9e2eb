"""How many epochs a client may begin.

Each epoch, of a handshake or a rekey, takes windows of the table that workers share, until its
session is over. Without a limit one client fills the table, and nobody else's records are opened.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from sage_native.exceptions import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """A token bucket for each client that began an epoch lately, and nothing for the others.

    Args:
        burst: How many epochs a client may begin at once.
        period_s: How long it takes until it may begin as many again, in seconds.
        clock: Seconds that never go back.
    """

    def __init__(
        self, burst: int, period_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._period_s = period_s
        self._interval_s = period_s / burst
        self._clock = clock
        # When the bucket of a client will be full again; who came last stands last.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def spend(self, client_did: str) -> None:
        """Take one epoch of a client.

        Raises:
            RateLimitedError: It has none left.
        """
        now_s = self._clock()
        self._forget_full(now_s)
        full_at_s = max(now_s, self._full_at_s.get(client_did, now_s)) + self._interval_s
        # Sums of fractions are not exact.
        if full_at_s - now_s > self._period_s + self._interval_s * 1e-6:
            raise RateLimitedError(
                f"this client has begun {self._burst} epochs, by handshakes and rekeys; it may "
                f"begin as many within {self._period_s:g} s"
            )
        self._full_at_s[client_did] = full_at_s
        self._full_at_s.move_to_end(client_did)

    def __len__(self) -> int:
        """Return of how many clients something is remembered."""
        return len(self._full_at_s)

    def __bool__(self) -> bool:
        return True

    def _forget_full(self, now_s: float) -> None:
        # The oldest first; one that is not full yet hides full ones behind it for a while.
        while self._full_at_s:
            client_did, full_at_s = next(iter(self._full_at_s.items()))
            if full_at_s > now_s:
                return
            del self._full_at_s[client_did]
