"""What the writer of an SQLite file remembers of its clients' sessions, and when it counts anew."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import AuthenticationError, CapacityError, StorageError
from sage_native.storage.contract.made import ALICE, BOB, did_record, row, wrapped
from sage_native.storage.sqlite import SqliteStorage, room
from sage_native.storage.sqlite.room import Room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sage_native.storage.rows import SessionRow

STORE = "one"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sage.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    async with await SqliteStorage.open(path) as storage:
        yield storage


class Asked:
    """A connection, and the statements that it was asked which count."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.counted: list[str] = []
        self.connection.set_trace_callback(self._note)

    def _note(self, statement: str) -> None:
        if "count(*)" in statement:
            self.counted.append(statement)

    def is_free(self, known: Room, limit: int | None, **new: int) -> bool:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            return known.is_free(self.connection, STORE, new, limit)
        finally:
            self.connection.execute("COMMIT")

    def count_of(self) -> int:
        count, self.counted = len(self.counted), []
        return count


@pytest.fixture
def asked(path: Path, storage: SqliteStorage) -> Iterator[Asked]:
    del storage  # it has made the file
    made = Asked(path)
    with closing(made.connection):
        yield made


def of(client_did: str) -> SessionRow:
    return row(wrapped(client_did=client_did))


async def test_what_was_counted_is_not_counted_again(asked: Asked) -> None:
    known = Room()
    assert asked.is_free(known, 3, a=1, b=2)
    assert asked.count_of() == 1
    known.take("aabb")
    assert asked.is_free(known, 3, a=1)
    assert asked.is_free(known, 3, a=1, b=1)
    assert asked.count_of() == 0
    # It was noted that they are full, and nothing was inserted: they are not.
    known.take("b")
    assert asked.is_free(known, 3, b=1)
    assert asked.count_of() == 1


async def test_a_client_that_was_not_counted_is(asked: Asked) -> None:
    known = Room()
    assert asked.is_free(known, 3, a=1)
    assert asked.is_free(known, 3, a=1, b=1)
    assert asked.count_of() == 2
    assert not asked.is_free(known, 0, c=1)


async def test_without_a_limit_nothing_is_counted(asked: Asked) -> None:
    assert asked.is_free(Room(), None, a=1000)
    assert asked.count_of() == 0


async def test_who_is_revoked_is_seen_although_it_is_known(
    asked: Asked, storage: SqliteStorage
) -> None:
    known = Room()
    await storage.dids.put(did_record(ALICE))
    assert asked.is_free(known, 3, **{ALICE: 1})
    await storage.dids.revoke(ALICE)
    assert not asked.is_free(known, 3, **{ALICE: 1})
    assert not asked.is_free(known, None, **{ALICE: 1, BOB: 1})
    assert asked.is_free(known, 3, **{BOB: 1})


async def test_what_another_connection_has_stored_counts(
    asked: Asked, storage: SqliteStorage
) -> None:
    known, sessions = Room(), storage.sessions(STORE)
    assert asked.is_free(known, 2, **{ALICE: 2})
    await sessions.create(of(ALICE))
    assert not asked.is_free(known, 2, **{ALICE: 2})
    assert asked.is_free(known, 2, **{ALICE: 1})
    await sessions.create(of(BOB))
    assert asked.is_free(known, 2, **{ALICE: 1})
    await sessions.create(of(ALICE))
    assert not asked.is_free(known, 2, **{ALICE: 1})


async def test_another_connection_knows_nothing(asked: Asked, path: Path) -> None:
    known, other = Room(), Asked(path)
    with closing(other.connection):
        assert asked.is_free(known, 3, a=1)
        known.take("aaa")
        assert other.is_free(known, 3, a=1)
        assert other.count_of() == 1


async def test_no_more_are_remembered_than_there_is_place(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_REMEMBERED", 3)
    known = Room()
    assert asked.is_free(known, 3, a=1, b=1)
    assert asked.is_free(known, 3, c=1)
    assert asked.is_free(known, 3, a=1, b=1)
    assert asked.count_of() == 2
    assert asked.is_free(known, 3, d=1)
    assert asked.count_of() == 1
    assert asked.is_free(known, 3, a=1)
    assert asked.count_of() == 1


@pytest.mark.parametrize("batch_len", [1, 7])
async def test_two_workers_together_store_no_more_than_the_limit(
    path: Path, storage: SqliteStorage, batch_len: int
) -> None:
    async with await SqliteStorage.open(path) as other:
        stores = [storage.sessions(STORE), other.sessions(STORE)]
        stored_count = 0
        for at in range(12):
            outcomes = await asyncio.gather(
                *(
                    stores[at % 2].create(of(ALICE), client_limit=20, unless_revoked=True)
                    for _ in range(batch_len)
                ),
                return_exceptions=True,
            )
            stored_count += outcomes.count(None)
            assert {type(one) for one in outcomes} <= {type(None), CapacityError}
        assert stored_count == await stores[0].count() == min(20, 12 * batch_len)


async def test_who_was_full_has_room_once_a_session_is_gone(storage: SqliteStorage) -> None:
    sessions, first = storage.sessions(STORE), of(ALICE)
    await sessions.create(first, client_limit=2)
    await sessions.create(of(ALICE), client_limit=2)
    with pytest.raises(CapacityError):
        await sessions.create(of(ALICE), client_limit=2)
    assert await sessions.delete(first.session.session_id)
    await sessions.create(of(ALICE), client_limit=2)


async def test_who_is_revoked_here_stores_nothing_more(storage: SqliteStorage) -> None:
    sessions = storage.sessions(STORE)
    await storage.dids.put(did_record(ALICE))
    await sessions.create(of(ALICE), client_limit=9, unless_revoked=True)
    await storage.dids.revoke(ALICE)
    with pytest.raises(AuthenticationError):
        await sessions.create(of(ALICE), client_limit=9, unless_revoked=True)
    assert await sessions.count() == 1


async def test_what_was_counted_in_a_transaction_that_was_undone_is_forgotten(
    storage: SqliteStorage,
) -> None:
    sessions, writer = storage.sessions(STORE), storage._writer
    for _ in range(3):
        await sessions.create(of(ALICE), client_limit=3)
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    deleted_counts: list[int] = []

    def delete(connection: sqlite3.Connection) -> None:
        if deleted_counts:  # it is tried alone, and the disk is as full as before
            raise full
        deleted_counts.append(connection.execute("DELETE FROM sessions").rowcount)

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself
        raise full

    outcomes = await asyncio.gather(
        writer.ask_alone(delete),
        sessions.create(of(ALICE), client_limit=3),
        writer.ask_alone(fill),
        return_exceptions=True,
    )
    assert deleted_counts == [3]
    assert [type(one) for one in outcomes] == [StorageError, CapacityError, StorageError]
    assert await sessions.count() == 3


async def test_who_has_no_limit_takes_room_from_who_has(storage: SqliteStorage) -> None:
    sessions = storage.sessions(STORE)
    await sessions.create(of(ALICE), client_limit=2)
    outcomes = await asyncio.gather(
        sessions.create(of(ALICE)),
        sessions.create(of(ALICE), client_limit=2),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes] == [type(None), CapacityError]
