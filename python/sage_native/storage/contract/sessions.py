"""What every session store must do."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import CapacityError, ConflictError, UsageError
from sage_native.storage.contract.made import ALICE, BOB, MINUTE_MS, clock_ms, row, wrapped
from sage_native.storage.rows import Activity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from sage_native.protocol import WrappedSession
    from sage_native.storage.base import SessionStore, Storage
    from sage_native.storage.rows import SessionRow

__all__ = ["SessionStoreContract"]

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


class SessionStoreContract:
    """Tests of `Storage.sessions`."""

    async def test_a_row_comes_back_as_it_was_stored(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(
            wrapped(epoch=4_294_967_295, kek_id="Schlüssel 1"),
            idle_timeout_s=7,
            last_activity_ms=1,
            metadata={"tenant": "ö\x01 \\ \" '; --", "": "empty"},
        )
        await sessions.create(stored)
        assert await sessions.get(stored.session.session_id) == stored

    async def test_a_restored_row_says_so_until_its_next_epoch(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(wrapped(epoch=3), restored=True)
        key = stored.session.session_id
        await sessions.create(stored)
        await sessions.advance(_same(stored.session, kek_id="kek-2"), from_epoch=3)
        rewrapped = await sessions.get(key)
        assert rewrapped is not None
        assert rewrapped.restored
        await sessions.advance(_same(stored.session, epoch=4), from_epoch=3)
        rekeyed = await sessions.get(key)
        assert rekeyed is not None
        assert not rekeyed.restored

    async def test_what_is_not_stored_is_none(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        assert await sessions.get(UNKNOWN_ID) is None
        assert not await sessions.delete(UNKNOWN_ID)
        assert not await sessions.describe(UNKNOWN_ID, {})
        assert await sessions.status_many([UNKNOWN_ID]) == {}
        assert await sessions.status_many([]) == {}
        await sessions.touch_many([Activity(UNKNOWN_ID, clock_ms())])
        await sessions.touch_many([])
        assert await sessions.get(UNKNOWN_ID) is None

    async def test_an_id_is_created_once(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        first = row()
        await sessions.create(first)
        with pytest.raises(ConflictError):
            await sessions.create(row(wrapped(session_id=first.session.session_id)))
        assert await sessions.get(first.session.session_id) == first

    async def test_of_concurrent_creations_one_wins(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        rivals = [row(wrapped(session_id=UNKNOWN_ID)) for _ in range(50)]
        errors = await _errors(sessions.create(rival) for rival in rivals)
        assert [type(error) for error in errors if error] == [ConflictError] * 49
        winner = rivals[errors.index(None)]
        assert await sessions.get(UNKNOWN_ID) == winner

    async def test_the_dids_beside_sessions_are_those_of_the_storage(
        self, storage: Storage
    ) -> None:
        beside = storage.sessions("one").dids
        if beside is not None:
            assert beside is storage.dids
            assert storage.sessions("two").dids is beside
            return
        with pytest.raises(UsageError, match="no DIDs beside it"):
            await storage.sessions("one").create(row(), unless_revoked=True)
        assert await storage.sessions("one").count() == 0

    async def test_stores_of_other_names_are_other_stores(self, storage: Storage) -> None:
        one, two = storage.sessions("one"), storage.sessions("two")
        assert (one.name, two.name) == ("one", "two")
        first, second = row(), row()
        await one.create(first)
        await two.create(second)
        assert await two.get(first.session.session_id) is None
        assert await one.count() == 1
        assert not await two.delete(first.session.session_id)
        assert await two.delete_of_did(ALICE) == [second.session.session_id]
        assert await storage.session_store_names() == ["one"]
        assert await storage.sessions("one").get(first.session.session_id) == first

    async def test_the_names_of_stores_have_1_to_255_bytes(self, storage: Storage) -> None:
        for name in ("", "ü" * 128):
            with pytest.raises(UsageError, match="1 to 255 bytes"):
                storage.sessions(name)
        await storage.sessions("x" * 255).create(row())

    async def test_an_epoch_is_advanced_once(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(metadata={"kept": "yes"})
        await sessions.create(stored)
        rivals = [_same(stored.session, epoch=1) for _ in range(50)]
        errors = await _errors(sessions.advance(rival, from_epoch=0) for rival in rivals)
        assert [type(error) for error in errors if error] == [ConflictError] * 49
        found = await sessions.get(stored.session.session_id)
        assert found is not None
        assert found.session == rivals[errors.index(None)]
        assert found.metadata == {"kept": "yes"}
        assert found.last_activity_ms == stored.last_activity_ms

    async def test_an_epoch_that_is_gone_is_not_advanced(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        with pytest.raises(ConflictError):
            await sessions.advance(wrapped(epoch=1), from_epoch=0)
        assert await sessions.count() == 0

    async def test_a_rewrap_loses_against_a_rekey_and_another_rewrap(
        self, storage: Storage
    ) -> None:
        sessions = storage.sessions("one")
        stored = row()
        await sessions.create(stored)
        second = _same(stored.session, kek_id="kek-2")
        await sessions.advance(second, from_epoch=0, from_kek_id="kek-1")
        with pytest.raises(ConflictError):
            await sessions.advance(
                _same(stored.session, kek_id="kek-3"), from_epoch=0, from_kek_id="kek-1"
            )
        await sessions.advance(_same(second, epoch=1), from_epoch=0)
        with pytest.raises(ConflictError):
            await sessions.advance(
                _same(stored.session, kek_id="kek-3"), from_epoch=0, from_kek_id="kek-2"
            )
        found = await sessions.get(stored.session.session_id)
        assert found is not None
        assert (found.session.epoch, found.session.kek_id) == (1, "kek-2")

    async def test_use_is_noted_never_backwards(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(last_activity_ms=1000)
        key = stored.session.session_id
        await sessions.create(stored)
        await sessions.touch_many([Activity(key, 3000, 2), Activity(UNKNOWN_ID, 3000, 1)])
        await sessions.touch_many([Activity(key, 2000, 5)])
        status = (await sessions.status_many([key, UNKNOWN_ID]))[key]
        assert (status.epoch, status.last_activity_ms, status.messages) == (0, 3000, 7)
        await asyncio.gather(
            *(sessions.touch_many([Activity(key, 3000 + step, 1)]) for step in range(20))
        )
        status = (await sessions.status_many([key]))[key]
        assert (status.last_activity_ms, status.messages) == (3019, 27)

    async def test_one_session_may_stand_twice_in_a_batch(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(last_activity_ms=1000)
        key = stored.session.session_id
        await sessions.create(stored)
        await sessions.touch_many([Activity(key, 3000, 2), Activity(key, 2000, 3)])
        status = (await sessions.status_many([key, key]))[key]
        assert (status.last_activity_ms, status.messages) == (3000, 5)

    async def test_metadata_is_replaced(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row(metadata={"a": "1"})
        await sessions.create(stored)
        assert await sessions.describe(stored.session.session_id, {"b": "2"})
        found = await sessions.get(stored.session.session_id)
        assert found is not None
        assert found.metadata == {"b": "2"}

    async def test_notes_that_some_store_could_not_keep_are_refused(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        for bad in ({"a": "\0"}, {"\0": "a"}, {"a": "\ud800"}, {"a": "x" * 8192}):
            with pytest.raises(UsageError, match="metadata"):
                row(metadata=bad)
            with pytest.raises(UsageError, match="metadata"):
                await sessions.describe(UNKNOWN_ID, bad)
        largest = row(metadata={"a": "ö" * 4095, "b": ""})
        await sessions.create(largest)
        assert await sessions.get(largest.session.session_id) == largest

    async def test_a_deleted_session_is_gone(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row()
        await sessions.create(stored)
        assert await sessions.delete(stored.session.session_id)
        assert await sessions.get(stored.session.session_id) is None
        assert await sessions.count() == 0
        assert await sessions.count(client_did=ALICE) == 0
        assert (await sessions.page(client_did=ALICE)).rows == ()
        await sessions.create(stored)

    async def test_a_did_takes_its_sessions_with_it(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        called = row(wrapped(client_did=ALICE, server_did=BOB))
        answered = row(wrapped(client_did="did:sage:carol", server_did=ALICE))
        other = row(wrapped(client_did="did:sage:carol", server_did=BOB))
        for stored in (called, answered, other):
            await sessions.create(stored)
        gone = await sessions.delete_of_did(ALICE)
        assert sorted(gone) == sorted([called.session.session_id, answered.session.session_id])
        assert await sessions.delete_of_did(ALICE) == []
        assert await sessions.get(other.session.session_id) == other
        assert await sessions.count() == 1

    async def test_the_old_and_the_silent_are_deleted(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        now = clock_ms()
        old = row(wrapped(created_ms=now - 2 * MINUTE_MS, expires_ms=now), last_activity_ms=now)
        silent = row(idle_timeout_s=60, last_activity_ms=now - MINUTE_MS)
        busy = row(idle_timeout_s=60, last_activity_ms=now - MINUTE_MS + 1)
        for stored in (old, silent, busy):
            await sessions.create(stored)
        assert await sessions.delete_expired(grace_ms=5000, now_ms=now) == 1
        assert await sessions.get(old.session.session_id) is None
        assert await sessions.delete_expired(now_ms=now) == 1
        assert await sessions.get(silent.session.session_id) is None
        assert await sessions.get(busy.session.session_id) == busy
        assert await sessions.count(client_did=ALICE) == 1

    async def test_pages_list_every_session_once(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        mine = [row() for _ in range(25)]
        others = [row(wrapped(client_did="did:sage:alice-2", kek_id="kek-2")) for _ in range(5)]
        for stored in mine + others:
            await sessions.create(stored)
        assert await _all_pages(sessions, client_did=ALICE, limit=10) == _ids(mine)
        assert await _all_pages(sessions, client_did=ALICE, limit=25) == _ids(mine)
        assert await _all_pages(sessions, kek_id="kek-2", limit=2) == _ids(others)
        assert await _all_pages(sessions, client_did=ALICE, kek_id="kek-2", limit=2) == []
        assert await _all_pages(sessions, limit=7) == _ids(mine + others)
        assert await sessions.count() == 30
        assert await sessions.count(client_did=ALICE) == 25

    async def test_a_page_goes_on_after_its_cursor_was_deleted(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        rows = [row() for _ in range(6)]
        for stored in rows:
            await sessions.create(stored)
        first = await sessions.page(limit=3)
        assert first.next_cursor is not None
        for stored in first.rows:
            await sessions.delete(stored.session.session_id)
        rest = await sessions.page(after=first.next_cursor, limit=1000)
        assert [stored.session.session_id for stored in rest.rows] == _ids(rows)[3:]
        assert rest.next_cursor is None

    async def test_a_page_has_1_to_1000_rows_and_a_cursor_of_ours(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        for limit in (0, 1001):
            with pytest.raises(UsageError, match="1 to 1000 rows"):
                await sessions.page(limit=limit)
        with pytest.raises(UsageError, match="next_cursor"):
            await sessions.page(after="'; DROP TABLE sessions; --")

    async def test_a_client_has_no_more_sessions_than_its_limit(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        rows = [row() for _ in range(30)]
        other = row(wrapped(client_did="did:sage:carol"))
        errors = await _errors(
            sessions.create(stored, client_limit=10) for stored in [*rows, other]
        )
        assert [type(error) for error in errors if error] == [CapacityError] * 20
        assert errors[-1] is None
        assert await sessions.count(client_did=ALICE) == 10
        kept = await _all_pages(sessions, client_did=ALICE, limit=100)
        assert kept == _ids(
            [stored for stored, error in zip(rows, errors, strict=False) if error is None]
        )
        await sessions.delete(kept[0])
        await sessions.create(row(), client_limit=10)
        with pytest.raises(CapacityError):
            await sessions.create(row(), client_limit=10)
        await sessions.create(row())

    async def test_a_double_is_a_conflict_even_at_the_limit(self, storage: Storage) -> None:
        sessions = storage.sessions("one")
        stored = row()
        await sessions.create(stored, client_limit=1)
        with pytest.raises(ConflictError):
            await sessions.create(stored, client_limit=1)

    async def test_of_many_that_are_begun_at_once_each_is_told_by_itself(
        self, storage: Storage
    ) -> None:
        sessions = storage.sessions("one")
        stored, rows = row(), [row() for _ in range(9)]
        await sessions.create(stored)
        other = row(wrapped(client_did="did:sage:carol"))
        wanted, is_told = [rows[0], stored, *rows[1:], other], asyncio.Event()
        told: dict[int, BaseException | None] = {}

        def tell(at: int, error: BaseException | None) -> None:
            assert at not in told
            told[at] = error
            if len(told) == len(wanted):
                is_told.set()

        sessions.begin_create_many(wanted, tell, client_limit=6)
        assert told == {}
        async with asyncio.timeout(10):
            await is_told.wait()
        errors = [told[at] for at in range(len(wanted))]
        assert isinstance(errors[1], ConflictError)
        assert Counter(type(error) for error in errors) == {
            type(None): 6,
            ConflictError: 1,
            CapacityError: 4,
        }
        assert errors[-1] is None
        kept = [one for one, error in zip(wanted, errors, strict=True) if error is None]
        assert await _all_pages(sessions, limit=100) == _ids([stored, *kept])


def _same(
    session: WrappedSession, *, epoch: int | None = None, kek_id: str | None = None
) -> WrappedSession:
    return wrapped(
        session_id=session.session_id,
        client_did=session.client_did,
        server_did=session.server_did,
        created_ms=session.created_ms,
        expires_ms=session.expires_ms,
        epoch=session.epoch if epoch is None else epoch,
        kek_id=session.kek_id if kek_id is None else kek_id,
    )


async def _errors(calls: Iterable[Awaitable[None]]) -> list[BaseException | None]:
    return await asyncio.gather(*calls, return_exceptions=True)


def _ids(rows: Sequence[SessionRow]) -> list[str]:
    return sorted(stored.session.session_id for stored in rows)


async def _all_pages(sessions: SessionStore, *, limit: int, **which: str) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = await sessions.page(after=after, limit=limit, **which)
        assert len(page.rows) <= limit
        found += [stored.session.session_id for stored in page.rows]
        after = page.next_cursor
        if after is None:
            return found
