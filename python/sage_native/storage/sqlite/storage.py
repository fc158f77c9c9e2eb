"""The stores of one SQLite file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage import migrations
from sage_native.storage.base import DEFAULT_HORIZON_MS, Storage
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.sqlite.connection import WatchedFile
from sage_native.storage.sqlite.dids import SqliteDidStore
from sage_native.storage.sqlite.nonces import SqliteNonceStore
from sage_native.storage.sqlite.reader import Reader
from sage_native.storage.sqlite.sessions import SqliteSessionStore
from sage_native.storage.sqlite.writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Self

__all__ = ["SqliteStorage"]

_OLDEST_SQLITE = (3, 38, 0)
# From one name to the next: DISTINCT would read every row.
_NAMES = """
WITH RECURSIVE names(name) AS (
    SELECT min(store_name) FROM sessions
    UNION ALL
    SELECT (SELECT min(store_name) FROM sessions WHERE store_name > name) FROM names
    WHERE name IS NOT NULL
)
SELECT json_group_array(name) FROM names WHERE name IS NOT NULL
"""


class SqliteStorage(Storage):
    """Sessions, nonces and DIDs in one file, for the processes of one machine and one user.

    Open it with `open`, and again in each process: not before a fork.
    """

    nonces: SqliteNonceStore
    dids: SqliteDidStore

    def __init__(
        self, path: Path, *, guarantee: ReplayGuarantee, horizon_ms: int, timeout_s: float
    ) -> None:
        self.label = f"the SQLite database {path}"
        self._names: dict[str, SqliteSessionStore] = {}
        durable = guarantee >= ReplayGuarantee.DURABLE
        file = WatchedFile(path, durable=durable, read_only=False)
        beside = WatchedFile(path, durable=durable, read_only=True)
        self._writer = Writer(file, label=self.label, timeout_s=timeout_s)
        self._reader = Reader(beside, label=self.label, timeout_s=timeout_s)
        self.nonces = SqliteNonceStore(
            self._writer, self._reader, file, guarantee=guarantee, horizon_ms=horizon_ms
        )
        self.dids = SqliteDidStore(self._writer, self._reader)

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        guarantee: ReplayGuarantee = ReplayGuarantee.DURABLE,
        horizon_ms: int = DEFAULT_HORIZON_MS,
        timeout_s: float = 0.9,
        migrate: bool = True,
    ) -> Self:
        """Open a file, or make it.

        Args:
            path: The file, on a file system of this machine; its directory must be there. A new
                one may be read and written by this user alone.
            guarantee: What is demanded. DURABLE waits for the disk at every commit; NODE, and
                less, does not, and survives processes but not the power.
            horizon_ms: How far ahead of the clock nonces may have to be remembered.
            timeout_s: When a call gives up, in seconds.
            migrate: Make the schema, or bring it up to date; otherwise it must be.

        Raises:
            ConfigurationError: The file, its directory or its schema is not one to rely on, or the
                guarantee is not reached.
            StorageError: It cannot be used.
        """
        path = Path(path)
        level = min(max(guarantee, ReplayGuarantee.NODE), ReplayGuarantee.DURABLE)
        level.require(
            guarantee,
            store=f"the SQLite database {path}",
            remedy="use postgresql with a synchronous standby",
        )
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old: 3.38 or newer is needed"
            )
        await _prepare(path, migrate=migrate)
        storage = cls(path, guarantee=level, horizon_ms=horizon_ms, timeout_s=timeout_s)
        try:
            await storage.check()
        except BaseException:
            await storage.aclose()
            raise
        return storage

    def sessions(self, name: str = "sessions") -> SqliteSessionStore:
        """Return the session store of a name, 1 to 255 bytes."""
        store = self._names.get(name)
        if store is None:
            store = self._names[name] = SqliteSessionStore(
                self._writer, self._reader, name, self.dids
            )
        return store

    async def session_store_names(self) -> Sequence[str]:
        """Return the names under which sessions are stored, in order."""

        def select(connection: sqlite3.Connection) -> list[str]:
            (found,) = connection.execute(_NAMES).fetchone()
            return sorted(json.loads(found))

        return await self._reader.ask_alone(select)

    async def check(self) -> None:
        """Ask both threads for a sign of life; the writer takes the lock for it."""
        await asyncio.gather(
            self._writer.ask_alone(lambda _: None), self._reader.ask_alone(_read_something)
        )

    async def aclose(self) -> None:
        """Finish what is under way and close the file."""
        await self._reader.aclose()
        await self._writer.aclose()


async def _prepare(path: Path, *, migrate: bool) -> None:
    from sage_native.storage.migrations.sqlite import dsn_of  # noqa: PLC0415 - it imports trust

    dsn = dsn_of(path)
    where = await migrations.status(dsn)
    if migrate and (where.pending or where.dirty):
        await migrations.migrate(dsn)
    elif not path.exists():
        raise StorageError(f"{path} does not exist: run sage-native db migrate")
    else:
        await migrations.require_current(path)


def _read_something(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT floor_ms FROM replay_memory").fetchone()
