"""Real stores for the rows about storage: their servers, and the one event loop that uses them.

Servers are started when a row first asks for them, and stopped by `close`. PostgreSQL and Redis run
as the guarantee ``durable`` demands, unless a row says otherwise: every answer is on disk. They and
the SQLite file lie in the directory for temporary files; what a write to a disk costs is that
disk's.
"""

from __future__ import annotations

import asyncio
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sage_native.storage import ReplayGuarantee
from sage_native.storage.memory import MemoryStorage
from sage_native.storage.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.storage import Storage

Answer = TypeVar("Answer")


TIMEOUT_S = 30.0
"""Longer than in service: a disk that is slow for a moment is measured, and not refused."""
_opened: list[Callable[[], object]] = []
"""What ends them, in the order in which they were opened."""


def at_close(end: Callable[[], object]) -> None:
    """Call ``end`` before what was opened earlier is closed."""
    _opened.append(end)


def close() -> None:
    """Close the stores, stop the servers, and end the loop. What is asked for later starts anew."""
    while _opened:
        _opened.pop()()
    for made in (loop, memory, sqlite, postgres_dsn, postgres, postgres_without_disk, redis):
        made.cache_clear()


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process's benchmarks."""
    made = asyncio.new_event_loop()
    at_close(made.close)
    return made


def wait_for(work: Awaitable[Answer]) -> Answer:
    """Run work on the loop until it is done."""
    return loop().run_until_complete(work)


@cache
def memory() -> Storage:
    """Return stores in memory."""
    return MemoryStorage()


@cache
def sqlite() -> Storage:
    """Return stores in an SQLite file."""
    from sage_native.storage.sqlite import SqliteStorage  # noqa: PLC0415 - as asked for

    loop()
    directory = tempfile.TemporaryDirectory(prefix="sage-bench-")
    at_close(directory.cleanup)
    return _kept(
        wait_for(SqliteStorage.open(Path(directory.name) / "sage.db", timeout_s=TIMEOUT_S))
    )


@cache
def postgres_dsn() -> str:
    """Start a PostgreSQL and return the URL of an empty database with our schema."""
    from tests.servers.postgres import PostgresServer  # noqa: PLC0415 - as asked for

    loop()
    server = PostgresServer()
    at_close(server.close)
    server.start()
    dsn = server.create_database()
    wait_for(migrate(dsn))
    return dsn


def postgres_without_disk_dsn() -> str:
    """Return the same for connections whose commits do not wait for the disk."""
    return f"{postgres_dsn()}?options=-c%20synchronous_commit%3Doff"


@cache
def postgres() -> Storage:
    """Return stores in PostgreSQL."""
    return _postgres(postgres_dsn(), ReplayGuarantee.DURABLE)


@cache
def postgres_without_disk() -> Storage:
    """Return stores in PostgreSQL whose answers do not wait for the disk."""
    return _postgres(postgres_without_disk_dsn(), ReplayGuarantee.NODE)


@cache
def redis() -> Storage:
    """Start a Redis and return stores in it."""
    from sage_native.storage.redis import RedisStorage  # noqa: PLC0415 - as asked for
    from tests.servers.redis import RedisServer  # noqa: PLC0415 - as asked for

    loop()
    server = RedisServer({"appendonly": "yes", "appendfsync": "always"})
    at_close(server.close)
    server.start()
    return _kept(
        wait_for(
            RedisStorage.open(server.url, guarantee=ReplayGuarantee.DURABLE, timeout_s=TIMEOUT_S)
        )
    )


def _kept(storage: Storage) -> Storage:
    at_close(lambda: wait_for(storage.aclose()))
    return storage


def _postgres(dsn: str, guarantee: ReplayGuarantee) -> Storage:
    from sage_native.storage.postgres import PostgresStorage  # noqa: PLC0415 - as asked for

    return _kept(wait_for(PostgresStorage.open(dsn, guarantee=guarantee, timeout_s=TIMEOUT_S)))
