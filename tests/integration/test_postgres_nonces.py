"""Nonces in partitions: ends that lie in different buckets, the floor, what is dropped and when."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sage_native.exceptions import ReplayDetectedError
from sage_native.storage.base import MAX_DIVERGENCE_MS, Outcome
from sage_native.storage.contract.made import clock_ms, nonce
from sage_native.storage.postgres import PostgresStorage
from sage_native.storage.postgres.partitions import BUCKET_MS, bucket_of, buckets_of
from tests.integration.postgres_scenes import new_storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sage_native.storage.rows import RequestNonce
    from tests.servers.postgres import PostgresServer

FRESH, REPLAY = Outcome.FRESH, Outcome.REPLAY


@pytest.fixture
async def storage(postgres_server: PostgresServer) -> AsyncIterator[PostgresStorage]:
    """On a database of its own, with its own partitions."""
    async with new_storage(postgres_server) as storage:
        yield storage
    postgres_server.drop_database(_database(storage))


def test_two_ends_that_may_meet_have_a_bucket_in_common() -> None:
    near = [-1, 0, 1, 599_999, *(edge + step for edge in (480_000, 600_000) for step in (-1, 0, 1))]
    starts = [7 * BUCKET_MS + offset for offset in near] + random.choices(range(10**7), k=500)
    for first in starts:
        for distance in (0, 1, MAX_DIVERGENCE_MS - 1, MAX_DIVERGENCE_MS, random.randrange(120_001)):
            assert set(buckets_of(first)) & set(buckets_of(first + distance))
            assert list(buckets_of(first)) == sorted(set(buckets_of(first)))


async def test_ends_in_different_buckets_are_of_one_nonce(storage: PostgresStorage) -> None:
    border = (clock_ms() // BUCKET_MS + 1) * BUCKET_MS
    offsets = [-119_999, -60_000, -1, 0, 1, 59_999]
    now = border - 120_000
    for one, two in itertools.permutations(offsets, 2):
        if abs(one - two) > MAX_DIVERGENCE_MS:
            continue
        request = nonce(end_ms=border + one)
        again = nonce(request.nonce, end_ms=border + two)
        assert await storage.nonces.admit_many([request], now_ms=now) == [FRESH]
        assert await storage.nonces.admit_many([again], now_ms=now) == [REPLAY]
        assert await storage.nonces.admit_many([request], now_ms=now) == [REPLAY]


async def test_of_concurrent_ends_around_a_border_one_wins(storage: PostgresStorage) -> None:
    border = (clock_ms() // BUCKET_MS + 1) * BUCKET_MS
    now = border - 100_000
    for _ in range(20):
        value = os.urandom(32)
        ends = random.sample(range(border - 60_000, border + 60_000), 12)
        batches = [[nonce(value, end_ms=end), nonce(end_ms=end)] for end in ends]
        outcomes = await asyncio.gather(
            *(storage.nonces.admit_many(batch, now_ms=now) for batch in batches)
        )
        assert [outcome[0] for outcome in outcomes].count(FRESH) == 1
        assert {outcome[1] for outcome in outcomes} == {FRESH}


async def test_partitions_are_dropped_whole_below_the_floor_and_stay_refused(
    storage: PostgresStorage, postgres_server: PostgresServer
) -> None:
    start = (clock_ms() // BUCKET_MS - 20) * BUCKET_MS
    old = [nonce(end_ms=start + 1000 * step) for step in range(1, 100)]
    assert set(await storage.nonces.admit_many(old, now_ms=start)) == {FRESH}
    assert bucket_of(start) in _partitions(storage, postgres_server)
    # Only what was asked for is given up, so the bucket is not over yet.
    await storage.nonces.delete_expired(now_ms=start + 10 * BUCKET_MS)
    assert bucket_of(start) in _partitions(storage, postgres_server)

    later = start + 2 * BUCKET_MS
    kept = [nonce(end_ms=later + 100_000 + step) for step in range(50)]
    assert set(await storage.nonces.admit_many(kept, now_ms=later)) == {FRESH}
    await storage.nonces.delete_expired(now_ms=later)
    assert bucket_of(start) not in _partitions(storage, postgres_server)
    assert bucket_of(later) in _partitions(storage, postgres_server)
    assert await storage.nonces.count() == 50
    # Whatever a clock does later: neither fresh, nor is the partition made again.
    assert set(await storage.nonces.admit_many(old, now_ms=start)) == {REPLAY}
    assert set(await storage.nonces.admit_many(kept, now_ms=later)) == {REPLAY}
    assert bucket_of(start) not in _partitions(storage, postgres_server)


async def test_a_floor_inside_a_batch_refuses_what_lies_below_it_alone(
    storage: PostgresStorage,
) -> None:
    start = clock_ms() - 10 * BUCKET_MS
    known = nonce(end_ms=start + 100_000)
    assert await storage.nonces.admit_many([known], now_ms=start) == [FRESH]
    await storage.nonces.delete_expired(now_ms=start + 50_000)  # the floor
    behind = start + 10_000  # a clock that runs behind
    ends = [start + 50_000 + step for step in range(-20, 21)]
    batch = [nonce(end_ms=end) for end in ends] + [known]
    outcomes = await storage.nonces.admit_many(batch, now_ms=behind)
    assert outcomes == [REPLAY] * 21 + [FRESH] * 20 + [REPLAY]
    assert await storage.nonces.admit_many(batch, now_ms=behind) == [REPLAY] * 42


async def test_a_drop_waits_for_nobody_and_nobody_for_it(
    storage: PostgresStorage, postgres_server: PostgresServer
) -> None:
    start = (clock_ms() // BUCKET_MS - 20) * BUCKET_MS
    later = start + 2 * BUCKET_MS
    await storage.nonces.admit_many([nonce(end_ms=start + 1)], now_ms=start)
    await storage.nonces.admit_many([nonce(end_ms=later + 1000)], now_ms=later)
    reader = await asyncpg.connect(postgres_server.dsn(_database(storage)))
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM nonces")  # holds its locks until the end
            assert await storage.nonces.delete_expired(now_ms=later) == 0
            assert bucket_of(start) in _partitions(storage, postgres_server)
            assert await storage.nonces.admit_many([nonce()]) == [FRESH]
    finally:
        await reader.close()
    await storage.nonces.delete_expired(now_ms=later)
    assert bucket_of(start) not in _partitions(storage, postgres_server)


async def test_a_sweep_that_gives_nothing_up_writes_nothing(
    storage: PostgresStorage, postgres_server: PostgresServer
) -> None:
    def version() -> str:
        return postgres_server.sql(
            "SELECT xmin, ctid, floor_ms FROM replay_memory", database=_database(storage)
        )

    start = clock_ms()
    await storage.nonces.admit_many([nonce(end_ms=start + 1000)], now_ms=start)
    await storage.nonces.delete_expired(now_ms=start + 500)
    assert version().endswith(f"|{start + 500}")
    await storage.nonces.delete_expired(now_ms=start + 2000)
    given_up = version()
    assert given_up.endswith(f"|{start + 1000}")
    for now_ms in (start + 2000, start + 3000, start - 100):
        async with await PostgresStorage.open(postgres_server.dsn(_database(storage))) as other:
            await storage.nonces.delete_expired(now_ms=now_ms)
            await other.nonces.delete_expired(now_ms=now_ms)
    assert version() == given_up


async def test_partitions_are_made_when_nobody_made_them_ahead(storage: PostgresStorage) -> None:
    ahead = clock_ms() + 100 * BUCKET_MS
    requests = [nonce(end_ms=ahead + 100_000) for _ in range(30)]
    outcomes = await asyncio.gather(
        *(storage.nonces.admit_many([request] * 2, now_ms=ahead) for request in requests)
    )
    assert outcomes == [[FRESH, REPLAY]] * 30


async def test_nothing_is_admitted_twice_while_partitions_come_and_go(
    postgres_server: PostgresServer,
) -> None:
    """Time runs 1,500 times as fast; ends of one nonce differ by up to a minute each way."""
    begun, start = time.monotonic(), (clock_ms() // BUCKET_MS - 100) * BUCKET_MS
    admitted: Counter[bytes] = Counter()
    known: list[RequestNonce] = []
    dropped = 0

    def now_ms() -> int:
        return start + round((time.monotonic() - begun) * 1_500_000)

    def again(request: RequestNonce) -> RequestNonce:
        end_ms = request.remember_until_ms + random.randint(-60_000, 60_000)
        return nonce(request.nonce, end_ms=end_ms)

    async def admit(storage: PostgresStorage) -> None:
        while time.monotonic() < begun + 4:
            now = now_ms() + random.randint(-60_000, 60_000)
            fresh = [nonce(end_ms=now + random.randint(1, 110_000)) for _ in range(5)]
            known.extend(fresh)
            batch = [*fresh, *map(again, fresh), *map(again, random.choices(known[-400:], k=40))]
            batch = [one for one in batch if one.remember_until_ms <= now + 180_000]
            for request, outcome in zip(
                batch, await storage.nonces.admit_many(batch, now_ms=now), strict=True
            ):
                assert outcome in {FRESH, REPLAY}
                admitted[request.nonce] += outcome is FRESH

    async def sweep(storage: PostgresStorage) -> None:
        nonlocal dropped
        while time.monotonic() < begun + 4:
            await storage.nonces.delete_expired(now_ms=now_ms() + random.randint(-60_000, 60_000))
            await asyncio.sleep(0.05)

    async with new_storage(postgres_server, timeout_s=10, acquire_timeout_s=10) as one:
        dsn = postgres_server.dsn(_database(one))
        async with await PostgresStorage.open(dsn, timeout_s=10, acquire_timeout_s=10) as two:
            first = set(_partitions(one, postgres_server))
            await asyncio.gather(
                *(admit(storage) for storage in (one, two) * 4), sweep(one), sweep(two)
            )
            last = set(_partitions(one, postgres_server))
        assert max(admitted.values()) == 1
        assert sum(admitted.values()) > 100
        made = {bucket_of(request.remember_until_ms) for request in known}
        assert len(made - last) >= 2, "partitions were dropped meanwhile"
        assert made - first, "partitions were made meanwhile"
    postgres_server.drop_database(dsn.rpartition("/")[2])


async def test_what_one_worker_marks_the_others_learn(postgres_dsn: str) -> None:
    async with (
        await PostgresStorage.open(postgres_dsn) as one,
        await PostgresStorage.open(postgres_dsn) as two,
    ):
        now = clock_ms() + 1_000_000
        await one.nonces.mark_incomplete(now_ms=now)
        await two.nonces.delete_expired()
        assert two.nonces.remembers_since_ms == now
        assert not two.nonces.is_complete(now_ms=now + 1)
    async with await PostgresStorage.open(postgres_dsn) as three:
        assert three.nonces.remembers_since_ms == now


async def test_of_100_000_concurrent_duplicates_one_is_admitted(postgres_dsn: str) -> None:
    request = nonce(end_ms=clock_ms() + 170_000)
    patient = {"timeout_s": 60.0, "acquire_timeout_s": 60.0}
    async with (
        await PostgresStorage.open(postgres_dsn, **patient) as one,  # type: ignore[arg-type]
        await PostgresStorage.open(postgres_dsn, **patient) as two,  # type: ignore[arg-type]
    ):

        async def admitted(storage: PostgresStorage) -> bool:
            try:
                await storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms)
            except ReplayDetectedError:
                return False
            return True

        found = await asyncio.gather(*(admitted(storage) for storage in (one, two) * 50_000))
        assert found.count(True) == 1
        assert await one.nonces.count() == 1


def _database(storage: PostgresStorage) -> str:
    return storage.label.split()[1]


def _partitions(storage: PostgresStorage, server: PostgresServer) -> list[int]:
    found = server.sql(
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'nonces'::regclass",
        database=_database(storage),
    )
    return [int(name.removeprefix("nonces_")) for name in found.split()]
