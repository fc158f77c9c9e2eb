"""Where the memory of nonces was written, and whether that is here.

``replay_memory`` keeps the system identifier of the server, its timeline, and the numbers of the
database and of the table of nonces. A failover or a restore of the server brings another timeline
or system, a copy by template another database, a dump that is loaded another table; and maybe older
nonces. Whoever finds a difference first notes that nothing before now is certain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.base import now_or_clock

if TYPE_CHECKING:
    import asyncpg

__all__ = ["check_origin"]

# The control file lags behind a promotion until its first checkpoint; the name of the log does not.
_HERE = """
WITH here AS MATERIALIZED (
    SELECT s.system_identifier, d.oid AS database_oid, 'nonces'::regclass::oid AS nonces_oid,
           ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint AS timeline_id
    FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
)
"""
_WRITTEN_ELSEWHERE = """
(m.system_identifier, m.timeline_id, m.database_oid, m.nonces_oid)
    <> (here.system_identifier, here.timeline_id, here.database_oid, here.nonces_oid)
"""
_LOOK = f"""{_HERE}
SELECT m.remembers_since_ms, {_WRITTEN_ELSEWHERE} FROM replay_memory m, here
"""  # noqa: S608 - constants only, as below
_MOVE = f"""{_HERE}
UPDATE replay_memory m
SET system_identifier = here.system_identifier, timeline_id = here.timeline_id,
    database_oid = here.database_oid, nonces_oid = here.nonces_oid,
    remembers_since_ms = greatest(m.remembers_since_ms, $1)
FROM here WHERE {_WRITTEN_ELSEWHERE}
"""  # noqa: S608


async def check_origin(connection: asyncpg.Connection, label: str) -> int:
    """Look whether the memory was written here, and note it, lastingly and once, if it was not.

    Returns:
        Since when nothing is missing, in ms since the epoch.

    Raises:
        StorageError: There is no memory.
    """
    found = await connection.fetchrow(_LOOK)
    if found is not None and found[1]:
        await connection.execute(_MOVE, now_or_clock(None))
        found = await connection.fetchrow(_LOOK)
    if found is None:
        raise StorageError(f"{label} has lost the row of its replay_memory")
    since_ms: int = found[0]
    return since_ms
