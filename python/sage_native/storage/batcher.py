"""Joining concurrent calls into one statement.

While nobody waits, a call goes out at the next turn of the event loop, together with what else was
asked in this turn. While batches are under way, calls gather until one of them ends or
``max_wait_s`` is over, so that the slower the backend, the larger the batches. At most
``max_in_flight`` batches are under way; what comes on top waits its turn, and beyond
``max_waiting`` it is refused.

Answers are handed out by position in the batch, each to the future that was made for its item. A
caller that is cancelled leaves its place empty; nobody moves up. A batch that fails fails every
caller in it, each with an exception of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from sage_native.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Batcher"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Joins single calls into batches.

    Args:
        send: Takes items, returns one answer for each, in order; or raises for all of them.
        label: What the store is called in errors.
        max_len: The most items of one batch.
        max_wait_s: The longest that an item waits for company, in seconds, while places are free.
        max_in_flight: The most batches under way.
        max_waiting: The most items that wait; more are refused.
        timeout_s: When a caller gives up, in seconds from its call; its outcome is unknown then.
    """

    def __init__(  # noqa: PLR0913 - one limit each
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        label: str,
        max_len: int = 1000,
        max_wait_s: float = 0.002,
        max_in_flight: int = 2,
        max_waiting: int = 100_000,
        timeout_s: float = 0.9,
    ) -> None:
        self._send = send
        self._label = label
        self._max_len = max_len
        self._max_wait_s = max_wait_s
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        # All calls have one length of life, so they end in the order in which they came.
        self._deadlines: deque[tuple[float, asyncio.Future[Answer]]] = deque()
        self._alarm: asyncio.Handle | None = None
        self._closed = False

    async def ask(self, item: Item) -> Answer:
        """Send one item with the next batch.

        Returns:
            The answer to this item.

        Raises:
            StorageError: The batch failed, took longer than ``timeout_s``, or too many wait.
        """
        if self._closed:
            raise StorageError(f"{self._label} is closed")
        if len(self._waiting) >= self._max_waiting:
            raise StorageError(f"{self._label} is too slow: {len(self._waiting)} calls wait for it")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        self._deadlines.append((loop.time() + self._timeout_s, answer))
        if self._alarm is None:
            self._alarm = loop.call_later(self._timeout_s, self._give_up)
        self._schedule()
        return await answer

    async def aclose(self) -> None:
        """Refuse new items, and wait for what is under way."""
        self._closed = True
        while self._waiting or self._under_way:
            self._flush()
            if self._under_way:
                await asyncio.wait(self._under_way)
        if self._alarm is not None:
            self._alarm.cancel()

    def _schedule(self) -> None:
        if len(self._waiting) >= self._max_len:
            self._flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            if self._under_way:
                self._timer = loop.call_later(self._max_wait_s, self._flush)
            else:
                self._timer = loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and len(self._under_way) < self._max_in_flight:
            count = min(len(self._waiting), self._max_len)
            batch = [self._waiting.popleft() for _ in range(count)]
            # Who has given up before the batch left is not asked for.
            batch = [(item, answer) for item, answer in batch if not answer.done()]
            if batch:
                task = asyncio.get_running_loop().create_task(self._run(batch))
                self._under_way.add(task)
                task.add_done_callback(self._finished)

    def _give_up(self) -> None:
        """Refuse those whose time is over; one alarm for all, since a timer each costs more."""
        loop = asyncio.get_running_loop()
        while self._deadlines and (
            self._deadlines[0][1].done() or loop.time() >= self._deadlines[0][0]
        ):
            answer = self._deadlines.popleft()[1]
            if not answer.done():
                error = StorageError(f"{self._label} gave no answer in {self._timeout_s} s")
                error.__cause__ = TimeoutError()
                answer.set_exception(error)
        self._alarm = None
        if self._deadlines:
            self._alarm = loop.call_at(self._deadlines[0][0], self._give_up)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._flush()

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
            if len(answers) != len(batch):
                raise StorageError(  # noqa: TRY301 - the callers get it like any other failure
                    f"{self._label} gave {len(answers)} answers to {len(batch)} questions"
                )
        except asyncio.CancelledError:
            self._fail(batch, StorageError(f"{self._label} was stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - handed on to every caller
            self._fail(batch, error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _fail(self, batch: list[tuple[Item, asyncio.Future[Answer]]], error: Exception) -> None:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        for _, future in batch:
            if not future.done():
                failure = StorageError(str(error) or f"{self._label} failed")
                failure.__cause__ = cause
                future.set_exception(failure)
