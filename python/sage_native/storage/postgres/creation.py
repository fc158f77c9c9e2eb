"""Creating sessions, many in one statement.

``ON CONFLICT DO NOTHING RETURNING`` decides: whose id comes back has stored it. Equal ids of one
batch are told apart before, the first goes out.

A limit on the sessions of a client is decided under an advisory lock of that client, which is held
until the commit: count, then insert, and nobody with a limit for the same client does either in
between. Locks are taken in the order of their keys, before any row is. A session that is created
without a limit takes no lock and may come on top at any time.

Whether a client is revoked is asked after the commit, in a statement of its own; what should not
have been stored is deleted then. Asked before, or in the statement that inserts, it would be a look
at a moment when a revocation that is under way cannot be seen, while our row cannot be seen by the
deletion that follows it. As it is: a revocation that was committed before our look is seen by it;
one that was committed later finds our row committed, and so does the deletion after it. That holds
for a DID without a record too, where there is no row to lock.

A row that the schema refuses fails its statement. Then the batch is stored in halves, until it
fails its caller and nobody else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConflictError,
    SageError,
    UsageError,
)
from sage_native.storage.postgres.session_rows import COLUMNS, TYPES, columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.storage.postgres.connection import Connections
    from sage_native.storage.rows import SessionRow

__all__ = ["Creation", "create_many"]

_ARRAYS = ", ".join(f"${number}::{name}[]" for number, name in enumerate(TYPES, 2))
_INSERT = f"""
WITH inserted AS (
    INSERT INTO sessions (store_name, {COLUMNS})
    SELECT $1, * FROM unnest({_ARRAYS}) AS created ({COLUMNS}) ORDER BY created.session_id
    ON CONFLICT (store_name, session_id) DO NOTHING
    RETURNING session_id
)
SELECT array_agg(session_id) FROM inserted HAVING count(*) < cardinality($2)
"""  # noqa: S608 - only names of columns and types are put in
_LOCK = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS wanted (key)"
_COUNTS = """
SELECT client_did, count(*) FROM sessions
WHERE store_name = $1 AND client_did = ANY ($2::text[]) GROUP BY client_did
"""
_REVOKED = "SELECT did FROM dids WHERE did = ANY ($1::text[]) AND revoked_ms IS NOT NULL"
_TAKE_BACK = """
WITH locked AS MATERIALIZED (
    SELECT session_id FROM sessions WHERE store_name = $1 AND session_id = ANY ($2::uuid[])
    ORDER BY session_id FOR UPDATE
)
DELETE FROM sessions USING locked
WHERE store_name = $1 AND sessions.session_id = locked.session_id
"""
_STORED = """
SELECT session_id FROM sessions WHERE store_name = $1 AND session_id = ANY ($2::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Creation:
    """One session to be created, with the most that its client may have."""

    row: SessionRow
    client_limit: int | None
    unless_revoked: bool


async def create_many(
    connections: Connections, store_name: str, wanted: Sequence[Creation]
) -> list[SageError | None]:
    """Create sessions.

    Returns:
        One for each, in order: None, or what to raise.

    Raises:
        StorageError: Outcome unknown, of all.
    """
    batch = _Batch(store_name, connections.label)
    try:
        return await connections.run(lambda connection: batch.create(connection, wanted))
    except UsageError as error:
        if len(wanted) == 1:
            return [error]
    half = len(wanted) // 2
    return [
        *await create_many(connections, store_name, wanted[:half]),
        *await create_many(connections, store_name, wanted[half:]),
    ]


class _Batch:
    def __init__(self, store_name: str, label: str) -> None:
        self._store_name = store_name
        self._label = label

    async def create(
        self, connection: asyncpg.Connection, wanted: Sequence[Creation]
    ) -> list[SageError | None]:
        answers: list[SageError | None] = [_conflict(one) for one in wanted]
        first = {one.row.session.session_id: place for place, one in enumerate(wanted[::-1], 1)}
        places = sorted(len(wanted) - place for place in first.values())
        try:
            if any(wanted[place].client_limit is not None for place in places):
                created = await self._within_limits(connection, wanted, places, answers)
            else:
                created = await self._insert(connection, [wanted[place].row for place in places])
        except asyncpg.DiskFullError:
            return [CapacityError(f"{self._label} has no room for another session") for _ in wanted]
        for place in places:
            if wanted[place].row.session.session_id in created:
                answers[place] = None
        await self._take_back(connection, wanted, answers)
        return answers

    async def _take_back(
        self,
        connection: asyncpg.Connection,
        wanted: Sequence[Creation],
        answers: list[SageError | None],
    ) -> None:
        """Delete what was stored, and is committed, for clients that are revoked."""
        places = [
            place
            for place, answer in enumerate(answers)
            if answer is None and wanted[place].unless_revoked
        ]
        clients = {wanted[place].row.session.client_did for place in places}
        if not clients:
            return
        revoked = {row[0] for row in await connection.fetch(_REVOKED, list(clients))}
        places = [place for place in places if wanted[place].row.session.client_did in revoked]
        if places:
            ids = [wanted[place].row.session.session_id for place in places]
            await connection.execute(_TAKE_BACK, self._store_name, ids)
        for place in places:
            answers[place] = AuthenticationError("authentication failed")

    async def _insert(self, connection: asyncpg.Connection, rows: Sequence[SessionRow]) -> set[str]:
        some = await connection.fetchrow(_INSERT, self._store_name, *columns_of(rows))
        if some is None:  # all of them
            return {row.session.session_id for row in rows}
        return set(map(str, some[0] or ()))

    async def _within_limits(
        self,
        connection: asyncpg.Connection,
        wanted: Sequence[Creation],
        places: Sequence[int],
        answers: list[SageError | None],
    ) -> set[str]:
        """Insert those that their clients have room for; the others get their answers here."""
        limited = {
            wanted[place].row.session.client_did
            for place in places
            if wanted[place].client_limit is not None
        }
        # Without asyncpg's transaction(): its end would wait for a server that is silent.
        await connection.execute("BEGIN")
        await connection.execute(_LOCK, sorted(map(self._lock_key, limited)))
        counts = Counter(dict(await connection.fetch(_COUNTS, self._store_name, list(limited))))
        ids = [wanted[place].row.session.session_id for place in places]
        stored = {str(row[0]) for row in await connection.fetch(_STORED, self._store_name, ids)}
        rows = []
        for place in places:
            row, limit = wanted[place].row, wanted[place].client_limit
            client_did = row.session.client_did
            if row.session.session_id in stored:
                continue
            if limit is not None and counts[client_did] >= limit:
                answers[place] = CapacityError(f"{client_did} has {limit} sessions already")
                continue
            counts[client_did] += 1
            rows.append(row)
        created = await self._insert(connection, rows) if rows else set()
        await connection.execute("COMMIT")
        return created

    def _lock_key(self, client_did: str) -> int:
        digest = hashlib.sha256(f"client limit\0{self._store_name}\0{client_did}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def _conflict(creation: Creation) -> ConflictError:
    return ConflictError(f"session {creation.row.session.session_id} is stored already")
