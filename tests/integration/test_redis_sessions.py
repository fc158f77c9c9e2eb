"""Sessions in Redis beyond the contract: many of them, and lists that agree with the rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import CapacityError, StorageError
from sage_native.storage.contract.made import ALICE, BOB, MINUTE_MS, clock_ms, row, wrapped
from sage_native.storage.redis import RedisStorage
from sage_native.storage.redis.sessions import SCRIPT_LEN
from sage_native.storage.rows import Activity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import SessionRow
    from tests.servers.redis import RedisServer

MANY = 2 * SCRIPT_LEN + 100


@pytest.fixture
async def storage(redis_server: RedisServer) -> AsyncIterator[RedisStorage]:
    redis_server.flush()
    async with await RedisStorage.open(redis_server.url, timeout_s=10) as storage:
        yield storage


async def _create(sessions: SessionStore, rows: list[SessionRow]) -> None:
    await asyncio.gather(*map(sessions.create, rows))


async def test_more_sessions_than_one_script_handles(storage: RedisStorage) -> None:
    sessions = storage.sessions("one")
    now = clock_ms()
    rows = [
        row(wrapped(kek_id="kek-2" if number % 100 == 99 else "kek-1"), last_activity_ms=now)
        for number in range(MANY)
    ]
    await _create(sessions, rows)
    keys = [stored.session.session_id for stored in rows]
    await sessions.touch_many([Activity(key, now + number, 3) for number, key in enumerate(keys)])
    status = await sessions.status_many(keys)
    assert [status[key].last_activity_ms for key in keys] == [now + at for at in range(MANY)]
    assert {one.messages for one in status.values()} == {3}
    # Few of many: several scripts look for one page.
    page = await sessions.page(client_did=ALICE, kek_id="kek-2", limit=1000)
    assert [one.session.session_id for one in page.rows] == sorted(keys[99::100])
    assert page.next_cursor is None
    page = await sessions.page(limit=1000)
    assert [one.session.session_id for one in page.rows] == sorted(keys)[:1000]
    assert page.next_cursor == sorted(keys)[999]
    assert sorted(await sessions.delete_of_did(BOB)) == sorted(keys)
    assert await sessions.count() == 0


async def test_what_is_within_its_grace_does_not_hide_what_is_over(storage: RedisStorage) -> None:
    sessions = storage.sessions("one")
    now = clock_ms()
    silent = [row(idle_timeout_s=60, last_activity_ms=now - MINUTE_MS - 1000) for _ in range(MANY)]
    # Over by age, but last in the order in which they are looked at.
    old = [row(wrapped(created_ms=now - MINUTE_MS, expires_ms=now - 1)) for _ in range(50)]
    await _create(sessions, silent + old)
    assert await sessions.delete_expired(grace_ms=5000, now_ms=now) == 50
    assert await sessions.count() == MANY
    assert await sessions.delete_expired(now_ms=now) == MANY
    assert await sessions.count() == 0


async def test_lists_keep_nothing_of_what_is_gone(
    redis_server: RedisServer, storage: RedisStorage
) -> None:
    sessions = storage.sessions("one")
    before = redis_server.execute("DBSIZE")
    rows = [row(wrapped(client_did=f"did:sage:{number % 7}")) for number in range(60)]
    await _create(sessions, rows)
    for stored in rows[::2]:
        session = stored.session
        rekeyed = wrapped(
            session_id=session.session_id,
            client_did=session.client_did,
            created_ms=session.created_ms,
            expires_ms=session.expires_ms,
            epoch=1,
            kek_id="kek-2",
        )
        await sessions.advance(rekeyed, from_epoch=0, from_kek_id="kek-1")
        await sessions.describe(session.session_id, {"seen": "yes"})
    await sessions.touch_many([Activity(one.session.session_id, clock_ms(), 1) for one in rows])
    for stored in rows[:20]:
        assert await sessions.delete(stored.session.session_id)
    await sessions.delete_of_did("did:sage:3")
    await sessions.delete_expired(now_ms=clock_ms() + 100 * MINUTE_MS)
    assert await sessions.count() == 0
    assert redis_server.execute("DBSIZE") == before + 1  # the names of stores
    assert await storage.session_store_names() == []


async def test_an_id_without_a_row_is_passed_over_and_removed(
    redis_server: RedisServer, storage: RedisStorage
) -> None:
    """As a script leaves it that is cut short while its slot moves."""
    sessions = storage.sessions("one")
    rows = sorted((row() for _ in range(5)), key=lambda one: one.session.session_id)
    await _create(sessions, rows)
    redis_server.execute("DEL", f"{{sage:s:one}}:row:{rows[2].session.session_id}")
    page = await sessions.page(client_did=ALICE)
    assert list(page.rows) == rows[:2] + rows[3:]
    assert await sessions.count(client_did=ALICE) == 4
    assert await sessions.delete_expired(now_ms=clock_ms() + 100 * MINUTE_MS) == 4
    await sessions.page()
    assert await sessions.count() == 0


async def test_an_edited_row_is_an_error_of_that_session(
    redis_server: RedisServer, storage: RedisStorage
) -> None:
    sessions = storage.sessions("one")
    rows = [row() for _ in range(4)]
    await _create(sessions, rows)
    edits = [("epoch", "-1"), ("expires_ms", "soon"), ("metadata", "{")]
    for stored, (field, value) in zip(rows, edits, strict=False):
        key = f"{{sage:s:one}}:row:{stored.session.session_id}"
        redis_server.execute("HSET", key, field, value)
        with pytest.raises(StorageError, match=f"{stored.session.session_id} was edited"):
            await sessions.get(stored.session.session_id)
    assert await sessions.get(rows[3].session.session_id) == rows[3]


async def test_a_limit_is_exact_over_several_workers(
    redis_server: RedisServer, storage: RedisStorage
) -> None:
    async with await RedisStorage.open(redis_server.url, timeout_s=10) as other:
        results = await asyncio.gather(
            *(
                worker.sessions("one").create(row(), client_limit=37)
                for _ in range(100)
                for worker in (storage, other)
            ),
            return_exceptions=True,
        )
    refused = [result for result in results if result is not None]
    assert {type(result) for result in refused} == {CapacityError}
    assert len(refused) == 200 - 37
    assert await storage.sessions("one").count(client_did=ALICE) == 37


async def test_names_are_noted_again_after_a_flush(
    redis_server: RedisServer, storage: RedisStorage
) -> None:
    sessions = storage.sessions("one")
    await sessions.create(row())
    redis_server.flush()
    assert await storage.session_store_names() == []
    await sessions.create(row())
    assert await storage.session_store_names() == ["one"]
