"""Stores in a PostgreSQL database, on asyncpg.

::

    storage = await PostgresStorage.open("postgresql://sage:…@db.example/sage")

Several workers, on any number of machines, share one database. Between them and the server no
pooler may deal out connections by transaction: settings and prepared statements belong to a
connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.base import DEFAULT_HORIZON_MS, Storage
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.migrations import require_current
from sage_native.storage.postgres import durability
from sage_native.storage.postgres.connection import Connections
from sage_native.storage.postgres.dids import PostgresDidStore
from sage_native.storage.postgres.nonces import PostgresNonceStore
from sage_native.storage.postgres.sessions import PostgresSessionStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import asyncpg

__all__ = ["PostgresDidStore", "PostgresNonceStore", "PostgresSessionStore", "PostgresStorage"]


# From one name to the next by the index, past all the rows of each.
_NAMES = """
WITH RECURSIVE names (name) AS (
    SELECT min(store_name) FROM sessions
    UNION ALL
    SELECT (SELECT min(store_name) FROM sessions WHERE store_name > name)
    FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
"""


class PostgresStorage(Storage):
    """One database, opened with `open`.

    Every call ends within ``timeout_s``; a batch of more than 1,000 that much after its last
    answer.

    Attributes:
        nonces: Their guarantee is what the server was found to reach, at least what was demanded.
        dids: The DID store.
        label: ``PostgreSQL <database> at <host>:<port>``.
    """

    nonces: PostgresNonceStore
    dids: PostgresDidStore

    def __init__(  # noqa: PLR0913 - the settings of `open`
        self,
        dsn: str,
        *,
        guarantee: ReplayGuarantee,
        horizon_ms: int,
        min_size: int,
        max_size: int,
        timeout_s: float,
        acquire_timeout_s: float,
    ) -> None:
        self._wanted = guarantee
        self._is_current = False
        self._connections = Connections(
            dsn,
            prepare=self._prepare,
            min_size=min_size,
            max_size=max_size,
            timeout_s=timeout_s,
            acquire_timeout_s=acquire_timeout_s,
        )
        self.label = self._connections.label
        self.nonces = PostgresNonceStore(self._connections, horizon_ms=horizon_ms)
        self.dids = PostgresDidStore(self._connections)
        self._sessions: dict[str, PostgresSessionStore] = {}

    @classmethod
    async def open(  # noqa: PLR0913 - one setting each
        cls,
        dsn: str,
        *,
        guarantee: ReplayGuarantee = ReplayGuarantee.DURABLE,
        horizon_ms: int = DEFAULT_HORIZON_MS,
        min_size: int = 2,
        max_size: int = 10,
        timeout_s: float = 0.9,
        acquire_timeout_s: float = 0.5,
    ) -> Self:
        """Connect to a database whose schema is there and current.

        Args:
            dsn: ``postgresql://user:password@host:port/name``, as asyncpg takes it. The user owns
                the tables: partitions are made and dropped.
            guarantee: What nonces must survive. ``synchronous_commit`` is asked for as needed; the
                rest is the server's configuration.
            horizon_ms: How far ahead of the clock a nonce may be remembered.
            min_size: Connections that are kept open.
            max_size: Connections at the most.
            timeout_s: When a call gives up, in seconds.
            acquire_timeout_s: When a call gives up waiting for a connection.

        Raises:
            ConfigurationError: The URL cannot be read, the schema is not current, or the server
                does not reach the guarantee.
            StorageError: The server was not reached, refused, or is a standby.
        """
        storage = cls(
            dsn,
            guarantee=guarantee,
            horizon_ms=horizon_ms,
            min_size=min_size,
            max_size=max_size,
            timeout_s=timeout_s,
            acquire_timeout_s=acquire_timeout_s,
        )
        await storage._connections.open()
        try:
            await storage.nonces.make_partitions()
        except BaseException:
            await storage.aclose()
            raise
        return storage

    def sessions(self, name: str) -> PostgresSessionStore:
        """Return the session store of a name; the same one for the same name."""
        if name not in self._sessions:
            self._sessions[name] = PostgresSessionStore(self._connections, name, self.dids)
        return self._sessions[name]

    async def session_store_names(self) -> Sequence[str]:
        """Return the names under which sessions are stored, in order."""
        found = await self._connections.run(lambda one: one.fetch(_NAMES))
        return sorted(row[0] for row in found)

    async def check(self) -> None:
        """Ask the server for a sign of life, and whether it takes writes."""
        if (
            await self._connections.run(lambda one: one.fetchval("SHOW transaction_read_only"))
            == "on"
        ):
            raise StorageError(f"{self.label} takes no writes")

    async def aclose(self) -> None:
        """Finish what is under way and disconnect."""
        for sessions in self._sessions.values():
            await sessions.aclose()
        await self.nonces.aclose()
        await self._connections.aclose()

    def __repr__(self) -> str:
        return f"<PostgresStorage {self.label}>"

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        """Look at the server behind a new connection; it may be another one than before."""
        if not self._is_current:
            await require_current(connection)
            self._is_current = True
        await durability.ask_for(connection, self._wanted)
        self.nonces.guarantee = await durability.require(connection, self._wanted, label=self.label)
        await self.nonces.prepare(connection)
