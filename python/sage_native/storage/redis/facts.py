"""What is learnt about a Redis server, and what is asked of it.

A server that evicts would forget nonces in silence, so ``maxmemory-policy`` must be ``noeviction``,
even where ``maxmemory`` is not set today. What a server does not tell counts as not met: where
CONFIG is forbidden, INFO still tells the policy, and whether there is an append-only file, but not
when that is written to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError
from sage_native.storage.guarantee import ReplayGuarantee

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST_VERSION = (7, 0)
QUESTIONS = (
    ("INFO", "server", "replication", "memory", "persistence", "cluster"),
    ("CONFIG", "GET", "appendfsync", "no-appendfsync-on-rewrite"),
)
REMEDY = (
    "set appendonly to yes, appendfsync to always and no-appendfsync-on-rewrite to no for durable, "
    "and let this user read them with CONFIG GET; no Redis reaches failover, since one loses "
    "acknowledged writes even with WAIT: use a PostgreSQL with a synchronous standby"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one server said about itself when it was last asked.

    Attributes:
        run_id: Names this run of this server: another one after every restart.
        version: Such as ``8.2.3``; empty if it was not told.
        role: ``master`` or ``slave``, in the server's words.
        is_cluster: Whether it shares the slots with others.
        policy: ``maxmemory-policy``.
        is_durable: Whether an answer is given once it is on disk.
    """

    run_id: str
    version: str
    role: str
    is_cluster: bool
    policy: str
    is_durable: bool

    @property
    def guarantee(self) -> ReplayGuarantee:
        """The level that the server reaches; it outlives the processes that use it."""
        return ReplayGuarantee.DURABLE if self.is_durable else ReplayGuarantee.NODE

    def require(self, *, label: str, cluster: bool, guarantee: ReplayGuarantee) -> None:
        """Check that nonces may be kept there.

        Raises:
            ConfigurationError: They may not; the text names the setting, its value and the way out.
        """
        if not self.run_id or not self.version:
            raise ConfigurationError(
                f"{label} does not tell its version and run id: let this user run INFO, and use "
                "version 7.0 or later"
            )
        if _numbers(self.version) < OLDEST_VERSION:
            raise ConfigurationError(f"{label} is of version {self.version}: 7.0 is the oldest")
        if self.is_cluster != cluster:
            raise ConfigurationError(
                f"{label} is {'a node of a cluster' if self.is_cluster else 'no cluster'}: "
                f"open it with cluster={self.is_cluster}"
            )
        # In a cluster, a replica says itself where to go.
        if self.role != "master" and not cluster:
            raise ConfigurationError(
                f"{label} has the role {self.role or 'unknown'}: connect to the primary"
            )
        if self.policy != "noeviction":
            raise ConfigurationError(
                f"{label} has maxmemory-policy {self.policy or 'unknown'}, which may evict what "
                "was admitted: set it to noeviction"
            )
        self.guarantee.require(guarantee, store=label, remedy=REMEDY)


def read_facts(info: object, config: object) -> Facts:
    """Read the answers to `QUESTIONS`; an error among them is an answer that tells nothing."""
    told = _fields(info)
    settings = _settings(config)
    return Facts(
        run_id=told.get("run_id", ""),
        version=told.get("redis_version", ""),
        role=told.get("role", ""),
        is_cluster=told.get("cluster_enabled") == "1",
        policy=told.get("maxmemory_policy", ""),
        is_durable=told.get("aof_enabled") == "1"
        # Switched on while it runs, until the first file is whole nothing is on disk.
        and not (_is_being_written(told) and told.get("aof_base_size") == "0")
        and settings.get("appendfsync") == "always"
        # While a child writes a snapshot, "yes" here switches "always" off.
        and settings.get("no-appendfsync-on-rewrite") == "no",
    )


def _is_being_written(told: Mapping[str, str]) -> bool:
    return "1" in {told.get("aof_rewrite_in_progress"), told.get("aof_rewrite_scheduled")}


def _fields(info: object) -> Mapping[str, str]:
    lines = info.decode(errors="replace").splitlines() if isinstance(info, bytes) else []
    return {name: value for name, found, value in (line.partition(":") for line in lines) if found}


def _settings(config: object) -> Mapping[str, str]:
    if isinstance(config, list):  # RESP2 has no maps
        config = dict(zip(config[::2], config[1::2], strict=True))
    if not isinstance(config, dict):
        return {}
    return {name.decode(): value.decode() for name, value in config.items()}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
