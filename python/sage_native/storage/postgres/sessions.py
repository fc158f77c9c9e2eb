"""Sessions in a PostgreSQL table.

Every statement that changes several rows locks them in the order of their ids, so that two of them
never wait for each other in a circle.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sage_native.exceptions import ConflictError, UsageError
from sage_native.storage.base import SessionStore, check_page, check_store_name, now_or_clock
from sage_native.storage.batcher import Batcher
from sage_native.storage.postgres.creation import Creation, create_many
from sage_native.storage.postgres.loads import Loads
from sage_native.storage.postgres.session_rows import (
    COLUMNS,
    is_session_id,
    metadata_text,
    session_row,
)
from sage_native.storage.rows import Page, SessionStatus, check_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from sage_native.exceptions import SageError
    from sage_native.protocol import WrappedSession
    from sage_native.storage.postgres.connection import Connections
    from sage_native.storage.postgres.dids import PostgresDidStore
    from sage_native.storage.rows import Activity, SessionRow

__all__ = ["PostgresSessionStore"]

_SLICE_LEN = 1000

_ROW = "store_name = $1 AND session_id = $2"
_STATUS = """
SELECT session_id, epoch, last_activity_ms, messages FROM sessions
WHERE store_name = $1 AND session_id = ANY ($2::uuid[])
"""
_ADVANCE = f"""
UPDATE sessions
SET wrapped_secret = $3, epoch = $4, kek_id = $5, restored = restored AND epoch = $4
WHERE {_ROW} AND epoch = $6 AND ($7::text IS NULL OR kek_id = $7)
RETURNING true
"""  # noqa: S608 - names only, as below
_TOUCH = """
WITH used AS (
    SELECT session_id, max(last_activity_ms) AS last_activity_ms, sum(messages)::bigint AS messages
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[])
        AS noted (session_id, last_activity_ms, messages)
    GROUP BY session_id
), locked AS MATERIALIZED (
    SELECT session_id FROM sessions WHERE store_name = $1 AND session_id = ANY ($2)
    ORDER BY session_id FOR NO KEY UPDATE
)
UPDATE sessions s
SET last_activity_ms = greatest(s.last_activity_ms, used.last_activity_ms),
    messages = s.messages + used.messages
FROM used JOIN locked USING (session_id)
WHERE s.store_name = $1 AND s.session_id = used.session_id
"""
_DESCRIBE = f"UPDATE sessions SET metadata = $3 WHERE {_ROW} RETURNING true"  # noqa: S608
_DELETE = f"DELETE FROM sessions WHERE {_ROW} RETURNING true"  # noqa: S608
# Found without an order, so that an index may find them; locked in order, and looked at again then,
# since a row that was waited for may have changed.
_DELETE_SLICE = f"""
WITH found AS MATERIALIZED (
    SELECT session_id FROM sessions WHERE store_name = $1 AND {{which}} LIMIT {_SLICE_LEN}
), locked AS MATERIALIZED (
    SELECT session_id FROM found JOIN sessions USING (session_id)
    WHERE store_name = $1 AND {{which}} ORDER BY session_id FOR UPDATE OF sessions {{waiting}}
), deleted AS (
    DELETE FROM sessions USING locked
    WHERE store_name = $1 AND sessions.session_id = locked.session_id
    RETURNING sessions.session_id
)
SELECT (SELECT count(*) FROM found), ARRAY(SELECT session_id FROM deleted)
"""  # noqa: S608
_DELETE_OF_DID = _DELETE_SLICE.format(which="(client_did = $2 OR server_did = $2)", waiting="")
# Divided, not multiplied: no timeout is too long for it.
_DELETE_EXPIRED = _DELETE_SLICE.format(
    which="(expires_ms <= $2::bigint"
    " OR idle_timeout_s <= ($2::bigint - $3::bigint - last_activity_ms) / 1000)",
    waiting="SKIP LOCKED",
)


class PostgresSessionStore(SessionStore):
    """Sessions of one name in one database; made by `PostgresStorage`."""

    kind = "postgres"

    def __init__(self, connections: Connections, name: str, dids: PostgresDidStore) -> None:
        check_store_name(name)
        self.name = name
        self.dids: PostgresDidStore = dids
        self._connections = connections
        self._loads = Loads(connections, name)
        self._creations: Batcher[Creation, SageError | None] = Batcher(
            self._create_many,
            label=connections.label,
            max_len=_SLICE_LEN,
            timeout_s=connections.timeout_s,
        )

    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        """Store a new session, together with others that are created at the same time."""
        refused = await self._creations.ask(Creation(row, client_limit, unless_revoked))
        if refused is not None:
            raise refused

    async def get(self, session_id: str) -> SessionRow | None:
        """Return the row, or None; found together with others that are asked for meanwhile."""
        if not is_session_id(session_id):
            return None
        found = await self._loads.find(session_id)
        return None if found is None else session_row(found)

    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        """Return what changed behind a worker's back."""
        known = [session_id for session_id in session_ids if is_session_id(session_id)]
        if not known:
            return {}
        found = await self._connections.run(lambda one: one.fetch(_STATUS, self.name, known))
        return {str(row[0]): SessionStatus(*row[1:]) for row in found}

    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        """Replace the wrapped secret, epoch and KEK id, if the stored ones are the expected."""
        values = (
            *(self.name, session.session_id),
            *(session.wrapped_secret, session.epoch, session.kek_id),
            *(from_epoch, from_kek_id),
        )
        if not await self._connections.run(lambda one: one.fetchval(_ADVANCE, *values)):
            under = "" if from_kek_id is None else f" under KEK {from_kek_id!r}"
            raise ConflictError(
                f"session {session.session_id} is gone, or not at epoch {from_epoch}{under}"
            )

    async def touch_many(self, activities: Sequence[Activity]) -> None:
        """Note use of sessions, 1,000 in a statement."""
        noted = [
            (activity.session_id, activity.last_activity_ms, activity.messages)
            for activity in activities
            if is_session_id(activity.session_id)
        ]
        for start in range(0, len(noted), _SLICE_LEN):
            columns = zip(*noted[start : start + _SLICE_LEN], strict=True)
            touch = partial(_touch, values=(self.name, *columns))
            await self._connections.run(touch)

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the metadata of a session."""
        check_metadata(metadata)
        if not is_session_id(session_id):
            return False
        values = self.name, session_id, metadata_text(metadata)
        return bool(await self._connections.run(lambda one: one.fetchval(_DESCRIBE, *values)))

    async def delete(self, session_id: str) -> bool:
        """Delete a session."""
        if not is_session_id(session_id):
            return False
        return bool(
            await self._connections.run(lambda one: one.fetchval(_DELETE, self.name, session_id))
        )

    async def delete_of_did(self, did: str) -> Sequence[str]:
        """Delete every session in which this DID is client or server, 1,000 in a statement."""
        return await self._delete_slices(_DELETE_OF_DID, did)

    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        """Delete the sessions that are over, 1,000 in a statement.

        Rows that others use at this moment are left for the next time.
        """
        now_ms = now_or_clock(now_ms)
        return len(await self._delete_slices(_DELETE_EXPIRED, now_ms, grace_ms))

    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """List sessions in the order of their ids."""
        check_page(limit)
        if after is not None and not is_session_id(after):
            raise UsageError("after must be the next_cursor of a page before")
        # One more than asked for tells whether there is another page.
        which, values = _which(self.name, client_did=client_did, kek_id=kek_id)
        if after is not None:
            values.append(after)
            which += f" AND session_id > ${len(values)}"
        page = f"SELECT {COLUMNS} FROM sessions WHERE {which} ORDER BY session_id LIMIT {limit + 1}"  # noqa: S608
        found = await self._connections.run(lambda one: one.fetch(page, *values))
        rows = tuple(session_row(row) for row in found[:limit])
        return Page(rows, rows[-1].session.session_id if len(found) > limit else None)

    async def count(self, *, client_did: str | None = None) -> int:
        """Count the rows."""
        which, values = _which(self.name, client_did=client_did)
        count = f"SELECT count(*) FROM sessions WHERE {which}"  # noqa: S608
        found: int = await self._connections.run(lambda one: one.fetchval(count, *values))
        return found

    async def aclose(self) -> None:
        """Finish what is under way."""
        await self._creations.aclose()
        await self._loads.aclose()

    async def _create_many(self, wanted: Sequence[Creation]) -> list[SageError | None]:
        return await create_many(self._connections, self.name, wanted)

    async def _delete_slices(self, statement: str, *values: object) -> list[str]:
        deleted: list[str] = []
        while True:
            found_count, slice_ids = await self._connections.run(
                lambda one: one.fetchrow(statement, self.name, *values)
            )
            deleted += map(str, slice_ids)
            # Of those found, others may have deleted some, or hold them: neither tells of the rest.
            if found_count < _SLICE_LEN or (not slice_ids and statement is _DELETE_EXPIRED):
                return deleted


def _which(store_name: str, **columns: str | None) -> tuple[str, list[object]]:
    """Return conditions and their values; one that is not asked for is left out.

    A statement for all cases would be planned once for all of them, and find no index.
    """
    which, values = ["store_name = $1"], [store_name]
    for column, value in columns.items():
        if value is not None:
            values.append(value)
            which.append(f"{column} = ${len(values)}")
    return " AND ".join(which), list(values)


async def _touch(connection: asyncpg.Connection, values: tuple[object, ...]) -> None:
    await connection.execute(_TOUCH, *values)
