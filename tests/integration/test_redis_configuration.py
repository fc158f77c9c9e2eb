"""A Redis that could forget what it was told is refused at start, by name, value and way out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage.contract.made import nonce
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.redis import RedisStorage
from sage_native.storage.redis.facts import read_facts
from tests.servers.processes import free_ports
from tests.servers.redis import RedisPair, RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "tr0ub4dor&3"  # noqa: S105 - of a server that lives for a test
QUOTED = "tr0ub4dor%263"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
@pytest.mark.parametrize("maxmemory", ["0", "100mb"])
async def test_a_server_that_evicts_is_refused(
    server: RedisServer, policy: str, maxmemory: str
) -> None:
    server.execute("CONFIG", "SET", "maxmemory", maxmemory, "maxmemory-policy", policy)
    try:
        with pytest.raises(ConfigurationError, match=f"{policy}.*set it to noeviction"):
            await RedisStorage.open(server.url)
    finally:
        server.execute("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
    async with await RedisStorage.open(server.url) as storage:
        assert storage.nonces.guarantee is ReplayGuarantee.DURABLE


async def test_a_server_that_begins_to_evict_is_left(server: RedisServer) -> None:
    async with await RedisStorage.open(server.url) as storage:
        server.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        server.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.05)  # for the connections to be seen closed
        request = nonce()
        with pytest.raises(StorageError, match=r"allkeys-lru.*noeviction"):
            await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)
        with pytest.raises(StorageError, match="allkeys-lru"):
            await storage.check()
        server.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)


@pytest.mark.parametrize(
    ("setting", "value", "good"),
    [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
    ],
)
async def test_what_is_not_written_at_once_is_not_durable(
    server: RedisServer, setting: str, value: str, good: str
) -> None:
    server.execute("CONFIG", "SET", setting, value)
    try:
        with pytest.raises(ConfigurationError, match=r"level node.*demands durable.*appendfsync"):
            await RedisStorage.open(server.url, guarantee=ReplayGuarantee.DURABLE)
        async with await RedisStorage.open(server.url) as storage:
            assert storage.nonces.guarantee is ReplayGuarantee.NODE
    finally:
        server.execute("CONFIG", "SET", setting, good)
        while b"aof_rewrite_in_progress:0" not in _persistence(server):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("state", ["aof_rewrite_in_progress", "aof_rewrite_scheduled"])
@pytest.mark.parametrize("base_size", [0, 89])
def test_an_append_only_file_that_is_not_whole_yet_is_none(state: str, base_size: int) -> None:
    """Switched on while the server runs, it holds nothing until it was written once."""
    info = f"run_id:1\r\naof_enabled:1\r\n{state}:1\r\naof_base_size:{base_size}\r\n".encode()
    config = {b"appendfsync": b"always", b"no-appendfsync-on-rewrite": b"no"}
    assert read_facts(info, config).is_durable == (base_size > 0)


async def test_no_redis_reaches_failover(server: RedisServer) -> None:
    with pytest.raises(ConfigurationError, match="loses acknowledged writes even with WAIT"):
        await RedisStorage.open(server.url, guarantee=ReplayGuarantee.FAILOVER, replicas=1)
    for wanted in (ReplayGuarantee.PROCESS, ReplayGuarantee.NODE, ReplayGuarantee.DURABLE):
        async with await RedisStorage.open(server.url, guarantee=wanted) as storage:
            assert storage.nonces.guarantee is ReplayGuarantee.DURABLE


async def test_what_a_server_does_not_tell_counts_as_not_met(server: RedisServer) -> None:
    server.execute("ACL", "SETUSER", "lodger", "on", f">{SECRET}", "~*", "+@all", "-config")
    url = f"redis://lodger:{QUOTED}@127.0.0.1:{server.port}/0"
    async with await RedisStorage.open(url) as storage:
        assert storage.nonces.guarantee is ReplayGuarantee.NODE
        assert await storage.nonces.admit_many([nonce()])
    with pytest.raises(ConfigurationError, match="CONFIG GET"):
        await RedisStorage.open(url, guarantee=ReplayGuarantee.DURABLE)
    server.execute("ACL", "SETUSER", "lodger", "-info")
    with pytest.raises(ConfigurationError, match="let this user run INFO"):
        await RedisStorage.open(url)


async def test_a_replica_is_refused() -> None:
    with RedisPair() as pair:
        with pytest.raises(ConfigurationError, match="role slave: connect to the primary"):
            await RedisStorage.open(pair.replica.url)
        async with await RedisStorage.open(pair.primary.url) as storage:
            request = nonce()
            pair.replica.execute("REPLICAOF", "NO", "ONE")
            pair.primary.execute("REPLICAOF", "127.0.0.1", pair.replica.port)
            for _ in range(3):
                with pytest.raises(StorageError, match=r"read only replica|role slave"):
                    await storage.nonces.admit(
                        request.scope, request.nonce, request.remember_until_ms
                    )


async def test_one_server_and_a_cluster_are_told_apart(server: RedisServer) -> None:
    with pytest.raises(ConfigurationError, match="no cluster: open it with cluster=False"):
        await RedisStorage.open(server.url, cluster=True)
    with (
        RedisServer({"cluster-enabled": "yes", "cluster-port": str(free_ports()[0])}) as node,
        pytest.raises(ConfigurationError, match="of a cluster: open it with cluster=True"),
    ):
        await RedisStorage.open(node.url)


async def test_the_password_is_nowhere_to_be_seen(server: RedisServer) -> None:
    server.execute("ACL", "SETUSER", "owner", "on", f">{SECRET}", "~*", "+@all")
    url = f"redis://owner:{QUOTED}@127.0.0.1:{server.port}/3"
    async with await RedisStorage.open(url, timeout_s=5) as storage:
        assert storage.label == f"Redis 127.0.0.1:{server.port}/3"
        seen = [repr(storage), storage.label, storage.nonces.label]
        server.execute("ACL", "SETUSER", "owner", "resetpass", ">changed")
        server.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.05)  # for the connections to be seen closed
        with pytest.raises(StorageError) as refused:
            await storage.sessions("one").count()
        assert "invalid username-password" in str(refused.value)
    errors: list[BaseException | None] = [refused.value]
    for broken in (
        f"redis://owner:{SECRET}/x@127.0.0.1:{server.port}",
        f"http://owner:{QUOTED}@127.0.0.1",
        f"redis://owner:{QUOTED}@127.0.0.1:{server.port}?decode_responses=yes",
    ):
        with pytest.raises(ConfigurationError, match="Redis URL") as unread:
            await RedisStorage.open(broken)
        errors.append(unread.value)
    while errors:
        error = errors.pop()
        if error is not None:
            seen += [str(error), repr(error)]
            errors += [
                error.__cause__,
                error.__context__ if not error.__suppress_context__ else None,
            ]
    assert len(seen) > 10
    assert not [text for text in seen if "tr0ub4dor" in text]


async def test_a_server_that_is_not_there_is_no_configuration() -> None:
    (port,) = free_ports()
    with pytest.raises(StorageError, match=f"Redis 127.0.0.1:{port} failed") as refused:
        await RedisStorage.open(f"redis://127.0.0.1:{port}/0")
    assert refused.value.__cause__ is not None


async def test_a_prefix_cannot_end_its_hash_tag(server: RedisServer) -> None:
    for prefix in ("", "a}b", "x" * 65, "ü"):
        with pytest.raises(ConfigurationError, match="1 to 64 letters"):
            await RedisStorage.open(server.url, prefix=prefix)


async def test_prefixes_keep_stores_apart(server: RedisServer) -> None:
    request = nonce()
    for prefix in ("staging", "production"):
        async with await RedisStorage.open(server.url, prefix=prefix) as storage:
            await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_both_protocols_and_a_unix_socket(protocol: int) -> None:
    server = RedisServer({"appendonly": "yes", "appendfsync": "always"})
    path = server.directory / "redis.sock"
    server.options["unixsocket"] = str(path)
    with server:
        for url in (
            f"unix://{path}?protocol={protocol}",
            f"redis://127.0.0.1:{server.port}/1?protocol={protocol}",
        ):
            async with await RedisStorage.open(url, guarantee=ReplayGuarantee.DURABLE) as storage:
                request = nonce()
                outcomes = await storage.nonces.admit_many([request, request])
                assert [one.value for one in outcomes] == ["fresh", "replay"]
                assert await storage.session_store_names() == []


def _persistence(server: RedisServer) -> bytes:
    with redis.Redis(port=server.port) as client:
        return b"".join(
            f"{name}:{value}\n".encode() for name, value in client.info("persistence").items()
        )
