"""Sessions in SQLite.

Questions that come in crowds (a new session, one row) are joined; what one of them answers about
many rows comes as one row of JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sage_native.exceptions import CapacityError, ConflictError, StorageError
from sage_native.storage.base import SessionStore, check_page, check_store_name, now_or_clock
from sage_native.storage.rows import Page, SessionStatus, check_metadata
from sage_native.storage.sqlite import session_rows
from sage_native.storage.sqlite.creation import Creation, create_many
from sage_native.storage.sqlite.room import Room

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Mapping, Sequence
    from contextvars import Context

    from sage_native.protocol import WrappedSession
    from sage_native.storage.base import Told
    from sage_native.storage.rows import Activity, SessionRow
    from sage_native.storage.sqlite.dids import SqliteDidStore
    from sage_native.storage.sqlite.reader import Reader
    from sage_native.storage.sqlite.writer import Writer

__all__ = ["SqliteSessionStore"]

_SLICE_LEN = 5000
"""How many rows are looked at, or deleted, at a time."""
_MOST_SORTED = 5000
"""The most sessions of one client that are sorted for a page."""

_OF_IDS = "WHERE store_name = ?1 AND session_id IN (SELECT value FROM json_each(?2)))"
_TOUCH = """
UPDATE sessions SET
    last_activity_ms = max(last_activity_ms, json_extract(used.value, '$[0]')),
    messages = messages + json_extract(used.value, '$[1]')
FROM json_each(?2) AS used
WHERE store_name = iif(used.key IS NULL, NULL, ?1) AND session_id = used.key
"""
# Left alone, SQLite goes through all rows of the store and looks for each in what was used.
_ADVANCE = """
UPDATE sessions SET wrapped_secret = ?1, epoch = ?2, kek_id = ?3,
    restored = restored AND epoch = ?2
WHERE store_name = ?4 AND session_id = ?5 AND epoch = ?6 AND coalesce(kek_id = ?7, TRUE)
"""
_STATUS = """
SELECT json_group_object(session_id, json_array(epoch, last_activity_ms, messages)) FROM sessions
WHERE store_name = ?1 AND session_id IN (SELECT value FROM json_each(?2))
"""
_IS_OVER = "min(expires_ms, last_activity_ms + idle_timeout_s * 1000 + :grace_ms) <= :now_ms"
_OVER = f"""
SELECT json_group_array(session_id) FILTER (WHERE {_IS_OVER}), max(session_id) FROM (
    SELECT session_id, expires_ms, last_activity_ms, idle_timeout_s FROM sessions
    WHERE store_name = :store_name AND session_id > :after ORDER BY session_id LIMIT :limit
)
"""  # noqa: S608 - of constants
_DELETE_OVER = f"""
DELETE FROM sessions WHERE store_name = :store_name
AND session_id IN (SELECT value FROM json_each(:session_ids)) AND {_IS_OVER}
"""  # noqa: S608 - of constants
_OF_DID = """
SELECT json_group_array(session_id) FROM (
    SELECT session_id FROM sessions WHERE store_name = ?1 AND client_did = ?2
    UNION
    SELECT session_id FROM sessions WHERE store_name = ?1 AND server_did = ?2
    LIMIT ?3
)
"""
_COUNT_SOME = """
SELECT count(*) FROM (
    SELECT 1 FROM sessions WHERE client_did = ?1 AND store_name = ?2 LIMIT ?3
)
"""
_DELETE_MANY = """
DELETE FROM sessions
WHERE store_name = ?1 AND session_id IN (SELECT value FROM json_each(?2))
"""


class SqliteSessionStore(SessionStore):
    """Sessions of one name in one file; made by `SqliteStorage`."""

    kind = "sqlite"

    def __init__(self, writer: Writer, reader: Reader, name: str, dids: SqliteDidStore) -> None:
        check_store_name(name)
        self.name = name
        self.dids: SqliteDidStore = dids
        self._writer = writer
        self._reader = reader
        self._room = Room()
        writer.on_undone.append(self._room.forget)

    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        """Store a new session."""
        await self.begin_create(row, client_limit=client_limit, unless_revoked=unless_revoked)

    def begin_create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> asyncio.Future[None]:
        """Begin to store a new session; no task is needed for it."""
        creation = Creation(row, client_limit, unless_revoked)
        return self._writer.begin(self._create, creation, full=CapacityError)

    def begin_create_many(
        self,
        rows: Sequence[SessionRow],
        told: Told,
        *,
        client_limit: int | None = None,
        unless_revoked: bool = False,
        contexts: Sequence[Context] | None = None,
    ) -> None:
        """Begin to store new sessions; no future is needed for any."""
        del contexts  # the thread has none; who tells how it went knows them
        wanted = [Creation(row, client_limit, unless_revoked) for row in rows]
        self._writer.begin_many(self._create, wanted, told, full=CapacityError)

    async def get(self, session_id: str) -> SessionRow | None:
        """Return the row, or None."""
        return await self._reader.ask(self._get, session_id)

    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        """Return what changed behind a worker's back."""
        arguments = self.name, json.dumps(list(session_ids))
        found = await self._reader.ask_alone(
            lambda connection: _one(connection, _STATUS, arguments)
        )
        return {session_id: SessionStatus(*status) for session_id, status in found.items()}

    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        """Replace the wrapped secret, epoch and KEK id, if the stored ones are the expected."""
        arguments = (
            *(session.wrapped_secret, session.epoch, session.kek_id),
            *(self.name, session.session_id, from_epoch, from_kek_id),
        )
        if not await self._writer.ask_alone(
            lambda connection: connection.execute(_ADVANCE, arguments).rowcount
        ):
            under = "" if from_kek_id is None else f" under KEK {from_kek_id!r}"
            raise ConflictError(
                f"session {session.session_id} is gone, or not at epoch {from_epoch}{under}"
            )

    async def touch_many(self, activities: Sequence[Activity]) -> None:
        """Note use of sessions."""
        used: dict[str, tuple[int, int]] = {}
        for activity in activities:
            last_ms, messages = used.get(activity.session_id, (activity.last_activity_ms, 0))
            last_ms = max(last_ms, activity.last_activity_ms)
            used[activity.session_id] = last_ms, messages + activity.messages
        arguments = self.name, json.dumps(used)
        await self._writer.ask_alone(
            lambda connection: connection.execute(_TOUCH, arguments).rowcount
        )

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the metadata of a session."""
        check_metadata(metadata)
        query = "UPDATE sessions SET metadata = ? WHERE store_name = ? AND session_id = ?"
        arguments = json.dumps(dict(metadata)), self.name, session_id
        return bool(
            await self._writer.ask_alone(
                lambda connection: connection.execute(query, arguments).rowcount
            )
        )

    async def delete(self, session_id: str) -> bool:
        """Delete a session."""
        query = "DELETE FROM sessions WHERE store_name = ? AND session_id = ?"
        arguments = self.name, session_id
        return bool(
            await self._writer.ask_alone(
                lambda connection: connection.execute(query, arguments).rowcount
            )
        )

    async def delete_of_did(self, did: str) -> Sequence[str]:
        """Delete every session in which this DID is client or server; return their ids."""

        def delete(connection: sqlite3.Connection) -> list[str]:
            found: list[str] = _one(connection, _OF_DID, (self.name, did, _SLICE_LEN))
            connection.execute(_DELETE_MANY, (self.name, json.dumps(found)))
            return found

        deleted: list[str] = []
        while found := await self._writer.ask_alone(delete):
            deleted += found
        return deleted

    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        """Delete the sessions that are over.

        Cost: one pass over all rows beside the writer; the writer is held for what is deleted.
        """
        arguments: dict[str, Any] = {
            "store_name": self.name,
            "grace_ms": grace_ms,
            "now_ms": now_or_clock(now_ms),
            "after": "",
            "limit": _SLICE_LEN,
        }

        def select(connection: sqlite3.Connection) -> tuple[str, str | None]:
            found: tuple[str, str | None] = connection.execute(_OVER, arguments).fetchone()
            return found

        def delete(connection: sqlite3.Connection) -> int:
            return connection.execute(_DELETE_OVER, arguments).rowcount

        total = 0
        while True:
            arguments["session_ids"], last = await self._reader.ask_alone(select)
            if arguments["session_ids"] != "[]":
                total += await self._writer.ask_alone(delete)
            if last is None:
                return total
            # A copy: who gave up on an answer may still be using the one before.
            arguments = {**arguments, "after": last}

    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """List sessions in the order of their ids."""
        check_page(limit, after)
        wanted = {"client_did": client_did, "kek_id": kek_id}
        conditions = "".join(
            f"AND {column} = :{column} " for column, value in wanted.items() if value is not None
        )
        # The sessions of a client are sorted for each page. If there are very many, those of all
        # are gone through instead: they lie in the order of their ids.
        is_sorted = client_did is not None and not await self._has_many(client_did)
        query = session_rows.SELECT + (
            f"{'INDEXED BY sessions_by_client ' if is_sorted else ''}"
            f"WHERE store_name = :store_name AND session_id > :after {conditions}"
            "ORDER BY session_id LIMIT :limit)"
        )
        arguments = {
            **wanted,
            "store_name": self.name,
            "after": "" if after is None else after,
            "limit": limit + 1,
        }
        found = await self._reader.ask_alone(lambda file: _one(file, query, arguments))
        rows = tuple(session_rows.from_json(columns) for columns in found[:limit])
        return Page(rows, rows[-1].session.session_id if len(found) > limit else None)

    async def count(self, *, client_did: str | None = None) -> int:
        """Count the rows, of one client or of all."""
        condition = "" if client_did is None else " AND client_did = ?2"
        query = f"SELECT count(*) FROM sessions WHERE store_name = ?1{condition}"  # noqa: S608
        arguments = self.name, client_did

        def select(connection: sqlite3.Connection) -> int:
            (count,) = connection.execute(query, arguments[: 1 + bool(condition)]).fetchone()
            return int(count)

        return await self._reader.ask_alone(select)

    async def _has_many(self, client_did: str) -> bool:
        arguments = client_did, self.name, _MOST_SORTED
        (count,) = await self._reader.ask_alone(
            lambda connection: connection.execute(_COUNT_SOME, arguments).fetchone()
        )
        return bool(count == _MOST_SORTED)

    def _get(self, connection: sqlite3.Connection, session_ids: list[str]) -> list[Any]:
        query = session_rows.SELECT + _OF_IDS
        found = _one(connection, query, (self.name, json.dumps(session_ids)))
        rows: dict[str, SessionRow | StorageError] = {}
        for columns in found:
            try:
                rows[columns[0]] = session_rows.from_json(columns)
            except StorageError as error:
                rows[columns[0]] = error
        return [rows.get(session_id) for session_id in session_ids]

    def _create(self, connection: sqlite3.Connection, wanted: list[Creation]) -> list[Any]:
        return create_many(connection, self.name, wanted, self._room)


def _one(connection: sqlite3.Connection, query: str, arguments: Any) -> Any:  # noqa: ANN401
    (found,) = connection.execute(query, arguments).fetchone()
    return json.loads(found)
