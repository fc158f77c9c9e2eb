"""The stores in Redis keep the contract, on one server and in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.storage.contract import NonceStoreContract, SessionStoreContract
from sage_native.storage.redis import RedisStorage
from tests.servers.redis import RedisCluster, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class TestRedis(SessionStoreContract, NonceStoreContract):
    @pytest.fixture
    async def storage(self, redis_server: RedisServer) -> AsyncIterator[RedisStorage]:
        redis_server.flush()
        async with await RedisStorage.open(redis_server.url, timeout_s=5) as storage:
            yield storage


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


class TestRedisCluster(SessionStoreContract, NonceStoreContract):
    @pytest.fixture
    async def storage(self, cluster: RedisCluster) -> AsyncIterator[RedisStorage]:
        for node in cluster.nodes:
            node.flush()
        async with await RedisStorage.open(cluster.url, cluster=True, timeout_s=5) as storage:
            yield storage
