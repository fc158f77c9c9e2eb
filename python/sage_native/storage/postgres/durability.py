"""What a server, as it is configured, promises to survive; and asking it for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.postgres.standbys import lack_of_standbys

if TYPE_CHECKING:
    import asyncpg

__all__ = ["ask_for", "require"]

_SETTINGS = """
SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS on_disk,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS standby_names,
       pg_is_in_recovery() AS is_standby
"""
_ON_THE_STANDBYS_DISK = frozenset({"on", "remote_apply"})
_DURABLE = "set fsync = on and full_page_writes = on"
_FAILOVER = (
    f"{_DURABLE}, and let commits wait for every standby that may be promoted, such as "
    "synchronous_standby_names = 'FIRST 2 (one, two)'"
)


async def ask_for(connection: asyncpg.Connection, wanted: ReplayGuarantee) -> None:
    """Let the commits of a connection wait as long as a level needs, whatever the default is."""
    found = await connection.fetchval("SELECT current_setting('synchronous_commit')")
    if wanted >= ReplayGuarantee.FAILOVER and found not in _ON_THE_STANDBYS_DISK:
        found = "on"
    elif wanted >= ReplayGuarantee.DURABLE and found == "off":
        found = "local"
    # Also where it stays: a default that is changed later does not reach this connection.
    await connection.execute("SELECT set_config('synchronous_commit', $1, false)", found)


async def require(
    connection: asyncpg.Connection, wanted: ReplayGuarantee, *, label: str
) -> ReplayGuarantee:
    """Return the level that a connection reaches, at least the one that is wanted.

    Raises:
        ConfigurationError: It is less; the text says why, and how to reach it.
        StorageError: It leads to a standby, which takes no writes.
    """
    found = await connection.fetchrow(_SETTINGS)
    if found["is_standby"]:
        raise StorageError(f"{label} is a standby and takes no writes")
    lack = lack_of_standbys(found["standby_names"])
    if not found["on_disk"] or found["synchronous_commit"] == "off":
        reached = ReplayGuarantee.NODE
    elif lack is not None or found["synchronous_commit"] not in _ON_THE_STANDBYS_DISK:
        reached = ReplayGuarantee.DURABLE
    else:
        reached = ReplayGuarantee.FAILOVER
    remedy = _DURABLE
    if wanted >= ReplayGuarantee.FAILOVER:
        remedy = _FAILOVER if lack is None else f"{_FAILOVER} ({lack})"
    reached.require(wanted, store=label, remedy=f"{remedy}, or demand less")
    return reached
