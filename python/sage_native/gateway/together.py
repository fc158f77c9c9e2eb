"""What comes in one turn of the event loop, worked on together.

Under load many requests come in one turn. Work that is done many times in a row finds its code and
its tables in the caches, and some of it can be done side by side. Nobody waits for it who came
alone: the turn is over when the loop has looked at every connection once.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Generic, TypeVar

from sage_native.events import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.taskless import Done

__all__ = ["Asked", "Together"]

MAX_COUNT = 64
"""The most that is worked on together, a millisecond or two."""


class Asked:
    """Something that was asked, and whoever waits for its answer.

    Args:
        done: Called once, with the answer or with what was raised.
        context: That of whoever asked. What concerns this one alone is done in it, so that lines,
            events and spans are those of its request; whoever waits is told in a copy of it, since
            that may be while something is done in the context itself.
    """

    __slots__ = ("_done", "context")

    def __init__(self, done: Done, context: Context) -> None:
        self._done: Done | None = done
        self.context = context

    def answer(self, answer: Answer) -> None:
        """Answer whoever waits, unless he was told before."""
        self.context.copy().run(self._tell, answer, None)

    def refuse(self, error: BaseException) -> None:
        """Tell whoever waits of an error, unless he was told before."""
        self.context.copy().run(self._tell, None, error)

    def _tell(self, answer: Answer | None, error: BaseException | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            try:
                done(answer, error)
            except Exception as raised:  # noqa: BLE001 - not the trouble of those who wait, too
                report(done, raised, "Exception ignored in")


Item = TypeVar("Item", bound=Asked)


class Together(Generic[Item]):
    """Gathers what is asked until the turn is over. It belongs to one event loop.

    Args:
        work: Works on what was gathered. What it raises is told to all of those who wait.
    """

    def __init__(self, work: Callable[[list[Item]], None]) -> None:
        self._work = work
        self._gathered: list[Item] = []
        # What concerns all is of no request.
        self._context = Context()
        self._later: set[asyncio.Task[None]] = set()

    def add(self, item: Item) -> None:
        """Have something worked on by the end of this turn."""
        gathered = self._gathered
        gathered.append(item)
        if len(gathered) == 1:
            # Looked up once a turn: it is a system call.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._end_turn, gathered, context=self._context)
        if len(gathered) >= MAX_COUNT:
            self._gathered = []  # what comes now is worked on after these

    def do_later(self, item: Item, work: Awaitable[None]) -> None:
        """Work on something that has to wait, in a task of its own."""
        loop = asyncio.get_running_loop()
        # A copy: work may go on to what is done in the context itself.
        task = loop.create_task(_done(item, work), context=item.context.copy())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _end_turn(self, gathered: list[Item]) -> None:
        if self._gathered is gathered:
            self._gathered = []
        try:
            self._work(gathered)
        except BaseException as error:
            for item in gathered:  # those who were told are not told again
                item.refuse(error)
            if not isinstance(error, Exception):
                raise


async def _done(item: Asked, work: Awaitable[None]) -> None:
    try:
        await work
    except BaseException as error:
        item.refuse(error)
        if not isinstance(error, Exception):
            raise
