"""How often a session may rekey.

Each epoch takes windows of the table that workers share, until the session ends. Without a limit
one client fills it, and nobody else's records are opened.
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
    """A token bucket for each session that rekeyed lately, and nothing for the others.

    Args:
        burst: How many rekeys a session may do at once.
        interval_s: How long one of them takes to come back, in seconds.
        clock: Seconds that never go back.
    """

    def __init__(
        self, burst: int, interval_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._interval_s = interval_s
        self._clock = clock
        # When the bucket of a session will be full again; who rekeyed last stands last.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def spend(self, session_id: str) -> None:
        """Take one rekey of a session.

        Raises:
            RateLimitedError: It has none left.
        """
        now_s = self._clock()
        self._forget_full(now_s)
        full_at_s = max(now_s, self._full_at_s.get(session_id, now_s)) + self._interval_s
        if full_at_s - now_s > self._burst * self._interval_s:
            raise RateLimitedError(
                f"a session may rekey {self._burst} times at once and then every "
                f"{self._interval_s:g} s"
            )
        self._full_at_s[session_id] = full_at_s
        self._full_at_s.move_to_end(session_id)

    def __len__(self) -> int:
        """Return of how many sessions something is remembered."""
        return len(self._full_at_s)

    def __bool__(self) -> bool:
        return True

    def _forget_full(self, now_s: float) -> None:
        # The oldest first; one that is not full yet hides full ones behind it for a while.
        while self._full_at_s:
            session_id, full_at_s = next(iter(self._full_at_s.items()))
            if full_at_s > now_s:
                return
            del self._full_at_s[session_id]
