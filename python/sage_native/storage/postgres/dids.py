"""DIDs in a PostgreSQL table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import ConflictError
from sage_native.storage.base import DidStore, check_page, now_or_clock
from sage_native.storage.rows import DidRecord

if TYPE_CHECKING:
    import asyncpg

    from sage_native.storage.postgres.connection import Connections

__all__ = ["PostgresDidStore"]

_COLUMNS = "did, keys, owner, created_ms, revoked_ms"
_PUT = f"""
INSERT INTO dids ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (did) DO NOTHING RETURNING true
"""  # noqa: S608 - only names of columns are put in, here and below
_GET = f"SELECT {_COLUMNS} FROM dids WHERE did = $1"  # noqa: S608
_REVOKE = """
UPDATE dids SET revoked_ms = coalesce(revoked_ms, $2) WHERE did = $1 RETURNING true
"""


class PostgresDidStore(DidStore):
    """DIDs of one database; made by `PostgresStorage`."""

    kind = "postgres"

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def put(self, record: DidRecord) -> None:
        """Register a DID."""
        values = (record.did, record.keys, record.owner, record.created_ms, record.revoked_ms)
        if not await self._connections.run(lambda one: one.fetchval(_PUT, *values)):
            raise ConflictError(f"{record.did} is registered or revoked already")

    async def get(self, did: str) -> DidRecord | None:
        """Return the record, or None."""
        found = await self._connections.run(lambda one: one.fetchrow(_GET, did))
        return None if found is None else _record(found)

    async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
        """Revoke a DID for ever; False if it is unknown."""
        now_ms = now_or_clock(now_ms)
        return bool(await self._connections.run(lambda one: one.fetchval(_REVOKE, did, now_ms)))

    async def page(
        self, *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[tuple[DidRecord, ...], str | None]:
        """List DIDs in their order."""
        check_page(limit)
        # One more than asked for tells whether there is another page.
        asked = {"owner =": owner, "did >": after}
        values = [value for value in asked.values() if value is not None]
        which = [text for text, value in asked.items() if value is not None]
        where = " AND ".join(f"{text} ${place}" for place, text in enumerate(which, 1)) or "true"
        page = f"SELECT {_COLUMNS} FROM dids WHERE {where} ORDER BY did LIMIT {limit + 1}"  # noqa: S608
        found = await self._connections.run(lambda one: one.fetch(page, *values))
        records = tuple(_record(row) for row in found[:limit])
        return records, records[-1].did if len(found) > limit else None


def _record(row: asyncpg.Record) -> DidRecord:
    did, keys, owner, created_ms, revoked_ms = row
    return DidRecord(did, tuple(keys), owner, created_ms, revoked_ms)
