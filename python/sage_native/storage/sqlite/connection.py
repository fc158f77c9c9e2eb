"""A connection to the file, watched.

SQLite goes on writing to a file that was deleted or replaced, into nothing. So about once a second
the path is asked whether it still names the file that is open. While it does not, nothing is
answered; when it names a file again, that one is opened, and since nobody knows what it has missed,
its memory of nonces counts as complete only from then on.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.base import now_or_clock
from sage_native.storage.migrations.runner import State, check_current
from sage_native.storage.sqlite.trust import check_file, identity_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WatchedFile", "code_of", "is_busy", "is_full"]

LOOK_INTERVAL_S = 1.0
_JOURNAL_LIMIT = 64 << 20
# Keys of nonces are random, so every commit changes pages all over the file: the log, where they
# are written one after the other, takes 16 MB of them before they are brought home, each once.
_CHECKPOINT_PAGES = 4000
_CACHE_KIB = 32 << 10
# Three for each number of sessions that are created at once, and the others.
_STATEMENT_COUNT = 256
# Errors after which a connection is as good as before.
_HARMLESS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
    }
)


def code_of(error: BaseException | None) -> int | None:
    """Return the primary result code of an error of SQLite, None for any other."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_busy(error: BaseException | None) -> bool:
    """Tell whether somebody else holds the lock."""
    return code_of(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_full(error: BaseException | None) -> bool:
    """Tell whether the disk or the file has no more room."""
    return code_of(error) == sqlite3.SQLITE_FULL


class WatchedFile:
    """A connection that is opened when it is needed, and again after it broke.

    It belongs to the thread that first asks for it.

    Args:
        path: The file; it must be there, at the newest version of its schema.
        durable: Wait for the disk at every commit.
        read_only: Refuse to write.
    """

    def __init__(self, path: Path, *, durable: bool, read_only: bool) -> None:
        self._path = path
        self._durable = durable
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._looked_s = 0.0
        self.remembers_since_ms = 0
        """Since when no nonce is missing, in ms since the epoch, as of the last look."""

    def connection(self) -> sqlite3.Connection:
        """Return the connection, outside of any transaction.

        Raises:
            StorageError: The path names no file.
            ConfigurationError: It is one that must not be relied on, or of another version.
            sqlite3.Error: It cannot be used.
        """
        now_s = time.monotonic()
        if self._connection is not None and now_s - self._looked_s >= LOOK_INTERVAL_S:
            self._look()
            self._looked_s = now_s
        if self._connection is None:
            self._open()
            self._looked_s = now_s
        assert self._connection is not None  # noqa: S101 - it was opened, or this was not reached
        return self._connection

    def close_after(self, error: BaseException) -> None:
        """Close the connection unless the error left it as good as before."""
        if isinstance(error, sqlite3.Error) and code_of(error) not in _HARMLESS:
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _look(self) -> None:
        assert self._connection is not None  # noqa: S101 - the caller has looked
        try:
            is_ours = identity_of(self._path) == self._identity
        except StorageError:
            self.close()
            raise
        if is_ours:
            # Another process may have noted a gap.
            self._read_since(self._connection)
        else:
            self.close()

    def _open(self) -> None:
        check_file(self._path)
        identity = identity_of(self._path)
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            cached_statements=_STATEMENT_COUNT,
        )
        try:
            self._prepare(connection)
            if identity_of(self._path) != identity:
                raise StorageError(f"{self._path} was replaced while it was opened")  # noqa: TRY301
            if self._identity not in {None, identity} and not self._read_only:
                connection.execute(
                    "UPDATE replay_memory SET remembers_since_ms = max(remembers_since_ms, ?)",
                    (now_or_clock(None),),
                )
            self._read_since(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, identity

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # A file is not trusted to name functions; a sealed row is overwritten where that is free.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA secure_delete = FAST")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(f"{self._path} cannot be used with a write-ahead log: {mode}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # What undoes one statement of several rows is a copy of the pages that it changed: in a
        # file of its own beyond 64 KiB, as large as what is written to the log.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        # Where fsync is not enough (macOS); nothing elsewhere.
        connection.execute(f"PRAGMA fullfsync = {int(self._durable)}")
        connection.execute(f"PRAGMA checkpoint_fullfsync = {int(self._durable)}")
        row = connection.execute("SELECT version, dirty FROM schema_migrations").fetchone()
        state = State(0, dirty=False) if row is None else State(max(0, row[0]), bool(row[1]))
        check_current(state, "sqlite", str(self._path))
        connection.execute(f"PRAGMA query_only = {int(self._read_only)}")

    def _read_since(self, connection: sqlite3.Connection) -> None:
        query = "SELECT remembers_since_ms FROM replay_memory"
        (self.remembers_since_ms,) = connection.execute(query).fetchone()
