"""The migrations of an SQLite file.

One transaction that may write is the lock, and each step is a savepoint in it: a step that fails is
undone, those before it are kept, and a process that dies leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote, urlsplit

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage.migrations.runner import State
from sage_native.storage.sqlite.trust import check_file, create_file

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterator

    from sage_native.storage.migrations.files import Backend

__all__ = ["SqliteDatabase", "connect", "dsn_of", "path_of", "state_of"]

T = TypeVar("T")

# As golang-migrate's driver makes it.
_CREATE_TABLE = "CREATE TABLE IF NOT EXISTS schema_migrations (version uint64,dirty bool)"
_CREATE_INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS version_unique ON schema_migrations (version)"


def path_of(dsn: str) -> Path:
    """Return the path in ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.

    Raises:
        ConfigurationError: It has a host, options, or no path.
    """
    parts = urlsplit(dsn)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not path:
        raise ConfigurationError(
            "an SQLite URL is sqlite:///relative.db or sqlite:////absolute.db, without host or "
            "options"
        )
    if path == ":memory:":
        raise ConfigurationError("sqlite:///:memory: is not supported: name a file")
    return Path(path)


def dsn_of(path: Path) -> str:
    """Return the URL of a path."""
    return f"sqlite:///{quote(str(path))}"


def state_of(opened: sqlite3.Connection | os.PathLike[str]) -> State:
    """Read the version of a file, or of a connection of the calling thread.

    Raises:
        StorageError: It cannot be read.
    """
    if isinstance(opened, sqlite3.Connection):
        try:
            return _read(opened)
        except sqlite3.Error as error:
            raise StorageError(f"the version of the schema cannot be read: {error}") from error
    path = Path(opened)
    check_file(path)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            return _read(file)
    except sqlite3.Error as error:
        raise StorageError(f"the version of {path} cannot be read: {error}") from error


@asynccontextmanager
async def connect(dsn: str, *, lock_timeout_s: float) -> AsyncIterator[SqliteDatabase]:
    """Use a file; it is made when the lock is first taken.

    Args:
        dsn: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.
        lock_timeout_s: How long to wait for whoever writes to it.
    """
    database = SqliteDatabase(path_of(dsn), lock_timeout_s=lock_timeout_s)
    try:
        yield database
    finally:
        await database.aclose()


class SqliteDatabase:
    """One SQLite file, in a thread of its own."""

    backend: Backend = "sqlite"

    def __init__(self, path: Path, *, lock_timeout_s: float) -> None:
        self.label = f"the SQLite database {path}"
        self._path = path
        self._lock_timeout_s = lock_timeout_s
        self._connection: sqlite3.Connection | None = None
        # One thread: a call that is cancelled is finished before the next one begins.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sage-migrations")

    async def aclose(self) -> None:
        """Close the file and end the thread."""
        await self._in_thread("close", self._close)
        self._thread.shutdown()

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Hold a transaction that may write, and commit what was done in it."""
        await self._in_thread("lock", self._lock)
        try:
            yield
        finally:
            await self._in_thread("commit", self._unlock)

    async def state(self) -> State:
        """Read the version; 0 where there is no file."""
        return await self._in_thread("read the version of", self._state)

    async def run(self, sql: str, *, to: int, what: str) -> None:
        """Run SQL and note the version, in one savepoint."""
        await self._in_thread(f"run {what} on", lambda: self._run(sql, to, what))

    async def note(self, version: int) -> None:
        """Note a clean version."""
        await self._in_thread("note a version in", lambda: _write(self._open(), version))

    async def _in_thread(self, what: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StorageError(f"cannot {what} {self.label}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            check_file(self._path)
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=self._lock_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _state(self) -> State:
        try:
            self._path.lstat()
        except FileNotFoundError:
            if not self._path.parent.is_dir():
                raise ConfigurationError(
                    f"there is no directory {self._path.parent} for {self._path.name}"
                ) from None
            return State(0, dirty=False)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be used: {error.strerror}") from error
        return _read(self._open())

    def _lock(self) -> None:
        create_file(self._path)
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_CREATE_TABLE)
        connection.execute(_CREATE_INDEX)

    def _unlock(self) -> None:
        connection = self._open()
        if connection.in_transaction:
            connection.execute("COMMIT")

    def _run(self, sql: str, to: int, what: str) -> None:
        connection = self._open()
        before = _read(connection)
        connection.execute("SAVEPOINT migration")
        try:
            # Seen by others only if the SQL commits by itself, and then rightly so.
            _write(connection, to, dirty=True)
            for statement in _statements(sql):
                connection.execute(statement)
            _write(connection, to)
            connection.execute("RELEASE migration")
        except sqlite3.Error as error:
            raise StorageError(
                f"migration {what} failed on {self.label}: {error}; {self._undone(before)}"
            ) from error

    def _undone(self, before: State) -> str:
        connection = self._open()
        try:
            connection.execute("ROLLBACK TO migration")
            connection.execute("RELEASE migration")
        except sqlite3.Error:
            # It ended the transaction by itself: the mark tells.
            return f"what it did is not known, and version {_read(connection).version} is dirty"
        return f"it was rolled back, and the database stays at version {before.version}"


def _read(connection: sqlite3.Connection) -> State:
    known = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
    )
    if known.fetchone() == (0,):
        return State(0, dirty=False)
    row = connection.execute("SELECT version, dirty FROM schema_migrations LIMIT 1").fetchone()
    # golang-migrate writes -1 for the state before the first migration.
    return State(0, dirty=False) if row is None else State(max(0, row[0]), bool(row[1]))


def _write(connection: sqlite3.Connection, version: int, *, dirty: bool = False) -> None:
    connection.execute("DELETE FROM schema_migrations")
    if version or dirty:
        connection.execute(
            "INSERT INTO schema_migrations (version, dirty) VALUES (?, ?)", (version or -1, dirty)
        )


def _statements(sql: str) -> Iterator[str]:
    # executescript would commit the transaction that is the lock.
    statement = ""
    for part in sql.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip(" \t\r\n;"):
        yield statement
