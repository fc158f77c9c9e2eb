"""A primary that dies, and the standby on whose disk everything is that was acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.migrations import migrate
from sage_native.storage.postgres import PostgresStorage
from tests.integration.postgres_scenes import outcome_of
from tests.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.storage.rows import RequestNonce


@pytest.fixture
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    primary, standby = PostgresServer(), PostgresServer()
    try:
        primary.start()
        standby.follow(primary, name="second")
        primary.set("synchronous_standby_names", "second")
        yield primary, standby
    finally:
        standby.close()
        primary.close()


async def test_a_failover_forgets_no_nonce_that_was_acknowledged(
    pair: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = pair
    acknowledged: list[RequestNonce] = []
    dsn = primary.create_database()
    await migrate(dsn)
    failover = ReplayGuarantee.FAILOVER

    stop = asyncio.Event()

    async def admit_until_it_fails(storage: PostgresStorage) -> None:
        while not stop.is_set():
            request = nonce(end_ms=clock_ms() + 170_000)
            if await outcome_of(storage, request) is not Outcome.FRESH:
                return
            acknowledged.append(request)

    async with await PostgresStorage.open(dsn, guarantee=failover) as storage:
        assert storage.nonces.guarantee is failover
        with pytest.raises(StorageError, match="standby"):
            await PostgresStorage.open(standby.dsn(dsn.rpartition("/")[2]))
        workers = [asyncio.create_task(admit_until_it_fails(storage)) for _ in range(40)]
        while len(acknowledged) < 1000:
            await asyncio.sleep(0.01)
        # From here on nothing reaches the standby's disk, so nothing may be acknowledged.
        standby.freeze()
        await asyncio.sleep(2)
        stop.set()
        await asyncio.gather(*workers)
        standby.kill_9()
        primary.kill_9()
    standby.start()
    standby.promote()
    async with await PostgresStorage.open(standby.dsn(dsn.rpartition("/")[2])) as storage:
        # It cannot know that this standby had everything, so it asks for challenges for a while.
        assert not storage.nonces.is_complete()
        assert set(await storage.nonces.admit_many(acknowledged)) == {Outcome.REPLAY}
        assert await outcome_of(storage, nonce()) is Outcome.FRESH
