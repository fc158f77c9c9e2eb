"""How many spans of this process were lost: a receiver that is gone must not go unnoticed."""

from __future__ import annotations

import os
import threading

__all__ = ["count_dropped", "spans_dropped"]


class _Drops:
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.lock = threading.Lock()
        self.count = 0


_drops = _Drops()
if hasattr(os, "register_at_fork"):
    # A child has lost nothing yet, and a thread of its parent may have held the lock.
    os.register_at_fork(after_in_child=_drops.begin)


def spans_dropped() -> int:
    """Return how many spans of this process were recorded and not delivered.

    The queue was full, the receiver refused them or did not answer, or the process ended first.
    """
    return _drops.count


def count_dropped(count: int) -> None:
    """Count spans that are lost."""
    with _drops.lock:
        _drops.count += count
