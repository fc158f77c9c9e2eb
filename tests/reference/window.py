"""The replay window over sequence numbers, as a set.

An RFC 6479 ring of 1,024 numbers accepts what this accepts: everything newer than the highest
number minus 1,024 that was not seen. The naive model keeps the seen numbers themselves.
Source: docs/protocol.md, "Records"; RFC 6479.
"""

from __future__ import annotations

from typing import Final

WINDOW_LEN: Final = 1024


class Window:
    """The numbers seen under one record key."""

    def __init__(self) -> None:
        self._highest = -1
        self._seen: set[int] = set()

    def is_fresh(self, seq: int) -> bool:
        """Say whether `admit` would accept, without recording."""
        return seq > self._highest - WINDOW_LEN and seq not in self._seen

    def admit(self, seq: int) -> bool:
        """Check and record; False for what was seen or is too old."""
        if not self.is_fresh(seq):
            return False
        self._highest = max(self._highest, seq)
        self._seen.add(seq)
        self._seen = {old for old in self._seen if old > self._highest - WINDOW_LEN}
        return True
