"""Real stores for the rows about storage: their servers, and the one event loop that uses them.

Servers are started when a row first asks for them, and stopped when this process ends. PostgreSQL
and Redis run as the guarantee ``durable`` demands: every answer is on disk. They and the SQLite
file lie in the directory for temporary files; what a write to a disk costs is that disk's.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sage_native.storage import ReplayGuarantee
from sage_native.storage.memory import MemoryStorage
from sage_native.storage.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sage_native.storage import Storage

Answer = TypeVar("Answer")


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process's benchmarks."""
    made = asyncio.new_event_loop()
    atexit.register(made.close)
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

    directory = tempfile.mkdtemp(prefix="sage-bench-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return _kept(wait_for(SqliteStorage.open(Path(directory) / "sage.db")))


@cache
def postgres_dsn() -> str:
    """Start a PostgreSQL and return the URL of an empty database with our schema."""
    from tests.servers.postgres import PostgresServer  # noqa: PLC0415 - as asked for

    server = PostgresServer()
    server.start()
    dsn = server.create_database()
    wait_for(migrate(dsn))
    return dsn


@cache
def postgres() -> Storage:
    """Return stores in PostgreSQL."""
    from sage_native.storage.postgres import PostgresStorage  # noqa: PLC0415 - as asked for

    return _kept(wait_for(PostgresStorage.open(postgres_dsn(), guarantee=ReplayGuarantee.DURABLE)))


@cache
def redis() -> Storage:
    """Start a Redis and return stores in it."""
    from sage_native.storage.redis import RedisStorage  # noqa: PLC0415 - as asked for
    from tests.servers.redis import RedisServer  # noqa: PLC0415 - as asked for

    server = RedisServer({"appendonly": "yes", "appendfsync": "always"})
    server.start()
    return _kept(wait_for(RedisStorage.open(server.url, guarantee=ReplayGuarantee.DURABLE)))


def _kept(storage: Storage) -> Storage:
    atexit.register(lambda: wait_for(storage.aclose()))
    return storage
