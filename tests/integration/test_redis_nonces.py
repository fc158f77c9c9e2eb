"""Request nonces in a Redis that is stormed, killed, filled and replicated."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import CapacityError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import nonce, row
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.redis import RedisStorage
from tests.integration.redis_rival import present
from tests.servers.redis import RedisPair, RedisServer

if TYPE_CHECKING:
    from sage_native.storage.rows import RequestNonce

FRESH, REPLAY, FULL, UNKNOWN = Outcome.FRESH, Outcome.REPLAY, Outcome.FULL, Outcome.UNKNOWN


async def test_a_hundred_thousand_duplicates_from_two_processes() -> None:
    """Of each nonce 10^5 at once: alone and in batches, over many connections."""
    alone, batches, rounds = 5_000, 45, 1
    with RedisServer() as server:
        command = [sys.executable, "-m", "tests.integration.redis_rival", server.url]
        rival = await asyncio.create_subprocess_exec(
            *command,
            str(alone),
            str(batches),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert rival.stdin is not None
        assert rival.stdout is not None
        assert await rival.stdout.readline() == b"ready\n"
        async with await RedisStorage.open(server.url, timeout_s=30) as storage:
            for _ in range(rounds):
                request = nonce()
                told = json.dumps([request.scope, request.nonce.hex(), request.remember_until_ms])
                rival.stdin.write(told.encode() + b"\n")
                await rival.stdin.drain()
                ours = await present(storage.nonces, request, alone=alone, batches=batches)
                theirs = int(await rival.stdout.readline())
                assert ours + theirs == 1
            assert await storage.nonces.count() == rounds
        rival.stdin.close()
        assert await rival.wait() == 0


async def test_nothing_acknowledged_is_forgotten_over_kill_9() -> None:
    with RedisServer({"appendonly": "yes", "appendfsync": "always"}) as server:
        acknowledged: list[RequestNonce] = []
        for _ in range(4):
            async with await RedisStorage.open(
                server.url, guarantee=ReplayGuarantee.DURABLE
            ) as storage:
                if acknowledged:
                    outcomes = await storage.nonces.admit_many(acknowledged)
                    assert outcomes == [REPLAY] * len(acknowledged)
                writers = [
                    asyncio.create_task(_admit_until_it_fails(storage, acknowledged))
                    for _ in range(20)
                ]
                await asyncio.sleep(random.uniform(0.1, 0.4))
                server.kill_9()
                await asyncio.gather(*writers)
                with pytest.raises(StorageError):
                    await storage.check()
                server.start()
                await storage.check()
        assert len(acknowledged) > 100
        async with await RedisStorage.open(server.url) as storage:
            outcomes = await storage.nonces.admit_many(acknowledged)
            assert outcomes == [REPLAY] * len(acknowledged)


async def _admit_until_it_fails(storage: RedisStorage, acknowledged: list[RequestNonce]) -> None:
    while True:
        request = nonce()
        try:
            await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)
        except StorageError as error:
            assert error.__cause__ is not None  # noqa: PT017 - every one of them
            return
        acknowledged.append(request)


async def test_a_full_server_refuses_and_evicts_nothing() -> None:
    with RedisServer() as server:
        async with await RedisStorage.open(server.url, timeout_s=5) as storage:
            known = [nonce() for _ in range(500)]
            assert await storage.nonces.admit_many(known) == [FRESH] * 500
            stored = row()
            await storage.sessions("one").create(stored)
            server.execute("CONFIG", "SET", "maxmemory", "1mb")
            requests = [nonce() for _ in range(100)]
            assert await storage.nonces.admit_many(requests) == [FULL] * 100
            assert await storage.nonces.admit_many(known) == [REPLAY] * 500
            mixed = await storage.nonces.admit_many([requests[0], known[0], requests[1]])
            assert mixed == [FULL, REPLAY, FULL]
            one = requests[0]
            with pytest.raises(CapacityError, match="no room for another nonce"):
                await storage.nonces.admit(one.scope, one.nonce, one.remember_until_ms)
            with pytest.raises(CapacityError, match="no room for another session"):
                await storage.sessions("one").create(row())
            assert await storage.sessions("one").get(stored.session.session_id) == stored
            assert await storage.nonces.count() == 500
            server.execute("CONFIG", "SET", "maxmemory", "0")
            assert await storage.nonces.admit_many(requests) == [FRESH] * 100


async def test_a_write_counts_once_its_replica_has_it() -> None:
    with RedisPair() as pair:
        async with await RedisStorage.open(pair.primary.url, replicas=1) as storage:
            assert storage.nonces.guarantee is ReplayGuarantee.NODE
            first = nonce()
            assert await storage.nonces.admit_many([first]) == [FRESH]
            stored = row()
            await storage.sessions("one").create(stored)
            pair.replica.freeze()
            second = nonce()
            with pytest.raises(StorageError, match="0 of 1 replicas"):
                await storage.nonces.admit(second.scope, second.nonce, second.remember_until_ms)
            with pytest.raises(StorageError, match="0 of 1 replicas"):
                await storage.sessions("one").create(row())
            assert await storage.sessions("one").get(stored.session.session_id) == stored
            pair.replica.thaw()
            pair.wait_until_linked()
            # It was remembered all the same: unknown is refused, and stays refused.
            assert await storage.nonces.admit_many([first, second, nonce()]) == [
                REPLAY,
                REPLAY,
                FRESH,
            ]


async def test_a_replica_that_is_missing_refuses_everything() -> None:
    with RedisServer() as server:
        with pytest.raises(StorageError, match="0 of 1 replicas"):
            await RedisStorage.open(server.url, replicas=1, timeout_s=0.5)
        async with await RedisStorage.open(server.url) as storage:
            assert await storage.nonces.admit_many([nonce()]) == [FRESH]
