"""Databases without a schema, for those who bring one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def bare_postgres_dsn(postgres_server: PostgresServer) -> str:
    """A database that every test empties before it uses it: making one takes seconds."""
    return postgres_server.create_database()


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each backend."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'sage.db'}"
    else:
        dsn: str = request.getfixturevalue("bare_postgres_dsn")
        asyncio.run(_empty(dsn))
        yield dsn


async def _empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
