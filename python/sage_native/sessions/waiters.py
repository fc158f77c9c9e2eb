"""Those who wait for one outcome."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sage_native.events import report

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Tell: TypeAlias = Callable[[BaseException | None], object]

__all__ = ["Waiters", "waiting"]


class Waiters:
    """Any number of callers who wait for one outcome; each may give up without the others.

    As `asyncio.shield` around what is waited for, at a third of the cost: nobody's wait is tied to
    it, so nobody's end reaches it.

    Attributes:
        work: What is waited for, if it is a task: event loops do not keep their tasks alive.
    """

    work: asyncio.Task[None] | None = None

    def __init__(self) -> None:
        self._waiting: list[Tell] = []

    async def wait(self) -> None:
        """Wait for the outcome, and return or raise it."""
        waiter, tell = waiting()
        self.add(tell)
        await waiter

    def add(self, tell: Tell) -> None:
        """Have something called with what was raised, or None."""
        self._waiting.append(tell)

    def settle(self, error: BaseException | None) -> None:
        """Tell those who wait what was raised, or None."""
        for tell in self._waiting:
            try:
                tell(error)
            except Exception as raised:  # noqa: BLE001 - not the trouble of the others
                report(tell, raised, "Exception ignored in")


def waiting() -> tuple[asyncio.Future[None], Tell]:
    """Return a future of the running loop, and what settles it unless it is done before."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return waiter, partial(_settle, waiter)


def _settle(waiter: asyncio.Future[None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    elif isinstance(error, asyncio.CancelledError):
        waiter.cancel()
    else:
        waiter.set_exception(error)
