"""Sessions that have ended here while their rows may still be there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["UNKNOWN_WRITE_S", "Over"]

UNKNOWN_WRITE_S = 60.0
"""How much later a store may still carry out a write whose outcome nobody heard of, in seconds."""


class Over:
    """Ids of sessions that nothing brings back, until their rows are surely gone.

    A row is gone once its deletion was answered. But where the row itself was sent and never
    answered, a deletion that finds nothing may have come before it: such an id is kept for a while
    longer, and its row is deleted once more at the end.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Until when an id is kept whatever a deletion says; those that were not deleted yet.
        self._kept_until_s: dict[str, float] = {}
        self._undeleted: set[str] = set()

    def add(self, session_id: str, *, for_s: float = 0.0) -> None:
        """Bring a session back no more, for so many seconds at least."""
        until_s = self._clock() + for_s
        self._kept_until_s[session_id] = max(until_s, self._kept_until_s.get(session_id, until_s))
        self._undeleted.add(session_id)

    def deleted(self, session_id: str) -> None:
        """Note that the store has deleted a row, or has none."""
        self._undeleted.discard(session_id)
        if self._clock() >= self._kept_until_s.get(session_id, float("inf")):
            del self._kept_until_s[session_id]

    def due(self) -> Sequence[str]:
        """Return whose rows are to be deleted now."""
        now_s = self._clock()
        return [
            session_id
            for session_id, until_s in self._kept_until_s.items()
            if session_id in self._undeleted or now_s >= until_s
        ]

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._kept_until_s

    def __len__(self) -> int:
        return len(self._kept_until_s)

    def __bool__(self) -> bool:
        return True
