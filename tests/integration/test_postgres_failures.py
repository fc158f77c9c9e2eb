"""A PostgreSQL that is killed, silent, read-only or busy: closed in time, open again by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sage_native.exceptions import CapacityError, ConfigurationError, StorageError, UsageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce, row, wrapped
from sage_native.storage.rows import Activity
from tests.integration.postgres_scenes import closed, new_storage, outcome_of, recovered
from tests.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sage_native.storage.postgres import PostgresStorage
    from sage_native.storage.rows import RequestNonce, SessionRow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that is ill-treated, and well again after each test."""
    with PostgresServer() as server:
        yield server


def calls(storage: PostgresStorage, stored: SessionRow) -> list[Callable[[], Awaitable[object]]]:
    """One of each kind; those that write come first."""
    sessions, key = storage.sessions("one"), stored.session.session_id
    advanced = wrapped(session_id=key, epoch=1)
    return [
        lambda: sessions.create(row()),
        lambda: sessions.create(row(), client_limit=1000),
        lambda: sessions.touch_many([Activity(key, clock_ms(), 1)]),
        lambda: sessions.advance(advanced, from_epoch=0),
        lambda: sessions.describe(key, {"a": "b"}),
        lambda: sessions.delete_of_did("did:sage:nobody"),
        lambda: storage.nonces.admit("did:sage:alice", b"n", clock_ms() + 60_000),
        storage.nonces.mark_incomplete,
        storage.nonces.delete_expired,
        lambda: sessions.get(key),
        lambda: sessions.status_many([key]),
        sessions.page,
        storage.check,
    ]


@pytest.mark.parametrize("kills", [1, 3])
async def test_killed_under_load_it_forgets_no_nonce_that_was_acknowledged(
    server: PostgresServer, kills: int
) -> None:
    acknowledged: list[RequestNonce] = []
    unknown: list[RequestNonce] = []
    stop = asyncio.Event()

    async def admit_all_the_time(storage: PostgresStorage) -> None:
        while not stop.is_set():
            request = nonce(end_ms=clock_ms() + 170_000)
            outcome = await outcome_of(storage, request)
            assert outcome in {Outcome.FRESH, Outcome.UNKNOWN}
            (acknowledged if outcome is Outcome.FRESH else unknown).append(request)
            if outcome is Outcome.UNKNOWN:
                await asyncio.sleep(0.01)

    async with new_storage(server) as storage:
        workers = [asyncio.create_task(admit_all_the_time(storage)) for _ in range(40)]
        for _ in range(kills):
            before = len(acknowledged)
            while len(acknowledged) < before + 500:
                await asyncio.sleep(0.01)
            server.kill_9()
            failed = len(unknown)
            while len(unknown) < failed + 40:
                await asyncio.sleep(0.01)
            server.start()
            before = len(acknowledged)
            while len(acknowledged) < before + 40:  # recovered by itself
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*workers)
        again = await storage.nonces.admit_many(acknowledged)
        assert set(again) == {Outcome.REPLAY}
        # Those of unknown outcome were refused; now some are fresh and some are not, and then none.
        await storage.nonces.admit_many(unknown)
        assert set(await storage.nonces.admit_many(unknown)) == {Outcome.REPLAY}


async def test_a_silent_server_closes_every_call_and_it_recovers(server: PostgresServer) -> None:
    async with new_storage(server, max_size=3) as storage:
        stored = row()
        await storage.sessions("one").create(stored)
        every = calls(storage, stored)
        for _ in range(2):
            server.freeze()
            try:
                errors = await asyncio.gather(*(closed(call) for call in every * 3))
            finally:
                server.thaw()
            assert {type(error) for error in errors} == {StorageError}
            await recovered(storage.check)
            assert await storage.sessions("one").get(stored.session.session_id) is not None
        for call in every:
            if call is not every[3]:  # the epoch was advanced by one that was given up, or not
                await call()


async def test_a_batch_to_a_silent_server_is_unknown(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        requests = [nonce() for _ in range(2500)]
        server.freeze()
        try:
            outcomes = await storage.nonces.admit_many(requests)
        finally:
            server.thaw()
        assert outcomes == [Outcome.UNKNOWN] * 2500
        await recovered(storage.check)


async def test_a_server_that_is_gone_closes_every_call_and_it_recovers(
    server: PostgresServer,
) -> None:
    async with new_storage(server) as storage:
        stored = row()
        await storage.sessions("one").create(stored)
        server.stop()
        try:
            await asyncio.gather(*(closed(call) for call in calls(storage, stored)))
        finally:
            server.start()
        await recovered(storage.check)
        assert await storage.sessions("one").get(stored.session.session_id) == stored


async def test_a_pool_that_is_exhausted_closes_and_recovers(server: PostgresServer) -> None:
    async with new_storage(server, max_size=2) as storage:
        sessions = storage.sessions("one")
        stored = row()
        await sessions.create(stored)
        database = storage.label.split()[1]
        admin = await asyncpg.connect(server.dsn(database, user="postgres"))
        try:
            async with admin.transaction():
                await admin.execute("LOCK TABLE sessions")
                errors = await asyncio.gather(
                    *(closed(lambda: sessions.delete(stored.session.session_id)) for _ in range(10))
                )
            texts = [str(error) for error in errors]
            assert sum("no connection free" in text for text in texts) == 8
        finally:
            await admin.close()
        await recovered(lambda: sessions.get(stored.session.session_id))
        assert await sessions.get(stored.session.session_id) == stored


async def test_a_server_that_takes_no_writes_closes_them_and_it_recovers(
    server: PostgresServer,
) -> None:
    async with new_storage(server) as storage:
        stored = row()
        await storage.sessions("one").create(stored)
        server.set("default_transaction_read_only", "on")
        try:
            for call in calls(storage, stored)[:9]:
                error = await closed(call)
                assert isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError)
            with pytest.raises(StorageError, match="takes no writes"):
                await storage.check()
            assert await storage.sessions("one").get(stored.session.session_id) == stored
        finally:
            server.set("default_transaction_read_only", "off")
        await storage.check()
        assert await outcome_of(storage, nonce()) is Outcome.FRESH


async def test_a_full_disk_is_said_to_be_full(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        database = storage.label.split()[1]
        full = "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'"
        server.sql(
            f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {full}; END $$",
            database=database,
        )
        for table in ("nonces", "sessions"):
            server.sql(
                f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW "
                "EXECUTE FUNCTION full_disk()",
                database=database,
            )
        request = nonce()
        assert await storage.nonces.admit_many([request]) == [Outcome.FULL]
        with pytest.raises(CapacityError):
            await storage.nonces.admit("did:sage:alice", b"n", clock_ms() + 60_000)
        for limit in (None, 10):
            with pytest.raises(CapacityError, match="no room"):
                await storage.sessions("one").create(row(), client_limit=limit)
        server.sql("DROP FUNCTION full_disk CASCADE", database=database)
        assert await storage.nonces.admit_many([request]) == [Outcome.FRESH]
        await storage.sessions("one").create(row(), client_limit=10)


async def test_a_row_that_is_refused_fails_its_own_caller_alone(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        sessions = storage.sessions("one")
        rows = [row() for _ in range(60)]
        rows[17] = row(wrapped(kek_id="\0"))
        rows[41] = row(idle_timeout_s=0)
        rows[42] = row(last_activity_ms=2**63)
        errors = await asyncio.gather(*map(sessions.create, rows), return_exceptions=True)
        failed = [place for place, error in enumerate(errors) if error is not None]
        assert failed == [17, 41, 42]
        assert all(isinstance(errors[place], UsageError) for place in failed)
        assert await sessions.count() == 57


async def test_calls_after_the_end_are_refused(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        stored = row()
        every = calls(storage, stored)
    for call in every:
        with pytest.raises(StorageError, match="closed"):
            await call()
    await storage.aclose()


async def test_a_server_that_became_weaker_is_refused(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        server.set("fsync", "off")
        try:
            error = await closed(storage.nonces.delete_expired)
            assert isinstance(error.__cause__, ConfigurationError)
            error = await closed(lambda: storage.nonces.admit("a", b"n", clock_ms() + 60_000))
            assert "fsync" in str(error)
        finally:
            server.set("fsync", "on")
        await storage.nonces.delete_expired()
        assert await outcome_of(storage, nonce()) is Outcome.FRESH
