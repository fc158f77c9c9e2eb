"""Loading sessions: one by itself while nobody else does, many in one statement.

A stranger's records, forged, each cause a load, and loads come on top of what handshakes and rekeys
need. So they take three connections at the most, whatever comes: one for a load that is alone,
which is spared the detour, and two for the batches of those that come while it is under way.

The place of the load that is alone is given back by the deed, not by its caller: a caller who is
cancelled leaves the deed behind, on its connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.storage.batcher import Batcher
from sage_native.storage.postgres.session_rows import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from sage_native.storage.postgres.connection import Connections

__all__ = ["Loads"]

_BATCH_LEN = 1000
_OF_STORE = f"SELECT {COLUMNS} FROM sessions WHERE store_name = $1"  # noqa: S608 - names only
_ONE = f"{_OF_STORE} AND session_id = $2"
_MANY = f"{_OF_STORE} AND session_id = ANY ($2::uuid[])"


class Loads:
    """Loads of one store.

    Args:
        connections: To the database.
        store_name: Whose sessions.
    """

    def __init__(self, connections: Connections, store_name: str) -> None:
        self._connections = connections
        self._store_name = store_name
        self._one_is_under_way = False
        self._batcher: Batcher[str, asyncpg.Record | None] = Batcher(
            self._find_many,
            label=connections.label,
            max_len=_BATCH_LEN,
            timeout_s=connections.timeout_s,
        )

    async def find(self, session_id: str) -> asyncpg.Record | None:
        """Return the columns of a session, or None.

        They are not read here: a row that cannot be read fails its own caller and nobody else.

        Raises:
            StorageError: There was no answer.
        """
        if self._one_is_under_way:
            return await self._batcher.ask(session_id)
        return await self._find_alone(session_id)

    async def aclose(self) -> None:
        """Finish what is under way."""
        await self._batcher.aclose()

    async def _find_alone(self, session_id: str) -> asyncpg.Record | None:
        has_begun = False

        async def find(connection: asyncpg.Connection) -> asyncpg.Record | None:
            nonlocal has_begun
            has_begun = True
            try:
                return await connection.fetchrow(_ONE, self._store_name, session_id)
            finally:
                self._one_is_under_way = False

        self._one_is_under_way = True
        try:
            return await self._connections.run(find)
        finally:
            if not has_begun:
                self._one_is_under_way = False

    async def _find_many(self, session_ids: Sequence[str]) -> list[asyncpg.Record | None]:
        found = await self._connections.run(
            lambda one: one.fetch(_MANY, self._store_name, session_ids)
        )
        rows = {str(row["session_id"]): row for row in found}
        return [rows.get(session_id) for session_id in session_ids]
