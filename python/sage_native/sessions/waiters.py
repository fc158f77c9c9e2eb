"""Those who wait for one outcome."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Waiters"]


class Waiters:
    """Any number of callers who wait for one outcome; each may give up without the others.

    As `asyncio.shield` around what is waited for, at a third of the cost: nobody's wait is tied to
    it, so nobody's end reaches it.

    Attributes:
        work: What is waited for, if it is a task: event loops do not keep their tasks alive.
    """

    work: asyncio.Task[None] | None = None

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[Any]] = []

    async def wait(self) -> None:
        """Wait for the outcome, and return or raise it."""
        waiter = asyncio.get_running_loop().create_future()
        self.add(waiter)
        await waiter

    def add(self, waiter: asyncio.Future[Any]) -> None:
        """Have a future of the running loop settled with the outcome, unless it is done before."""
        self._waiting.append(waiter)

    def settle(self, outcome: asyncio.Future[None]) -> None:
        """Tell those who wait what became of something that is done."""
        # Looked at in any case: nobody may be left to be told of an error.
        error = None if outcome.cancelled() else outcome.exception()
        for waiter in self._waiting:
            if waiter.done():
                continue
            if outcome.cancelled():
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(None)
