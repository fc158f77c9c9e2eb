"""What a server, as it is configured, promises to survive; and asking it for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.guarantee import ReplayGuarantee

if TYPE_CHECKING:
    import asyncpg

__all__ = ["ask_for", "measure", "require"]

_SETTINGS = """
SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS on_disk,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') <> '' AS has_standbys,
       pg_is_in_recovery() AS is_standby
"""
_ON_THE_STANDBYS_DISK = frozenset({"on", "remote_apply"})
_REMEDY = {
    ReplayGuarantee.DURABLE: "set fsync = on and full_page_writes = on",
    ReplayGuarantee.FAILOVER: "set fsync = on and full_page_writes = on, and name the standbys "
    "that commits wait for in synchronous_standby_names",
}


async def ask_for(connection: asyncpg.Connection, wanted: ReplayGuarantee) -> None:
    """Let the commits of a connection wait as long as a level needs, whatever the default is."""
    found = await connection.fetchval("SELECT current_setting('synchronous_commit')")
    if wanted >= ReplayGuarantee.FAILOVER and found not in _ON_THE_STANDBYS_DISK:
        found = "on"
    elif wanted >= ReplayGuarantee.DURABLE and found == "off":
        found = "local"
    # Also where it stays: a default that is changed later does not reach this connection.
    await connection.execute("SELECT set_config('synchronous_commit', $1, false)", found)


async def measure(connection: asyncpg.Connection, label: str) -> ReplayGuarantee:
    """Return the level that a connection reaches.

    Raises:
        StorageError: It leads to a standby, which takes no writes.
    """
    found = await connection.fetchrow(_SETTINGS)
    if found["is_standby"]:
        raise StorageError(f"{label} is a standby and takes no writes")
    if not found["on_disk"] or found["synchronous_commit"] == "off":
        return ReplayGuarantee.NODE
    if found["has_standbys"] and found["synchronous_commit"] in _ON_THE_STANDBYS_DISK:
        return ReplayGuarantee.FAILOVER
    return ReplayGuarantee.DURABLE


def require(reached: ReplayGuarantee, wanted: ReplayGuarantee, label: str) -> None:
    """Check a level.

    Raises:
        ConfigurationError: It is less than what is wanted; the text says how to reach it.
    """
    reached.require(wanted, store=label, remedy=_REMEDY.get(wanted, "") + ", or demand less")
