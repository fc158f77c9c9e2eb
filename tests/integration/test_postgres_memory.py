"""A memory that is not what it was: nobody who was told that nothing is missing hears "fresh"."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce
from sage_native.storage.postgres import PostgresStorage
from tests.integration.postgres_scenes import (
    RECOVERED_WITHIN_S,
    database_of,
    new_storage,
    outcome_of,
)
from tests.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sage_native.storage.rows import RequestNonce

    Admit = Callable[[PostgresStorage, RequestNonce], Awaitable[Outcome]]

FRESH, REPLAY, UNKNOWN = Outcome.FRESH, Outcome.REPLAY, Outcome.UNKNOWN


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def _first(storage: PostgresStorage, request: RequestNonce) -> Outcome:
    return (await storage.nonces.admit_many([request]))[0]


admissions = pytest.mark.parametrize("admit", [outcome_of, _first])


async def _admitted_in_time(storage: PostgresStorage) -> RequestNonce:
    request = nonce(end_ms=clock_ms() + 170_000)
    assert storage.nonces.is_complete()
    assert await outcome_of(storage, request) is FRESH
    assert await outcome_of(storage, request) is REPLAY
    return request


@admissions
async def test_a_new_timeline_that_an_admission_finds_itself(
    server: PostgresServer, admit: Admit
) -> None:
    # No connection is kept, so none is made but by the admission.
    async with new_storage(server, remembers_since_ms=1, min_size=0) as storage:
        request = await _admitted_in_time(storage)
        # As on a standby that lacked the last nonce and took over.
        server.sql("DELETE FROM nonces", database=database_of(storage))
        server.begin_new_timeline()
        told, outcomes = [], []
        deadline = asyncio.get_running_loop().time() + RECOVERED_WITHIN_S
        while storage.nonces.is_complete():
            told.append(storage.nonces.is_complete())
            outcomes.append(await admit(storage, request))
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert all(told)
        assert FRESH not in outcomes
        assert await admit(storage, nonce()) is FRESH, "to those who were told"


@admissions
async def test_a_mark_of_another_process_is_seen_by_the_next_admission(
    server: PostgresServer, admit: Admit
) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        request = await _admitted_in_time(storage)
        async with await PostgresStorage.open(server.dsn(database_of(storage))) as other:
            server.sql("TRUNCATE nonces", database=database_of(storage))
            await other.nonces.mark_incomplete()
            assert storage.nonces.is_complete(), "nobody told it yet"
            assert await admit(storage, request) is UNKNOWN
            assert not storage.nonces.is_complete()
            assert storage.nonces.remembers_since_ms == other.nonces.remembers_since_ms
        assert await admit(storage, request) is REPLAY
        assert await admit(storage, nonce()) is FRESH


async def test_a_mark_in_the_middle_of_many_batches(server: PostgresServer) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        requests = [nonce(end_ms=clock_ms() + 170_000) for _ in range(2500)]
        known = await _admitted_in_time(storage)
        async with await PostgresStorage.open(server.dsn(database_of(storage))) as other:
            await other.nonces.mark_incomplete()
        # All were asked at once, so what the first slice learns does not help the others.
        outcomes = await storage.nonces.admit_many([known, *requests])
        assert outcomes == [REPLAY] + [UNKNOWN] * 2500
        assert await storage.nonces.admit_many([nonce()]) == [FRESH]


async def test_each_question_of_a_batch_is_answered_by_what_it_knew(
    server: PostgresServer,
) -> None:
    async with new_storage(server, remembers_since_ms=7) as storage:
        end_ms = clock_ms() + 60_000
        asked = [(bytes([number]) * 16, end_ms, 6 + number % 2) for number in range(10)]
        assert await storage.nonces._admit(asked) == [UNKNOWN, FRESH] * 5
        assert await storage.nonces._admit(asked) == [REPLAY] * 10


async def test_an_answer_that_comes_late_takes_nothing_back(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        later = clock_ms() + 1000
        await storage.nonces.mark_incomplete(now_ms=later)
        await storage.nonces.mark_incomplete(now_ms=5)
        storage.nonces._learn(5)
        assert storage.nonces.remembers_since_ms == later


async def test_a_copy_by_template_is_noticed(server: PostgresServer) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        await _admitted_in_time(storage)
    copy = server.create_database(template=database_of(storage))
    before = clock_ms()
    async with await PostgresStorage.open(copy) as copied:
        assert not copied.nonces.is_complete()
        since_ms = copied.nonces.remembers_since_ms
        assert since_ms >= before
    async with await PostgresStorage.open(copy) as again:
        assert again.nonces.remembers_since_ms == since_ms, "noted once"
    async with await PostgresStorage.open(server.dsn(database_of(storage))) as original:
        assert original.nonces.is_complete()


async def test_a_dump_that_is_loaded_elsewhere_is_noticed(server: PostgresServer) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        request = await _admitted_in_time(storage)
    dsn = server.create_database()
    server.load(dsn.rpartition("/")[2], server.dump(database_of(storage)))
    async with await PostgresStorage.open(dsn) as loaded:
        assert not loaded.nonces.is_complete()
        assert await outcome_of(loaded, request) is REPLAY


@admissions
async def test_a_dump_that_is_loaded_under_a_running_process_is_noticed(
    server: PostgresServer, admit: Admit
) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        database = database_of(storage)
        dump = server.dump(database)
        request = await _admitted_in_time(storage)
        server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database=database)
        with pytest.raises(StorageError):
            await storage.nonces.admit("a", b"n", clock_ms() + 60_000)
        server.sql("GRANT ALL ON SCHEMA public TO sage", database=database)
        server.load(database, dump)
        assert storage.nonces.is_complete(), "its connections are the same"
        assert await admit(storage, request) is UNKNOWN
        assert not storage.nonces.is_complete()
        assert await admit(storage, nonce()) is FRESH


async def test_a_memory_that_is_missing_is_no_answer(server: PostgresServer) -> None:
    async with new_storage(server) as storage:
        server.sql("DELETE FROM replay_memory", database=database_of(storage))
        assert await outcome_of(storage, nonce()) is UNKNOWN
        with pytest.raises(StorageError, match="lost the row"):
            await PostgresStorage.open(server.dsn(database_of(storage)))
