"""One server of a kind for all tests of a run; started when a test first asks for it.

A test that kills, freezes or reconfigures a server starts its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native.storage.migrations import migrate
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator


_EMPTY = """
TRUNCATE sessions, nonces, dids;
UPDATE replay_memory SET floor_ms = 0, latest_end_ms = 0,
    remembers_since_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
"""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that is flushed by whoever needs it empty."""
    with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL in which each test makes a database of its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The name of a database with the newest schema, to make others from."""
    dsn = postgres_server.create_database()
    asyncio.run(migrate(dsn))
    return dsn.rpartition("/")[2]


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer, migrated_database: str) -> str:
    """The DSN of the database that tests use one after the other."""
    return postgres_server.create_database(template=migrated_database)


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer, shared_database: str) -> str:
    """A database with the newest schema and nothing in it.

    It is emptied, not made: that is ten times as fast. A test that changes the schema or settings
    makes its own of ``migrated_database``.
    """
    postgres_server.sql(_EMPTY, database=shared_database.rpartition("/")[2])
    return shared_database
