"""A revocation and a creation that meet, held at each point of their order by somebody's lock."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sage_native.exceptions import AuthenticationError
from sage_native.storage.contract.made import ALICE, did_record, row
from sage_native.storage.postgres import PostgresStorage
from sage_native.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMITS = pytest.mark.parametrize("limit", [None, 10])

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


@pytest.fixture
async def storage(postgres_dsn: str) -> AsyncIterator[PostgresStorage]:
    async with await PostgresStorage.open(postgres_dsn, timeout_s=5) as storage:
        yield storage


@pytest.fixture
async def other(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def waits(other: asyncpg.Connection) -> None:
    """Wait until somebody waits for a lock."""
    async with asyncio.timeout(5):
        while not await other.fetchval(_WAITING):
            await asyncio.sleep(0.01)


class TestPostgres:
    @LIMITS
    async def test_the_row_comes_after_the_deletion(
        self, storage: PostgresStorage, other: asyncpg.Connection, limit: int | None
    ) -> None:
        """The statement that inserts begins before the revocation, and ends after the deletion."""
        sessions, stored = storage.sessions("one"), row()
        await storage.dids.put(did_record(ALICE))
        await other.execute("BEGIN")
        await other.execute(
            "INSERT INTO sessions (store_name, session_id, client_did, server_did, created_ms,"
            " expires_ms, epoch, kek_id, wrapped_secret, idle_timeout_s, last_activity_ms)"
            " VALUES ('one', $1, 'x', 'y', 1, 1, 0, 'k', '', 1, 1)",
            stored.session.session_id,
        )
        creating = asyncio.create_task(
            sessions.create(stored, client_limit=limit, unless_revoked=True)
        )
        await waits(other)
        assert await storage.dids.revoke(ALICE)
        assert await sessions.delete_of_did(ALICE) == []
        await other.execute("ROLLBACK")
        with pytest.raises(AuthenticationError):
            await creating
        assert await sessions.count() == 0

    @LIMITS
    async def test_the_revocation_comes_between_the_row_and_the_look(
        self, storage: PostgresStorage, other: asyncpg.Connection, limit: int | None
    ) -> None:
        sessions = storage.sessions("one")
        await storage.dids.put(did_record(ALICE))
        await other.execute("BEGIN")
        await other.execute("LOCK TABLE dids IN ACCESS EXCLUSIVE MODE")
        creating = asyncio.create_task(
            sessions.create(row(), client_limit=limit, unless_revoked=True)
        )
        await waits(other)
        assert await sessions.count() == 1, "the row is there before anybody looks"
        await other.execute("UPDATE dids SET revoked_ms = 1 WHERE did = $1", ALICE)
        await other.execute("COMMIT")
        with pytest.raises(AuthenticationError):
            await creating
        assert await sessions.count() == 0
        assert await sessions.delete_of_did(ALICE) == []

    async def test_the_deletion_comes_between_the_look_and_the_taking_back(
        self, storage: PostgresStorage, other: asyncpg.Connection
    ) -> None:
        """Who is refused is refused, whoever deletes the row."""
        sessions, stored = storage.sessions("one"), row()
        await storage.dids.put(did_record(ALICE))
        await other.execute("BEGIN")
        await other.execute("LOCK TABLE dids IN ACCESS EXCLUSIVE MODE")
        creating = asyncio.create_task(sessions.create(stored, unless_revoked=True))
        await waits(other)
        await other.execute("UPDATE dids SET revoked_ms = 1 WHERE did = $1", ALICE)
        await other.execute("DELETE FROM sessions WHERE session_id = $1", stored.session.session_id)
        await other.execute("COMMIT")
        with pytest.raises(AuthenticationError):
            await creating
        assert await sessions.count() == 0

    async def test_a_revocation_without_a_registration_is_seen(
        self, storage: PostgresStorage, other: asyncpg.Connection
    ) -> None:
        """There is no row of the DID that a creation could lock."""
        sessions, stored = storage.sessions("one"), row()
        await other.execute("BEGIN")
        await other.execute("LOCK TABLE dids IN ACCESS EXCLUSIVE MODE")
        creating = asyncio.create_task(sessions.create(stored, unless_revoked=True))
        await waits(other)
        await other.execute(
            "INSERT INTO dids (did, keys, created_ms, revoked_ms) VALUES ($1, $2, 1, 1)",
            ALICE,
            [bytes(32)],
        )
        await other.execute("COMMIT")
        with pytest.raises(AuthenticationError):
            await creating
        assert await sessions.count() == 0

    async def test_a_creation_that_was_answered_is_found_by_the_deletion(
        self, storage: PostgresStorage
    ) -> None:
        sessions, stored = storage.sessions("one"), row()
        await storage.dids.put(did_record(ALICE))
        await sessions.create(stored, unless_revoked=True)
        await storage.dids.revoke(ALICE)
        assert await sessions.delete_of_did(ALICE) == [stored.session.session_id]


@LIMITS
async def test_sqlite_sees_what_was_revoked_while_it_waited(
    tmp_path: Path, limit: int | None
) -> None:
    """By another process, which held the file when the creation was asked for."""
    path = tmp_path / "sage.db"
    async with await SqliteStorage.open(path, timeout_s=5) as storage:
        sessions = storage.sessions("one")
        await storage.dids.put(did_record(ALICE))
        await sessions.create(row(), client_limit=limit, unless_revoked=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            creating = sessions.begin_create(row(), client_limit=limit, unless_revoked=True)
            await asyncio.sleep(0.05)
            other.execute("UPDATE dids SET revoked_ms = 1")
            other.execute("DELETE FROM sessions WHERE client_did = ?", (ALICE,))
            other.execute("COMMIT")
        with pytest.raises(AuthenticationError):
            await creating
        assert await sessions.count() == 0


async def test_sqlite_decides_in_the_order_of_the_questions(tmp_path: Path) -> None:
    """All in one batch: what is asked before a revocation is found by the deletion after it."""
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        sessions, first, last = storage.sessions("one"), row(), row()
        await storage.dids.put(did_record(ALICE))
        _, is_revoked, deleted = await asyncio.gather(
            sessions.create(first, unless_revoked=True),
            storage.dids.revoke(ALICE),
            sessions.delete_of_did(ALICE),
        )
        assert is_revoked
        assert deleted == [first.session.session_id]
        with pytest.raises(AuthenticationError):
            await sessions.create(last, unless_revoked=True)
        assert await sessions.count() == 0
