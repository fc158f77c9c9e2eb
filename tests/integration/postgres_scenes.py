"""What the tests of the PostgreSQL stores share."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.exceptions import ReplayDetectedError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.migrations import migrate
from sage_native.storage.postgres import PostgresStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sage_native.storage.rows import RequestNonce
    from tests.servers.postgres import PostgresServer

CLOSED_WITHIN_S = 3.0
RECOVERED_WITHIN_S = 20.0


@asynccontextmanager
async def new_storage(
    server: PostgresServer,
    *,
    remembers_since_ms: int | None = None,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[PostgresStorage]:
    """Open a storage on a new database of a server, with a memory that may be older than it is."""
    dsn = server.create_database()
    await migrate(dsn)
    if remembers_since_ms is not None:
        remember_since(server, dsn.rpartition("/")[2], remembers_since_ms)
    async with await PostgresStorage.open(dsn, **settings) as storage:
        yield storage


def database_of(storage: PostgresStorage) -> str:
    """Return the name of the database of a storage."""
    return storage.label.split()[1]


def remember_since(server: PostgresServer, database: str, since_ms: int) -> None:
    """Let a memory be as old as one that has been in use for a while."""
    server.sql(f"UPDATE replay_memory SET remembers_since_ms = {since_ms}", database=database)  # noqa: S608


async def outcome_of(storage: PostgresStorage, request: RequestNonce) -> Outcome:
    """Admit one nonce through the batcher, and return what came of it."""
    try:
        await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)
    except ReplayDetectedError:
        return Outcome.REPLAY
    except StorageError:
        return Outcome.UNKNOWN
    return Outcome.FRESH


async def closed(call: Callable[[], Awaitable[object]]) -> StorageError:
    """Return the error that a call ends with, in good time and with its cause."""
    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        await call()
    assert time.monotonic() - begun < CLOSED_WITHIN_S
    assert caught.value.__cause__ is not None
    return caught.value


async def recovered(call: Callable[[], Awaitable[object]]) -> None:
    """Wait until a call is answered again."""
    deadline = time.monotonic() + RECOVERED_WITHIN_S
    while True:
        try:
            await call()
        except StorageError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
