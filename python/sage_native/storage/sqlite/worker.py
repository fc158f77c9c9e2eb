"""A thread that answers questions on the file, many at a time.

**Why a thread.** SQLite blocks, and a commit waits for the disk. What is asked in one turn of an
event loop goes into the queue together; the thread takes whatever is queued and answers all of it
at once, so the slower the disk, the larger the batches, and nobody waits for company.

**Why joined.** Every statement lets go of the interpreter lock and must wait to take it back, up to
5 ms while an event loop is busy. So equal questions of a batch are asked in one statement whose
answer is one row, whatever their number: a kind of question is a function that takes a list of
items and returns as many answers.

**Giving up.** A caller that is cancelled or has waited ``timeout_s`` has a future that is done. Its
question is skipped if it has not begun; if it has, it is finished and its answer goes nowhere.
Answers are settled in the loop of the caller, each into the future that was made for its item, or
with a call where many were asked about at once.

**Forks.** A child has neither the thread nor the right to use the connection: it is refused.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from sage_native.events import report
from sage_native.exceptions import ConfigurationError, SageError, StorageError
from sage_native.storage.sqlite.connection import is_full

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from sage_native.storage.sqlite.connection import WatchedFile

__all__ = ["Question", "Worker"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_BATCH_LEN = 1000
MAX_WAITING_TURNS = 10_000
_BUSY_PAUSE_S = 0.001
UNANSWERED = object()


@dataclass(slots=True, eq=False)
class Question:
    """One item, and whoever waits for its answer.

    Attributes:
        work: What is asked: takes a connection and items, returns an answer for each. An answer
            that is an exception is raised to its caller; then nothing was written for it.
        item: What it is asked about.
        asker: Told in his loop only.
        turn: What was asked together with it.
        full: What is raised if there is no room for it.
        answer: The answer or the exception; UNANSWERED until there is one.
    """

    work: Callable[[sqlite3.Connection, list[Any]], Sequence[Any]]
    item: Any
    asker: asyncio.Future[Any] | Asker
    turn: Turn
    full: type[SageError]
    answer: Any = UNANSWERED


class Asker:
    """Whoever asked about one item of many, and is called with what became of it.

    Args:
        told: Called with the place and the exception, None if there is none.
        at: The place of the item.
    """

    __slots__ = ("_at", "_told")

    def __init__(self, told: Callable[[int, BaseException | None], object], at: int) -> None:
        self._told: Callable[[int, BaseException | None], object] | None = told
        self._at = at

    def done(self) -> bool:
        """Tell whether he was told."""
        return self._told is None

    def tell(self, error: BaseException | None) -> None:
        """Tell him, once."""
        told, self._told = self._told, None
        if told is not None:
            try:
                told(self._at, error)
            except Exception as raised:  # noqa: BLE001 - not the trouble of the others
                report(told, raised, "Exception ignored in")


def wanted(questions: Iterable[Question]) -> list[Question]:
    """Return the questions for which somebody still waits."""
    now_s = time.monotonic()
    return [one for one in questions if not one.asker.done() and now_s < one.turn.deadline_s]


@dataclass(slots=True, eq=False)
class Turn:
    """The questions of one turn of an event loop.

    Attributes:
        loop: In which all of it is settled.
        deadline_s: When the callers give up, by the monotonic clock.
        timer: Goes off then.
        questions: In the order in which they were asked.
        unsettled_count: How many have no answer.
    """

    loop: asyncio.AbstractEventLoop
    deadline_s: float
    timer: asyncio.TimerHandle
    questions: list[Question]
    unsettled_count: int = 0


class Worker(ABC):
    """The thread, its queue, and its connection.

    Args:
        file: What it works on; nobody else may use it.
        label: What the store is called in errors.
        timeout_s: When callers give up, in seconds from their call.
    """

    def __init__(self, file: WatchedFile, *, label: str, timeout_s: float) -> None:
        self.label = label
        self._file = file
        self._timeout_s = timeout_s
        self._queue: SimpleQueue[Turn | None] = SimpleQueue()
        # Of each loop; touched by the thread of that loop only.
        self._gathering: dict[asyncio.AbstractEventLoop, Turn] = {}
        self._closed = False
        self._pid = os.getpid()
        # A process that ends without closing loses nothing that was answered.
        self._thread = threading.Thread(target=self._work, name="sage-sqlite", daemon=True)
        self._thread.start()

    async def ask(
        self, work: Callable[[sqlite3.Connection, list[Item]], Sequence[Answer]], item: Item
    ) -> Answer:
        """Ask about one item, together with equal questions of others.

        Raises:
            StorageError: No answer within ``timeout_s``, or SQLite failed; its error is the cause.
            SageError: What ``work`` returned for the item.
        """
        return await self.begin(work, item)

    def begin(
        self,
        work: Callable[[sqlite3.Connection, list[Item]], Sequence[Answer]],
        item: Item,
        *,
        full: type[SageError] = StorageError,
    ) -> asyncio.Future[Answer]:
        """Ask as `ask` does, and return the answer to come.

        Args:
            work: What is asked.
            item: What it is asked about.
            full: What to raise if the disk or the file has no more room.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        try:
            self._check_usable()
        except StorageError as error:
            future.set_exception(error)
            return future
        turn = self._gathering.get(loop) or self._begin_turn(loop)
        turn.questions.append(Question(work, item, future, turn, full))
        if len(turn.questions) >= MAX_BATCH_LEN:
            self._end_turn(turn)
        return future

    def begin_many(
        self,
        work: Callable[[sqlite3.Connection, list[Item]], Sequence[object]],
        items: Iterable[Item],
        told: Callable[[int, BaseException | None], object],
        *,
        full: type[SageError] = StorageError,
    ) -> None:
        """Ask about many items as `ask` does, where only exceptions matter, and need no futures.

        Args:
            work: What is asked.
            items: What it is asked about.
            told: Called in the running loop, later, once for each item: with its place, and what
                `ask` would have raised or None.
            full: As of `begin`.
        """
        loop = asyncio.get_running_loop()
        try:
            self._check_usable()
        except StorageError as error:
            for at, _ in enumerate(items):
                loop.call_soon(told, at, type(error)(*error.args))
            return
        turn = self._gathering.get(loop) or self._begin_turn(loop)
        turn.questions += [
            Question(work, item, Asker(told, at), turn, full) for at, item in enumerate(items)
        ]
        if len(turn.questions) >= MAX_BATCH_LEN:
            self._end_turn(turn)

    async def ask_alone(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Ask something that cannot be joined.

        Raises:
            StorageError: As for `ask`.
        """
        return await self.ask(lambda connection, _: [work(connection)], None)

    async def aclose(self) -> None:
        """Answer what was asked, close the file and end the thread."""
        self._closed = True
        if os.getpid() == self._pid:
            for turn in [*self._gathering.values()]:
                self._end_turn(turn)
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    @abstractmethod
    def _answer(self, questions: list[Question]) -> None:
        """Answer questions that are still wanted.

        Raises:
            Exception: Nothing was done for those that have no answer yet.
        """

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise StorageError(
                f"{self.label} was opened by process {self._pid}, and this is process "
                f"{os.getpid()}, forked from it: open the store again after a fork"
            )
        if self._closed:
            raise StorageError(f"{self.label} is closed")
        if self._queue.qsize() >= MAX_WAITING_TURNS:
            raise StorageError(f"{self.label} is too slow: {MAX_WAITING_TURNS} batches wait for it")

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> Turn:
        deadline_s = time.monotonic() + self._timeout_s
        questions: list[Question] = []
        timer = loop.call_later(self._timeout_s, self._give_up, questions)
        turn = self._gathering[loop] = Turn(loop, deadline_s, timer, questions)
        loop.call_soon(self._end_turn, turn)
        return turn

    def _end_turn(self, turn: Turn) -> None:
        # A turn may have ended before its time, because it was full or the store was closed.
        if self._gathering.get(turn.loop) is turn:
            del self._gathering[turn.loop]
            turn.unsettled_count = len(turn.questions)
            self._queue.put(turn)

    def _give_up(self, questions: list[Question]) -> None:
        for question in questions:
            _tell(question.asker, self._timeout())

    def _timeout(self) -> StorageError:
        return StorageError(f"{self.label} gave no answer in {self._timeout_s} s")

    def _work(self) -> None:
        more = True
        while more:
            questions, more = self._take()
            try:
                self._answer(wanted(questions))
            except Exception as error:  # noqa: BLE001 - handed on to every caller
                self._fail(questions, error)
            self._finish(questions)
            _deliver(questions)
            # Nothing that was asked is kept alive until the next question.
            del questions
        self._file.close()

    def _take(self) -> tuple[list[Question], bool]:
        """Take what is queued; False if there will be no more."""
        questions: list[Question] = []
        turn = self._queue.get()
        while turn is not None:
            questions += turn.questions
            if len(questions) >= MAX_BATCH_LEN:
                return questions, True
            try:
                turn = self._queue.get_nowait()
            except Empty:
                return questions, True
        return questions, False

    def _fail(self, questions: Iterable[Question], error: Exception) -> None:
        for question in questions:
            if question.answer is UNANSWERED:
                question.answer = self._failure(question, error)

    def _finish(self, questions: Iterable[Question]) -> None:
        for question in questions:
            if question.answer is UNANSWERED:  # its deadline was over, and its loop is late
                question.answer = self._timeout()
            elif isinstance(question.answer, Exception) and not isinstance(
                question.answer, SageError
            ):
                question.answer = self._failure(question, question.answer)

    def _failure(self, question: Question, error: Exception) -> Exception:
        """Say that the store failed, to one caller."""
        if isinstance(error, SageError) and not isinstance(error, ConfigurationError):
            failure: Exception = type(error)(*error.args)
            failure.__cause__ = error.__cause__
            return failure
        kind = question.full if is_full(error) else StorageError
        failure = kind(f"{self.label} failed: {error}")
        failure.__cause__ = error
        return failure


def by_work(questions: Iterable[Question]) -> list[list[Question]]:
    """Sort questions by what they ask, in the order in which that was first asked."""
    groups: dict[Any, list[Question]] = defaultdict(list)
    for question in questions:
        groups[question.work].append(question)
    return list(groups.values())


def pause() -> None:
    """Wait for somebody else's lock, not as long as the next one who waits."""
    time.sleep(_BUSY_PAUSE_S * (0.5 + random.random()))  # noqa: S311 - no secret


def _deliver(questions: list[Question]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Question]] = defaultdict(list)
    for question in questions:
        loops[question.turn.loop].append(question)
    for loop, answered in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, answered)
        except RuntimeError:  # the loop is closed: nobody waits in it
            continue


def _settle(questions: list[Question]) -> None:
    for question in questions:
        turn = question.turn
        turn.unsettled_count -= 1
        if not turn.unsettled_count:
            turn.timer.cancel()
        _tell(question.asker, question.answer)


def _tell(asker: asyncio.Future[Any] | Asker, answer: object) -> None:
    error = answer if isinstance(answer, Exception) else None
    if isinstance(asker, Asker):
        asker.tell(error)
    elif not asker.done():
        if error is None:
            asker.set_result(answer)
        else:
            asker.set_exception(error)
