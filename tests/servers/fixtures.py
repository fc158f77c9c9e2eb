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


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer, migrated_database: str) -> Iterator[str]:
    """An empty database with the newest schema, for one test."""
    dsn = postgres_server.create_database(template=migrated_database)
    yield dsn
    postgres_server.drop_database(dsn.rpartition("/")[2])
