"""A memory that was lost is noticed by the first call, which is refused, and told to everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ReplayDetectedError, StorageError
from sage_native.storage.base import MAX_DIVERGENCE_MS, Outcome
from sage_native.storage.contract.made import clock_ms, nonce
from sage_native.storage.redis import RedisStorage
from sage_native.storage.redis.nonces import BUCKET_MS
from tests.servers.redis import RedisPair, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sage_native.storage.base import NonceStore
    from sage_native.storage.rows import RequestNonce

HORIZON_MS = 180_000
FRESH, REPLAY, UNKNOWN = Outcome.FRESH, Outcome.REPLAY, Outcome.UNKNOWN


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def storage(server: RedisServer) -> AsyncIterator[RedisStorage]:
    async with await RedisStorage.open(server.url) as storage:
        yield storage


async def _admit(nonces: NonceStore, request: RequestNonce) -> None:
    await nonces.admit(request.scope, request.nonce, request.remember_until_ms)


def _later(storage: RedisStorage) -> int:
    """Return a time at which this memory is complete, unless something happens to it."""
    return storage.nonces.remembers_since_ms + HORIZON_MS


async def _restart_hard(server: RedisServer) -> None:
    server.kill_9()
    server.start()
    await asyncio.sleep(0.05)  # for the connections to be seen closed


async def _refused_once(storage: RedisStorage, complete_ms: int, lost_ms: int) -> None:
    """Check that one call is refused, and that from then on more is demanded of clients."""
    with pytest.raises(StorageError, match="lost, marked, or came to another run"):
        await _admit(storage.nonces, nonce())
    assert lost_ms <= storage.nonces.remembers_since_ms <= clock_ms()
    assert not storage.nonces.is_complete(now_ms=lost_ms + HORIZON_MS - 1)
    assert complete_ms < storage.nonces.remembers_since_ms + HORIZON_MS
    await _admit(storage.nonces, nonce())


async def test_a_new_memory_is_incomplete_for_its_horizon(storage: RedisStorage) -> None:
    assert not storage.nonces.is_complete()
    assert storage.nonces.is_complete(now_ms=_later(storage))
    assert storage.nonces.remembers_since_ms <= clock_ms()


async def test_a_memory_outlives_the_workers_that_use_it(
    server: RedisServer, storage: RedisStorage
) -> None:
    request = nonce()
    await _admit(storage.nonces, request)
    async with await RedisStorage.open(server.url) as other:
        assert other.nonces.remembers_since_ms == storage.nonces.remembers_since_ms
        assert await other.nonces.admit_many([request, nonce()]) == [REPLAY, FRESH]
    assert await storage.nonces.admit_many([nonce()]) == [FRESH]


async def test_a_restart_that_lost_everything(server: RedisServer, storage: RedisStorage) -> None:
    request, complete_ms = nonce(), _later(storage)
    await _admit(storage.nonces, request)
    await _restart_hard(server)
    with pytest.raises(StorageError, match="lost"):
        await _admit(storage.nonces, request)
    assert not storage.nonces.is_complete(now_ms=complete_ms)
    await _admit(storage.nonces, nonce())


async def test_a_restart_from_an_old_snapshot(server: RedisServer, storage: RedisStorage) -> None:
    complete_ms = _later(storage)
    server.execute("SAVE")
    request = nonce()
    await _admit(storage.nonces, request)
    await _restart_hard(server)
    # The memory is there, with its id: only the run of the server tells.
    assert await storage.nonces.admit_many([request]) == [UNKNOWN]
    assert not storage.nonces.is_complete(now_ms=complete_ms)


async def test_everybody_notices_a_flush(server: RedisServer, storage: RedisStorage) -> None:
    async with (
        await RedisStorage.open(server.url) as second,
        await RedisStorage.open(server.url) as third,
    ):
        complete_ms = _later(storage)
        request = nonce()
        await _admit(storage.nonces, request)
        await asyncio.sleep(0.002)  # so that its loss has another time than its making
        lost_ms = clock_ms()
        server.execute("FLUSHALL")
        for worker in (storage, second, third):
            await _refused_once(worker, complete_ms, lost_ms)
        assert len({one.nonces.remembers_since_ms for one in (storage, second, third)}) == 1


async def test_a_batch_that_meets_a_flush_is_refused_whole(
    server: RedisServer, storage: RedisStorage
) -> None:
    server.execute("FLUSHALL")
    requests = [nonce() for _ in range(2500)]
    assert await storage.nonces.admit_many(requests) == [UNKNOWN] * 2500
    assert await storage.nonces.admit_many(requests) == [FRESH] * 2500


async def test_what_was_asked_before_the_loss_was_noticed_is_refused(
    server: RedisServer, storage: RedisStorage
) -> None:
    """Whoever asked saw a complete memory; the admission must not meet another one."""
    server.execute("FLUSHALL")
    calls = [asyncio.ensure_future(_admit(storage.nonces, nonce())) for _ in range(3000)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {StorageError}
    await _admit(storage.nonces, nonce())


async def test_a_mark_reaches_other_workers(server: RedisServer, storage: RedisStorage) -> None:
    async with await RedisStorage.open(server.url) as other:
        request = nonce()
        await _admit(other.nonces, request)
        marked_ms = clock_ms() + 5
        await storage.nonces.mark_incomplete(now_ms=marked_ms)
        assert await other.nonces.admit_many([request]) == [UNKNOWN]
        assert other.nonces.remembers_since_ms == marked_ms
        # Marking forgets nothing.
        assert await other.nonces.admit_many([request]) == [REPLAY]
        assert await storage.nonces.admit_many([request]) == [REPLAY]
        await storage.nonces.mark_incomplete(now_ms=marked_ms - 1000)
        assert storage.nonces.remembers_since_ms == marked_ms


async def test_a_promoted_replica_is_another_memory() -> None:
    with RedisPair() as pair:
        async with await RedisStorage.open(pair.primary.url) as storage:
            complete_ms = _later(storage)
            await _admit(storage.nonces, nonce())
        pair.primary.execute("WAIT", 1, 5000)
        pair.wait_until_linked()
        pair.primary.kill_9()
        pair.replica.execute("REPLICAOF", "NO", "ONE")
        async with await RedisStorage.open(pair.replica.url) as storage:
            assert storage.nonces.remembers_since_ms + HORIZON_MS > complete_ms
            assert not storage.nonces.is_complete(now_ms=complete_ms)


async def test_flushed_scripts_are_loaded_again(server: RedisServer, storage: RedisStorage) -> None:
    request = nonce()
    await _admit(storage.nonces, request)
    server.execute("SCRIPT", "FLUSH")
    with pytest.raises(ReplayDetectedError):
        await _admit(storage.nonces, request)
    server.execute("SCRIPT", "FLUSH")
    assert await storage.nonces.admit_many([nonce() for _ in range(3000)]) == [FRESH] * 3000


async def test_a_floor_that_was_raised_outlives_every_clock(
    server: RedisServer, storage: RedisStorage
) -> None:
    """What is dropped lies below the floor, whatever a worker's clock says later."""
    now = clock_ms()
    requests = [nonce(end_ms=now + 1000 * step) for step in range(1, 181)]
    assert await storage.nonces.admit_many(requests, now_ms=now) == [FRESH] * 180
    # A clock that is a week ahead: it may sweep, but no further than what was admitted.
    ahead_ms = now + 7 * 86_400_000
    await storage.nonces.delete_expired(now_ms=ahead_ms)
    end_ms = ahead_ms + HORIZON_MS
    assert await storage.nonces.admit_many([nonce(end_ms=end_ms)], now_ms=ahead_ms) == [FRESH]
    assert await storage.nonces.delete_expired(now_ms=2 * ahead_ms) == 180
    assert await storage.nonces.count() == 1
    for hostile_ms in (0, now - 3_600_000, now, now + 90_000):
        known = [one for one in requests if one.remember_until_ms <= hostile_ms + HORIZON_MS]
        assert await storage.nonces.admit_many(known, now_ms=hostile_ms) == [REPLAY] * len(known)
    assert server.execute("DBSIZE") == 2  # the memory, and the bucket of the last


@pytest.mark.parametrize(
    ("before_ms", "after_ms"),
    [(1, 0), (1, MAX_DIVERGENCE_MS - 1), (60_000, 60_000), (MAX_DIVERGENCE_MS, 0)],
)
async def test_two_ends_on_both_sides_of_an_edge_are_one_nonce(
    storage: RedisStorage, before_ms: int, after_ms: int
) -> None:
    edge_ms = (clock_ms() // BUCKET_MS + 5) * BUCKET_MS
    ends = edge_ms - before_ms, edge_ms + after_ms
    now = ends[0] - 1
    for first, second in (ends, ends[::-1]):
        request = nonce(end_ms=first)
        again = nonce(request.nonce, end_ms=second)
        assert await storage.nonces.admit_many([request], now_ms=now) == [FRESH]
        assert await storage.nonces.admit_many([again], now_ms=now) == [REPLAY]
        other = nonce()
        both = [nonce(other.nonce, end_ms=first), nonce(other.nonce, end_ms=second)]
        assert await storage.nonces.admit_many(both, now_ms=now) == [FRESH, REPLAY]


async def test_a_bucket_is_kept_while_another_end_of_its_nonces_is_acceptable(
    storage: RedisStorage,
) -> None:
    edge_ms = (clock_ms() // BUCKET_MS + 5) * BUCKET_MS
    request, latest_ms = nonce(end_ms=edge_ms - 1), edge_ms + MAX_DIVERGENCE_MS
    marker = [nonce(end_ms=latest_ms - 2), nonce(end_ms=latest_ms)]
    now = edge_ms - 2
    assert await storage.nonces.admit_many([request, marker[0]], now_ms=now) == [FRESH] * 2
    assert await storage.nonces.delete_expired(now_ms=latest_ms + 1) == 0
    again = nonce(request.nonce, end_ms=latest_ms - 1)
    assert await storage.nonces.admit_many([again], now_ms=now) == [REPLAY]
    assert await storage.nonces.admit_many([marker[1]], now_ms=now) == [FRESH]
    assert await storage.nonces.delete_expired(now_ms=latest_ms + 1) == 1
    assert await storage.nonces.admit_many([request, again], now_ms=now) == [REPLAY] * 2
