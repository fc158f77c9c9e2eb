"""Sessions of several workers in one PostgreSQL: slices, races, and rows that others hold."""

from __future__ import annotations

import asyncio
import random
from itertools import chain
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sage_native.exceptions import CapacityError, ConflictError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import ALICE, BOB, MINUTE_MS, clock_ms, nonce, row, wrapped
from sage_native.storage.postgres import PostgresStorage
from sage_native.storage.rows import Activity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sage_native.storage.postgres import PostgresSessionStore
    from sage_native.storage.rows import SessionRow


@pytest.fixture
async def workers(postgres_dsn: str) -> AsyncIterator[list[PostgresSessionStore]]:
    """The same store, as three workers see it."""
    storages = [
        await PostgresStorage.open(postgres_dsn, timeout_s=20, acquire_timeout_s=20)
        for _ in range(3)
    ]
    yield [storage.sessions("one") for storage in storages]
    for storage in storages:
        await storage.aclose()


async def _fill(sessions: PostgresSessionStore, rows: list[SessionRow]) -> list[str]:
    await asyncio.gather(*map(sessions.create, rows))
    return sorted(stored.session.session_id for stored in rows)


async def test_slices_miss_nobody(workers: list[PostgresSessionStore]) -> None:
    ids = await _fill(workers[0], [row() for _ in range(2500)])
    others = await _fill(workers[0], [row(wrapped(client_did=BOB)) for _ in range(20)])
    await workers[0].touch_many([Activity(key, clock_ms() + 5, 2) for key in ids * 2])
    statuses = await workers[1].status_many(ids)
    assert {status.messages for status in statuses.values()} == {4}
    assert len(statuses) == 2500
    deleted = list(chain(*await asyncio.gather(*(one.delete_of_did(ALICE) for one in workers))))
    assert sorted(deleted) == ids
    assert await workers[0].count() == 20
    assert sorted(await workers[0].delete_of_did(BOB)) == others


async def test_sweepers_share_the_work(workers: list[PostgresSessionStore]) -> None:
    now = clock_ms()
    silent = [row(idle_timeout_s=60, last_activity_ms=now - MINUTE_MS) for _ in range(2500)]
    await _fill(workers[0], silent)
    await _fill(workers[0], [row() for _ in range(10)])
    deleted = await asyncio.gather(*(one.delete_expired(now_ms=now) for one in workers))
    assert sum(deleted) + await workers[0].delete_expired(now_ms=now) == 2500
    assert await workers[0].count() == 10


async def test_a_session_that_is_used_meanwhile_is_not_swept(
    workers: list[PostgresSessionStore], postgres_dsn: str
) -> None:
    now = clock_ms()
    stored = row(idle_timeout_s=60, last_activity_ms=now - MINUTE_MS)
    await workers[0].create(stored)
    user = await asyncpg.connect(postgres_dsn)
    try:
        async with user.transaction():
            await user.execute("UPDATE sessions SET last_activity_ms = $1", now)
            assert await workers[0].delete_expired(now_ms=now) == 0
    finally:
        await user.close()
    assert await workers[0].delete_expired(now_ms=now) == 0
    assert await workers[0].get(stored.session.session_id) is not None


async def test_writers_in_any_order_never_wait_in_a_circle(
    workers: list[PostgresSessionStore],
) -> None:
    ids = await _fill(workers[0], [row() for _ in range(300)])
    forwards = [Activity(key, clock_ms() + 1, 1) for key in ids]
    rounds = [one.touch_many(order) for one in workers for order in (forwards, forwards[::-1]) * 5]
    await asyncio.gather(*rounds)
    statuses = await workers[0].status_many(ids)
    assert {status.messages for status in statuses.values()} == {30}
    doubles = [[row(wrapped(session_id=key)) for key in ids] for _ in workers]
    await workers[0].delete_of_did(ALICE)
    answers = await asyncio.gather(
        *(
            asyncio.gather(*map(one.create, rows), return_exceptions=True)
            for one, rows in zip(workers, (doubles[0], doubles[1][::-1], doubles[2]), strict=True)
        )
    )
    errors = [error for error in chain(*answers) if error is not None]
    assert {type(error) for error in errors} == {ConflictError}
    assert len(errors) == 600


async def test_workers_keep_a_limit_together(workers: list[PostgresSessionStore]) -> None:
    clients = [f"did:sage:client-{number}" for number in range(5)]
    calls = [
        one.create(row(wrapped(client_did=client)), client_limit=7)
        for one in workers
        for client in clients * 10
    ]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert errors.count(None) == 35
    assert {type(error) for error in errors if error} == {CapacityError}
    for client in clients:
        assert await workers[0].count(client_did=client) == 7


async def test_of_workers_that_advance_an_epoch_one_wins(
    workers: list[PostgresSessionStore],
) -> None:
    stored = row()
    key = stored.session.session_id
    await workers[0].create(stored)
    for epoch in range(1, 20):
        rivals = [wrapped(session_id=key, epoch=epoch) for _ in workers]
        errors = await asyncio.gather(
            *(
                one.advance(rival, from_epoch=epoch - 1)
                for one, rival in zip(workers, rivals, strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(map(str, map(type, errors))) == sorted(
            map(str, [ConflictError, ConflictError, type(None)])
        )
        found = await workers[0].get(key)
        assert found is not None
        assert found.session.wrapped_secret == rivals[errors.index(None)].wrapped_secret


async def test_loads_leave_connections_to_others(postgres_dsn: str) -> None:
    patient = {"timeout_s": 20.0, "acquire_timeout_s": 0.5}
    async with await PostgresStorage.open(postgres_dsn, max_size=4, **patient) as storage:  # type: ignore[arg-type]
        sessions = storage.sessions("one")
        rows = [row(metadata={"number": str(number)}) for number in range(200)]
        await asyncio.gather(*map(sessions.create, rows))
        missing = [row() for _ in range(56)]
        asked = random.sample([*rows, *missing, *rows[:50]], 306)
        user = await asyncpg.connect(postgres_dsn)
        try:
            async with user.transaction():
                await user.execute("LOCK TABLE sessions")
                loads = [asyncio.create_task(sessions.get(one.session.session_id)) for one in asked]
                given_up = [
                    asyncio.create_task(sessions.get(one.session.session_id)) for one in rows[:20]
                ]
                await asyncio.sleep(0.3)
                for task in (*given_up, loads[0]):
                    task.cancel()
                loads[1:1] = [
                    asyncio.create_task(sessions.get(one.session.session_id)) for one in rows[:20]
                ]
                asked[1:1] = rows[:20]
                await asyncio.sleep(0.3)
                # Nobody has been answered, and yet there is a connection for a nonce.
                assert not any(task.done() for task in loads[1:])
                assert await storage.nonces.admit_many([nonce()]) == [Outcome.FRESH]
        finally:
            await user.close()
        found = await asyncio.gather(*loads[1:])
        stored = {one.session.session_id: one for one in rows}
        assert found == [stored.get(one.session.session_id) for one in asked[1:]]
        assert found.count(None) in (55, 56)


async def test_a_load_that_found_no_connection_stands_in_nobodys_way(postgres_dsn: str) -> None:
    async with await PostgresStorage.open(
        postgres_dsn, min_size=1, max_size=1, timeout_s=5, acquire_timeout_s=0.2
    ) as storage:
        sessions = storage.sessions("one")
        stored = row()
        await sessions.create(stored)
        user = await asyncpg.connect(postgres_dsn)
        try:
            async with user.transaction():
                await user.execute("LOCK TABLE sessions")
                other = asyncio.create_task(sessions.count())
                await asyncio.sleep(0.1)
                with pytest.raises(StorageError, match="no connection free"):
                    await sessions.get(stored.session.session_id)
                given_up = asyncio.create_task(sessions.get(stored.session.session_id))
                await asyncio.sleep(0.05)
                given_up.cancel()
                await asyncio.wait([given_up])
        finally:
            await user.close()
        assert await other == 1
        assert not sessions._loads._one_is_under_way
        assert await sessions.get(stored.session.session_id) == stored


@pytest.mark.parametrize(
    "change",
    ["metadata = '[1]'", "metadata = '{\"a\": 1}'", "created_ms = -1"],
)
async def test_a_row_that_cannot_be_read_fails_its_own_caller_alone(
    postgres_dsn: str, change: str
) -> None:
    async with await PostgresStorage.open(postgres_dsn) as storage:
        sessions = storage.sessions("one")
        rows = [row() for _ in range(20)]
        await asyncio.gather(*map(sessions.create, rows))
        user = await asyncpg.connect(postgres_dsn)
        try:
            broken = rows[7].session.session_id
            await user.execute(f"UPDATE sessions SET {change} WHERE session_id = $1", broken)  # noqa: S608
        finally:
            await user.close()
        found = await asyncio.gather(
            *(sessions.get(one.session.session_id) for one in rows), return_exceptions=True
        )
        assert found[:7] + found[8:] == rows[:7] + rows[8:]
        assert isinstance(found[7], StorageError)
        assert "damaged" in str(found[7])
