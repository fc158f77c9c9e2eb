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
async def new_storage(server: PostgresServer, **settings: Any) -> AsyncIterator[PostgresStorage]:  # noqa: ANN401
    """Open a storage on a new database of a server."""
    dsn = server.create_database()
    await migrate(dsn)
    async with await PostgresStorage.open(dsn, **settings) as storage:
        yield storage


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
