"""Registered DIDs in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sage_native.exceptions import ConflictError, UsageError
from sage_native.storage.base import DidStore, check_page, now_or_clock
from sage_native.storage.rows import DidRecord

if TYPE_CHECKING:
    import sqlite3

    from sage_native.storage.sqlite.reader import Reader
    from sage_native.storage.sqlite.writer import Writer

__all__ = ["SqliteDidStore"]

_KEY_LEN = 32
_COLUMNS = "did, keys, owner, created_ms, revoked_ms"

_Columns: TypeAlias = "tuple[str, bytes, str, int, int | None]"


class SqliteDidStore(DidStore):
    """DIDs of one file; made by `SqliteStorage`."""

    kind = "sqlite"

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, record: DidRecord) -> None:
        """Register a DID."""
        if not record.keys or any(len(key) != _KEY_LEN for key in record.keys):
            raise UsageError(f"a DID lists at least one key, each of {_KEY_LEN} bytes")

        def insert(connection: sqlite3.Connection) -> int:
            return connection.execute(
                f"INSERT INTO dids ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608
                (
                    record.did,
                    b"".join(record.keys),
                    record.owner,
                    record.created_ms,
                    record.revoked_ms,
                ),
            ).rowcount

        if not await self._writer.ask_alone(insert):
            raise ConflictError(f"{record.did} is registered already, or revoked")

    async def get(self, did: str) -> DidRecord | None:
        """Return the record, revoked or not, or None."""

        def select(connection: sqlite3.Connection) -> _Columns | None:
            query = f"SELECT {_COLUMNS} FROM dids WHERE did = ?"  # noqa: S608
            found: _Columns | None = connection.execute(query, (did,)).fetchone()
            return found

        row = await self._reader.ask_alone(select)
        return None if row is None else _record(row)

    async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
        """Revoke a DID for ever; False if it is unknown. The first revocation stays."""
        now_ms = now_or_clock(now_ms)

        def update(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE dids SET revoked_ms = coalesce(revoked_ms, ?) WHERE did = ?", (now_ms, did)
            ).rowcount

        return bool(await self._writer.ask_alone(update))

    async def page(
        self, *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[tuple[DidRecord, ...], str | None]:
        """List DIDs in their order."""
        check_page(limit)
        condition = "" if owner is None else "AND owner = ?2 "

        def select(connection: sqlite3.Connection) -> list[_Columns]:
            return connection.execute(
                f"SELECT {_COLUMNS} FROM dids WHERE did > ?1 {condition}ORDER BY did LIMIT ?3",  # noqa: S608
                ("" if after is None else after, owner, limit + 1),
            ).fetchall()

        rows = await self._reader.ask_alone(select)
        records = tuple(_record(row) for row in rows[:limit])
        return records, records[-1].did if len(rows) > limit else None


def _record(row: _Columns) -> DidRecord:
    did, keys, owner, created_ms, revoked_ms = row
    listed = tuple(keys[start : start + _KEY_LEN] for start in range(0, len(keys), _KEY_LEN))
    return DidRecord(did, listed, owner, created_ms, revoked_ms)
