"""One server of a kind for all tests of a run; started when a test first asks for it.

A test that kills, freezes or reconfigures a server starts its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
