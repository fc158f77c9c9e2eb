"""When a client must bring a challenge: always, or when the replay memory alone is not enough.

A challenge proves that an M1 was signed within the last minute, for this gateway. It is demanded
while the memory of nonces may lack something, for as long after the clock was set, and under load,
where it keeps strangers from buying signature checks with addresses that are not theirs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native.storage.base import DEFAULT_HORIZON_MS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ChallengePolicy"]

CLOCK_STEP_MS = 2_000
"""A wall clock that differs by this much more from the steady one than before was set."""


class ChallengePolicy:
    """Decides whether an M1 without a challenge is taken.

    Args:
        is_always: Demand one of everybody.
        is_complete: Tells whether the memory of nonces is whole, at a time in ms.
        is_loaded: Tells whether there is much to do.
        steady_ns: A clock in ns that is never set.
    """

    def __init__(
        self,
        *,
        is_always: bool,
        is_complete: Callable[[int], bool],
        is_loaded: Callable[[], bool],
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._is_always = is_always
        self._is_complete = is_complete
        self._is_loaded = is_loaded
        self._steady_ns = steady_ns
        self._offset_ms: int | None = None
        self._distrusted_until_ms: int | None = None

    def demands(self, now_ms: int) -> bool:
        """Tell whether a challenge is needed, at the time that the wall clock shows.

        Cost: 1 µs at the most.
        """
        if self._is_always:
            return True
        return self._was_set(now_ms) or not self._is_complete(now_ms) or self._is_loaded()

    def _was_set(self, now_ms: int) -> bool:
        """Notice that the wall clock was set, and remember it as long as nonces are."""
        steady_ms = self._steady_ns() // 1_000_000
        offset_ms = now_ms - steady_ms
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        if before_ms is not None and abs(offset_ms - before_ms) >= CLOCK_STEP_MS:
            self._distrusted_until_ms = steady_ms + DEFAULT_HORIZON_MS
        if self._distrusted_until_ms is None:
            return False
        if steady_ms >= self._distrusted_until_ms:
            self._distrusted_until_ms = None
            return False
        return True
