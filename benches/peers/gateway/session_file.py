"""Sessions in an SQLite file, written by one thread that joins whatever is waiting.

One transaction for all rows that came in while the last one was committed; nobody is answered
before its commit. What must hold of a new row is asked in the statement that writes it: its client
is not revoked, and has fewer sessions than it may have.

A row costs the thread about 10 us, its conditions included. ``executemany`` is no faster, and says
of all rows together how many were written, so which of them were refused would take a second look.
"""

from __future__ import annotations

import asyncio
import sqlite3
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from benches.peers.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

Synchronous: TypeAlias = Literal["NORMAL", "FULL"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    client_did TEXT NOT NULL,
    server_did TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_secret BLOB NOT NULL,
    idle_timeout_s INTEGER NOT NULL,
    last_activity_ms INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_client ON sessions (client_did, session_id);
CREATE TABLE IF NOT EXISTS dids (
    did TEXT NOT NULL PRIMARY KEY, key BLOB NOT NULL, revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
"""
_CREATE = """
INSERT INTO sessions SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0
WHERE EXISTS (SELECT 1 FROM dids WHERE did = ?2 AND revoked_ms IS NULL)
AND (SELECT count(*) FROM sessions WHERE client_did = ?2) < ?11
"""
_MAX_BATCH_LEN = 1000


class SessionRow(NamedTuple):
    """A new session, in the order of the columns."""

    session_id: str
    client_did: str
    server_did: str
    created_ms: int
    expires_ms: int
    epoch: int
    kek_id: str
    wrapped_secret: bytes
    idle_timeout_s: int
    last_activity_ms: int


class _Question(NamedTuple):
    row: SessionRow
    future: asyncio.Future[None]


def connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Open the file, or make it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA cache_size = -32768")
    connection.executescript(_SCHEMA)
    return connection


def register(path: Path, clients: dict[str, bytes]) -> None:
    """Store the keys of clients."""
    connection = connect(path, "FULL")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO dids VALUES (?, ?, NULL)", clients.items())
    connection.execute("COMMIT")
    connection.close()


class SessionFile:
    """The writer. It belongs to one event loop.

    Args:
        path: The file.
        synchronous: FULL waits for the disk at every commit.
        max_sessions_per_client: What its name says.
    """

    def __init__(
        self, path: Path, *, synchronous: Synchronous, max_sessions_per_client: int
    ) -> None:
        self._connection = connect(path, synchronous)
        self._max_sessions_per_client = max_sessions_per_client
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Question | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="session-writer", daemon=True)
        self._thread.start()

    def clients(self) -> dict[str, bytes]:
        """Return every client that is not revoked, with its key."""
        query = "SELECT did, key FROM dids WHERE revoked_ms IS NULL"
        return dict(self._connection.execute(query).fetchall())

    def create(self, row: SessionRow) -> asyncio.Future[None]:
        """Store a session; wait for what is returned."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Question(row, future))
        return future

    def close(self) -> None:
        """Write what was asked for, and end."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            batch, more = self._take()
            if batch:
                answers = self._answers(batch)
                self._loop.call_soon_threadsafe(_settle, batch, answers)
            if not more:
                return

    def _take(self) -> tuple[list[_Question], bool]:
        batch: list[_Question] = []
        question = self._queue.get()
        while question is not None:
            batch.append(question)
            if len(batch) >= _MAX_BATCH_LEN:
                return batch, True
            try:
                question = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _answers(self, batch: list[_Question]) -> list[str | None]:
        try:
            return self._commit(batch)
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return ["store_unavailable"] * len(batch)

    def _commit(self, batch: list[_Question]) -> list[str | None]:
        execute, limit = self._connection.execute, self._max_sessions_per_client
        execute("BEGIN IMMEDIATE")
        created = [execute(_CREATE, (*question.row, limit)).rowcount for question in batch]
        execute("COMMIT")
        return [None if count else "authentication_failed" for count in created]


def _settle(batch: list[_Question], answers: list[str | None]) -> None:
    for question, code in zip(batch, answers, strict=True):
        if question.future.done():
            continue
        if code is None:
            question.future.set_result(None)
        else:
            question.future.set_exception(RefusedError(code))
