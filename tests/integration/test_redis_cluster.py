"""A cluster: nonces are spread, slots move, and trouble stays where it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import nonce, row
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.redis import RedisStorage
from tests.integration.redis_rival import present
from tests.servers.redis import RedisCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sage_native.storage.rows import RequestNonce
    from tests.servers.redis import RedisServer

FRESH, REPLAY, UNKNOWN = Outcome.FRESH, Outcome.REPLAY, Outcome.UNKNOWN
HORIZON_MS = 180_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster({"appendonly": "yes", "appendfsync": "always"}) as cluster:
        yield cluster


@pytest.fixture
async def storage(cluster: RedisCluster) -> AsyncIterator[RedisStorage]:
    for node in cluster.nodes:
        node.flush()
    async with await RedisStorage.open(
        cluster.url, cluster=True, guarantee=ReplayGuarantee.DURABLE
    ) as storage:
        yield storage


async def test_nonces_are_spread_and_each_is_admitted_once(
    cluster: RedisCluster, storage: RedisStorage
) -> None:
    requests = [nonce() for _ in range(3000)]
    assert await storage.nonces.admit_many(requests) == [FRESH] * 3000
    assert await storage.nonces.count() == 3000
    held = [_nonces_of(node) for node in cluster.nodes]
    assert sum(held) == 3000
    assert min(held) > 100
    async with await RedisStorage.open(cluster.nodes[1].url, cluster=True) as other:
        counts = await asyncio.gather(
            *(present(one.nonces, requests[0], alone=500, batches=2) for one in (storage, other))
        )
        assert counts == [0, 0]
        fresh = nonce()
        counts = await asyncio.gather(
            *(present(one.nonces, fresh, alone=500, batches=2) for one in (storage, other))
        )
        assert sum(counts) == 1


async def test_every_node_is_checked(cluster: RedisCluster) -> None:
    cluster.nodes[2].execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match=f"{cluster.nodes[2].port}.*noeviction"):
            await RedisStorage.open(cluster.url, cluster=True)
    finally:
        cluster.nodes[2].execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
    cluster.nodes[1].execute("CONFIG", "SET", "appendfsync", "everysec")
    try:
        with pytest.raises(ConfigurationError, match="demands durable"):
            await RedisStorage.open(cluster.url, cluster=True, guarantee=ReplayGuarantee.DURABLE)
    finally:
        cluster.nodes[1].execute("CONFIG", "SET", "appendfsync", "always")
    with pytest.raises(ConfigurationError, match="database 0"):
        await RedisStorage.open(cluster.url.replace("/0", "/1"), cluster=True)


async def test_stores_of_several_names_lie_where_their_names_say(storage: RedisStorage) -> None:
    rows = {name: row() for name in ("one", "two", "{three}", "vier ü")}
    for name, stored in rows.items():
        await storage.sessions(name).create(stored)
    assert await storage.session_store_names() == sorted(rows)
    for name, stored in rows.items():
        assert await storage.sessions(name).get(stored.session.session_id) == stored


async def test_a_node_that_hangs_takes_only_its_own_nonces_with_it(
    cluster: RedisCluster, storage: RedisStorage
) -> None:
    requests = [nonce() for _ in range(300)]
    cluster.nodes[1].freeze()
    try:
        outcomes = Counter(await storage.nonces.admit_many(requests))
        assert outcomes.keys() == {FRESH, UNKNOWN}
        assert min(outcomes.values()) > 10
        alone = Counter(await asyncio.gather(*(_outcome(storage, nonce()) for _ in range(200))))
        assert alone.keys() == {FRESH, UNKNOWN}
    finally:
        cluster.nodes[1].thaw()
    cluster.wait_until_well()
    await storage.check()
    again = Counter(await storage.nonces.admit_many(requests))
    # What was carried out without an answer is a replay now.
    assert again[REPLAY] >= outcomes[FRESH]
    assert again[UNKNOWN] == 0


async def test_a_slot_that_moves(cluster: RedisCluster, storage: RedisStorage) -> None:
    """Refused while it is on its way; then found, and taken for one that may lack something."""
    requests = [nonce() for _ in range(400)]
    assert await storage.nonces.admit_many(requests) == [FRESH] * 400
    complete_ms = storage.nonces.remembers_since_ms + HORIZON_MS
    slot = key_slot(b"{sage:n:00}")
    source = _owner(cluster, slot)
    target = next(node for node in cluster.nodes if node is not source)
    ids = {node.port: str(node.execute("CLUSTER", "MYID")) for node in (source, target)}
    target.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
    source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
    keys = source.execute("CLUSTER", "GETKEYSINSLOT", slot, 100)
    assert "{sage:n:00}" in keys
    source.execute("MIGRATE", "127.0.0.1", target.port, "{sage:n:00}", 0, 5000)
    # Half of its keys are there, half are here.
    outcomes = Counter(await storage.nonces.admit_many([*requests, *(nonce() for _ in range(400))]))
    assert outcomes[UNKNOWN] > 10
    assert outcomes[REPLAY] > 300
    for key in keys:
        if key != "{sage:n:00}":
            source.execute("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    for node in (target, source, *cluster.nodes):
        node.execute("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
    cluster.wait_until_well()
    outcomes = Counter(await storage.nonces.admit_many(requests))
    assert outcomes[UNKNOWN] + outcomes[REPLAY] == 400
    assert outcomes[UNKNOWN] > 5
    assert not storage.nonces.is_complete(now_ms=complete_ms)
    assert await storage.nonces.admit_many(requests) == [REPLAY] * 400


async def test_a_node_that_was_killed_forgets_nothing(
    cluster: RedisCluster, storage: RedisStorage
) -> None:
    requests = [nonce() for _ in range(300)]
    assert await storage.nonces.admit_many(requests) == [FRESH] * 300
    cluster.nodes[0].kill_9()  # the one that the URL leads to
    outcomes = Counter(await storage.nonces.admit_many(requests))
    assert outcomes.keys() == {REPLAY, UNKNOWN}
    cluster.nodes[0].start()
    cluster.wait_until_well()
    outcomes = Counter(await storage.nonces.admit_many(requests))
    assert outcomes.keys() <= {REPLAY, UNKNOWN}
    assert await storage.nonces.admit_many(requests) == [REPLAY] * 300


async def _outcome(storage: RedisStorage, request: RequestNonce) -> Outcome:
    try:
        await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)
    except StorageError:
        return UNKNOWN
    return FRESH


def _owner(cluster: RedisCluster, slot: int) -> RedisServer:
    ports = [
        port
        for first, last, (_, port, *_), *_ in cluster.nodes[0].execute("CLUSTER", "SLOTS")
        if first <= slot <= last
    ]
    return next(node for node in cluster.nodes if [node.port] == ports)


def _nonces_of(node: RedisServer) -> int:
    return sum(int(node.execute("SCARD", key)) for key in node.execute("KEYS", "{sage:n:*}:*"))
