"""The migrations of a PostgreSQL database.

The lock is the advisory one that golang-migrate takes, for the whole run; each step is a
transaction of its own. golang-migrate names the database with a slash when it was given a URL, as
by its CLI, and without one when it was given a connection: both locks are taken, in this order.
They belong to the connection, so no pooler that deals out servers by transaction may be in between.
"""

from __future__ import annotations

import zlib
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage.migrations.runner import State

try:
    import asyncpg
except ImportError as missing:
    raise ConfigurationError(
        "PostgreSQL needs asyncpg: pip install 'sage-native[postgres]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sage_native.storage.migrations.files import Backend

__all__ = ["PostgresDatabase", "advisory_lock_id", "connect", "state_of"]

_TABLE = "schema_migrations"
_LOCK_SALT = 1_486_364_155
_CONNECT_TIMEOUT_S = 4
# An index over many rows takes its time; a server that is silent must not be waited for for ever.
_COMMAND_TIMEOUT_S = 600
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


def advisory_lock_id(schema: str, table: str, database: str) -> int:
    """Return the key of golang-migrate's advisory lock.

    Source: golang-migrate v4, database/util.go and database/postgres/postgres.go.
    """
    names = "\0".join((schema, table, database))
    return zlib.crc32(names.encode()) * _LOCK_SALT % 2**32


async def state_of(connection: asyncpg.Connection) -> State:
    """Read the version of the database that a connection leads to.

    Raises:
        StorageError: It cannot be read.
    """
    with _as_storage_error("read the version of", "the PostgreSQL database"):
        return await _read(connection)


@asynccontextmanager
async def connect(dsn: str, *, lock_timeout_s: float) -> AsyncIterator[PostgresDatabase]:
    """Connect to a server.

    Args:
        dsn: ``postgresql://…``, as asyncpg takes it.
        lock_timeout_s: How long to wait for another runner, and for each table.

    Raises:
        ConfigurationError: The URL cannot be read.
        StorageError: The server was not reached, or refused.
    """
    label = _label_of(dsn)
    lock_timeout_ms = str(round(lock_timeout_s * 1000))
    with _as_storage_error("connect to", label):
        try:
            connection = await asyncpg.connect(
                dsn,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"lock_timeout": lock_timeout_ms},
            )
        except ValueError:
            # The original quotes what it could not read, which may be a piece of the password.
            raise ConfigurationError(
                "the database URL cannot be read: it is postgresql://user:password@host:port/name, "
                "with signs such as @ : / # in the password written as %40 %3A %2F %23"
            ) from None
    try:
        yield PostgresDatabase(connection, label)
    finally:
        try:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)
        except _FAILURES:
            connection.terminate()


class PostgresDatabase:
    """One database of a server, over one connection."""

    backend: Backend = "postgres"

    def __init__(self, connection: asyncpg.Connection, label: str) -> None:
        self.label = label
        self._connection = connection

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Hold golang-migrate's locks, and make its table."""
        connection = self._connection
        with _as_storage_error("lock", self.label):
            schema, name = await connection.fetchrow("SELECT current_schema(), current_database()")
            if schema is None:
                raise ConfigurationError(
                    f"{self.label} has no schema in its search path to make tables in"
                )
            keys = [advisory_lock_id(schema, _TABLE, database) for database in (f"/{name}", name)]
            for key in keys:
                await connection.execute("SELECT pg_advisory_lock($1)", key)
            # Not by IF NOT EXISTS alone: that asks for the right to create, needed or not.
            if not await _exists(connection):
                await connection.execute(
                    f"CREATE TABLE {_TABLE} (version bigint not null primary key, "
                    "dirty boolean not null)"
                )
        try:
            yield
        finally:
            # A connection that is gone has no locks any more.
            if not connection.is_closed():
                with _as_storage_error("unlock", self.label):
                    for key in reversed(keys):
                        await connection.execute("SELECT pg_advisory_unlock($1)", key)

    async def state(self) -> State:
        """Read the version; 0 where there is no table."""
        with _as_storage_error("read the version of", self.label):
            return await _read(self._connection)

    async def run(self, sql: str, *, to: int, what: str) -> None:
        """Run SQL and note the version, in one transaction."""
        connection = self._connection
        before = await self.state()
        try:
            async with connection.transaction():
                # Seen by others only if the SQL commits by itself, and then rightly so.
                await _write(connection, to, dirty=True)
                await connection.execute(sql)
                await _write(connection, to)
        except _FAILURES as error:
            raise StorageError(
                f"migration {what} failed on {self.label}: {error}; {await self._outcome(before)}"
            ) from error

    async def note(self, version: int) -> None:
        """Note a clean version."""
        with _as_storage_error("note a version in", self.label):
            async with self._connection.transaction():
                await _write(self._connection, version)

    async def _outcome(self, before: State) -> str:
        # Asked, not assumed: a connection that broke at the commit does not tell what came of it.
        try:
            after = await _read(self._connection)
        except _FAILURES:
            return "the connection is gone, so look at sage-native db status"
        if after.dirty:
            return f"what it did is not known, and version {after.version} is dirty"
        if after == before:
            return f"it was rolled back, and the database stays at version {before.version}"
        return f"yet the database is at version {after.version}"


async def _exists(connection: asyncpg.Connection) -> bool:
    found = await connection.fetchval(
        "SELECT to_regclass(quote_ident(current_schema()) || '.' || $1)::oid", _TABLE
    )
    return found is not None


async def _read(connection: asyncpg.Connection) -> State:
    if not await _exists(connection):
        return State(0, dirty=False)
    row = await connection.fetchrow(f"SELECT version, dirty FROM {_TABLE} LIMIT 1")  # noqa: S608
    # golang-migrate writes -1 for the state before the first migration.
    return State(0, dirty=False) if row is None else State(max(0, row[0]), row[1])


async def _write(connection: asyncpg.Connection, version: int, *, dirty: bool = False) -> None:
    # Not TRUNCATE: whoever only asks for the version would wait for the end of the migration.
    await connection.execute(f"DELETE FROM {_TABLE}")  # noqa: S608
    if version or dirty:
        await connection.execute(
            f"INSERT INTO {_TABLE} (version, dirty) VALUES ($1, $2)",  # noqa: S608
            version or -1,
            dirty,
        )


@contextmanager
def _as_storage_error(what: str, label: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        raise StorageError(f"cannot {what} {label}: {reason or type(error).__name__}") from error


def _label_of(dsn: str) -> str:
    """Name the database without user and password, as far as that can be told for sure."""
    unnamed = "the PostgreSQL database"
    try:
        parts = urlsplit(dsn)
        place = f"{parts.hostname}:{parts.port or 5432}"
    except ValueError:
        return unnamed
    # With unquoted signs in the password, pieces of it end up in the host or the path.
    behind = parts.path + parts.query + parts.fragment
    if not parts.hostname or "@" in behind or parts.netloc.count("@") > 1:
        return unnamed
    return f"{unnamed} {parts.path.removeprefix('/')} at {place}"
