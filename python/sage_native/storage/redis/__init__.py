"""Sessions and request nonces in Redis 7 or later, alone or as a cluster, on redis-py.

::

    async with await RedisStorage.open("redis://127.0.0.1:6379/0") as storage:
        await storage.nonces.admit(client_did, nonce, remember_until_ms)
        await storage.sessions("gateway").create(row)

DIDs are not kept here. What nonces rest on stands in `nonces`, what connections rest on in
`connection`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage.base import DEFAULT_HORIZON_MS, Storage
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.redis.connection import Server, _Wire
from sage_native.storage.redis.nonces import RedisNonceStore
from sage_native.storage.redis.sessions import RedisSessionStore, stored_names
from sage_native.storage.redis.topology import Cluster, Single, Topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from sage_native.storage.redis.facts import Facts

__all__ = ["RedisNonceStore", "RedisSessionStore", "RedisStorage"]

# What a URL may set. Timeouts, retries and decoding are not for it: the theory rests on them.
_URL_OPTIONS = frozenset({"client_name", "db", "host", "password", "path", "port", "protocol"}) | {
    "connection_class",
    "username",
}
_PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RedisStorage(Storage):
    """One Redis, or one cluster, and the stores in it; `open` makes it."""

    def __init__(self, topology: Topology, nonces: RedisNonceStore, *, prefix: str) -> None:
        self.label = topology.label
        self.nonces = self._nonces = nonces
        self.dids = None
        self._topology = topology
        self._prefix = prefix
        self._stores: dict[str, RedisSessionStore] = {}

    @classmethod
    async def open(  # noqa: PLR0913 - one setting each
        cls,
        url: str,
        *,
        guarantee: ReplayGuarantee = ReplayGuarantee.NODE,
        prefix: str = "sage",
        horizon_ms: int = DEFAULT_HORIZON_MS,
        timeout_s: float = 0.9,
        replicas: int = 0,
        cluster: bool = False,
        max_connections: int = 16,
    ) -> Self:
        """Connect, and check that the servers keep what they are told.

        Args:
            url: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` with TLS, or
                ``unix:///path``. Options: ``db``, ``protocol``, ``client_name`` and those of TLS
                that begin with ``ssl_``.
            guarantee: The replay guarantee that is demanded: ``NODE``, or ``DURABLE`` where every
                write is on disk before its answer.
            prefix: What every key begins with, 1 to 64 letters, digits and ``._:-``.
            horizon_ms: How far ahead of the clock the ends of nonces may lie.
            timeout_s: When a call is given up, in seconds.
            replicas: How many replicas must have taken a write, in memory, before it counts. That
                makes a failover lose less, and never nothing: it adds no level.
            cluster: Whether the servers share the slots; ``url`` leads to one of them.
            max_connections: The most connections to one server.

        Raises:
            ConfigurationError: The URL or a setting is wrong, or a server evicts, is a replica, is
                too old, or does not reach the guarantee.
            StorageError: A server did not answer.
        """
        options, label = _options(url, timeout_s)
        if not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                f"prefix {prefix!r} has other than 1 to 64 letters, digits, dots, colons, hyphens "
                "and underscores"
            )
        connect = partial(
            _server,
            options,
            require=_Requirement(cluster=cluster, guarantee=guarantee),
            max_connections=max_connections,
            replicas=replicas,
            # The answer has to be back before the call is given up, and Redis looks only every
            # 100 ms whether it waits too long.
            wait_ms=max(1, int(timeout_s * 800) - 100),
        )
        topology = _topology(connect, options, label=label, cluster=cluster, timeout_s=timeout_s)
        try:
            reached = await _check_servers(topology)
            nonces = RedisNonceStore(
                topology, prefix=prefix, horizon_ms=horizon_ms, guarantee=reached
            )
            await nonces.start()
        except BaseException:
            await topology.aclose()
            raise
        return cls(topology, nonces, prefix=prefix)

    def sessions(self, name: str) -> RedisSessionStore:
        store = self._stores.get(name)
        if store is None:
            store = RedisSessionStore(name, self._topology, prefix=self._prefix)
            self._stores[name] = store
        return store

    async def session_store_names(self) -> Sequence[str]:
        return await stored_names(self._topology, prefix=self._prefix)

    async def check(self) -> None:
        try:
            await _check_servers(self._topology)
        except ConfigurationError as error:
            raise StorageError(str(error)) from error

    async def aclose(self) -> None:
        await self._nonces.aclose()
        for store in self._stores.values():
            await store.aclose()
        await self._topology.aclose()

    def __repr__(self) -> str:
        return f"<RedisStorage {self.label}>"


def _options(url: str, timeout_s: float) -> tuple[dict[str, Any], str]:
    """Return what redis-py's connections take, and what the whole is called."""
    try:
        told: dict[str, Any] = dict(parse_url(url))
        db = told.get("db", 0)
    except ValueError:
        # Without its cause: what is wrong in a URL may be a part of the password.
        raise ConfigurationError(
            "the Redis URL cannot be read: it is redis://, rediss:// or unix://, with everything "
            "but letters and digits percent-encoded in user and password"
        ) from None
    for name in told:
        if name not in _URL_OPTIONS and not name.startswith("ssl_"):
            raise ConfigurationError(f"{name} in the Redis URL is unknown, or is not set there")
    if "path" in told:
        label = f"Redis unix:{told['path']}"
    else:
        told = {"host": "localhost", "port": 6379} | told
        label = f"Redis {told['host']}:{told['port']}"
    options = told | {
        "socket_timeout": None,  # exchanges have a deadline
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),  # one attempt to connect: the caller has no time for more
    }
    return options, f"{label}/{db}" if db else label


class _Requirement:
    """What a server must be like, to be asked with what it said about itself."""

    def __init__(self, *, cluster: bool, guarantee: ReplayGuarantee) -> None:
        self._cluster = cluster
        self._guarantee = guarantee

    def __call__(self, facts: Facts, label: str) -> None:
        facts.require(label=label, cluster=self._cluster, guarantee=self._guarantee)


def _server(  # noqa: PLR0913 - one setting each
    options: Mapping[str, Any],
    *,
    label: str,
    require: _Requirement,
    max_connections: int,
    replicas: int,
    wait_ms: int,
    **address: str | int,
) -> Server:
    settings = dict(options) | address
    kind = settings.pop("connection_class", Connection)
    return Server(
        lambda: cast("_Wire", kind(**settings)),
        label=label,
        require=require,
        max_connections=max_connections,
        replicas=replicas,
        wait_ms=wait_ms,
    )


def _topology(
    connect: partial[Server],
    options: Mapping[str, Any],
    *,
    label: str,
    cluster: bool,
    timeout_s: float,
) -> Topology:
    if not cluster:
        return Single(connect(label=label), timeout_s=timeout_s)
    if "path" in options or options.get("db", 0):
        raise ConfigurationError(
            f"{label} is no node of a cluster: it needs a host, and database 0"
        )
    return Cluster(
        lambda host, port: connect(label=f"Redis {host}:{port}", host=host, port=port),
        host=options["host"],
        port=options["port"],
        label=f"the Redis cluster of {options['host']}:{options['port']}",
        timeout_s=timeout_s,
    )


async def _check_servers(topology: Topology) -> ReplayGuarantee:
    """Ask every server for a sign of life, and return the level that all of them reach."""
    deadline = topology.deadline()
    reached = ReplayGuarantee.FAILOVER
    for server in await topology.servers(deadline=deadline):
        await server.exchange([("PING",)], deadline=deadline)
        assert server.facts is not None  # noqa: S101 - an exchange learns them first
        reached = min(reached, server.facts.guarantee)
    return reached
