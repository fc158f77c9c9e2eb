"""One at a time for each session."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Turns"]


class Turns:
    """A lock for each session that somebody works on, and none for the others."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, session_id: str) -> AsyncIterator[None]:
        """Wait until nobody else has the turn of this session, and take it."""
        lock, waiting_count = self._locks.get(session_id) or (asyncio.Lock(), 0)
        self._locks[session_id] = (lock, waiting_count + 1)
        try:
            async with lock:
                yield
        finally:
            # A lock that is free for an instant may be awaited: only the last one takes it away.
            lock, waiting_count = self._locks[session_id]
            if waiting_count == 1:
                del self._locks[session_id]
            else:
                self._locks[session_id] = (lock, waiting_count - 1)

    def __len__(self) -> int:
        """Return how many sessions somebody works on."""
        return len(self._locks)

    def __bool__(self) -> bool:
        return True
