"""Writing: one transaction for whatever is queued, and no answer before its commit.

**A batch** is one ``BEGIN IMMEDIATE`` … ``COMMIT``: the lock is taken before anything is read, so
what is decided inside is decided. Where there are several kinds of question in it, each is a
savepoint. If a kind fails, its savepoint is undone and its questions are asked one by one, so that
only the one at fault fails.

**What may fail as a whole.** Some errors make SQLite undo the whole transaction, and a batch of one
kind has no savepoint, which would cost a copy of every page that is changed. Nobody was answered by
then, so every question is asked again in a transaction of its own. If the commit fails, nobody
knows what is on disk: all are refused, and the connection is closed.

**Other processes** write to the file too, one at a time. Whoever finds it locked tries again until
its callers give up. SQLite wakes nobody and keeps no order, so a process that saw others waits a
moment between its own batches, and lets them in.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from sage_native.exceptions import SageError
from sage_native.storage.sqlite.connection import is_busy
from sage_native.storage.sqlite.worker import (
    UNANSWERED,
    Question,
    Worker,
    by_work,
    pause,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sage_native.storage.sqlite.connection import WatchedFile

__all__ = ["Writer"]

_YIELD_S = 0.002
_CONTENDED_FOR_S = 5.0


class _UndoneError(Exception):
    """The whole transaction is undone, or is to be; ``error`` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Writer(Worker):
    """Answers questions that change something.

    Attributes:
        on_undone: Who is called, in the thread, when a transaction was undone: whatever was learnt
            inside it may be wrong. It must not raise.
    """

    _contended_until_s = 0.0

    def __init__(self, file: WatchedFile, *, label: str, timeout_s: float) -> None:
        self.on_undone: list[Callable[[], object]] = []
        super().__init__(file, label=label, timeout_s=timeout_s)

    def _answer(self, questions: list[Question]) -> None:
        try:
            self._commit(questions)
        except _UndoneError as undone:
            if len(questions) == 1:
                questions[0].answer = undone.error
                return
            for question in questions:
                question.answer = UNANSWERED
            for question in questions:
                try:
                    self._answer([question])
                except Exception as error:  # noqa: BLE001 - handed on to its caller
                    self._fail([question], error)

    def _commit(self, questions: list[Question]) -> None:
        connection = self._begin(questions)
        if connection is None:
            return
        asked = wanted(questions)
        try:
            groups = by_work(asked)
            answer = _answer_group if len(groups) > 1 else _answer_only
            for group in groups:
                answer(connection, group)
            connection.execute("COMMIT")
        except Exception as error:
            for question in asked:
                question.answer = UNANSWERED
            self._abandon(connection)
            for forget in self.on_undone:
                forget()
            self._file.close_after(error.error if isinstance(error, _UndoneError) else error)
            raise
        for question in asked:
            if isinstance(question.answer, sqlite3.Error):
                self._file.close_after(question.answer)

    def _begin(self, questions: list[Question]) -> sqlite3.Connection | None:
        """Take the lock; None if nobody waits for it any more."""
        if time.monotonic() < self._contended_until_s:
            time.sleep(_YIELD_S)
        while wanted(questions):
            try:
                connection = self._file.connection()
                connection.execute("BEGIN IMMEDIATE")
            except (sqlite3.Error, SageError) as error:
                if not is_busy(error):
                    self._file.close_after(error)
                    raise
                self._contended_until_s = time.monotonic() + _CONTENDED_FOR_S
                pause()
            else:
                return connection
        return None

    def _abandon(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._file.close()


def _answer_only(connection: sqlite3.Connection, group: list[Question]) -> None:
    """Answer questions that have their transaction to themselves."""
    try:
        answers = group[0].work(connection, [question.item for question in group])
    except Exception as error:
        raise _UndoneError(error) from error
    _settle(group, answers)


def _answer_group(connection: sqlite3.Connection, group: list[Question]) -> None:
    """Answer questions of one kind beside those of others."""
    connection.execute("SAVEPOINT kind")
    try:
        answers = group[0].work(connection, [question.item for question in group])
    except Exception as error:
        if not connection.in_transaction:
            raise _UndoneError(error) from error
        connection.execute("ROLLBACK TO kind")
        connection.execute("RELEASE kind")
        if len(group) == 1:
            group[0].answer = error
            return
        for question in group:
            _answer_group(connection, [question])
        return
    connection.execute("RELEASE kind")
    _settle(group, answers)


def _settle(group: Sequence[Question], answers: Sequence[object]) -> None:
    for question, answer in zip(group, answers, strict=True):
        question.answer = answer
