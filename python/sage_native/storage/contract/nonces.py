"""What every nonce store must do."""

from __future__ import annotations

import asyncio
import os
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ReplayDetectedError, UsageError
from sage_native.storage.base import MAX_DIVERGENCE_MS, Outcome
from sage_native.storage.contract.made import ALICE, BOB, MINUTE_MS, clock_ms, nonce

if TYPE_CHECKING:
    from sage_native.storage.base import NonceStore, Storage
    from sage_native.storage.rows import RequestNonce

__all__ = ["NonceStoreContract"]

FRESH, REPLAY = Outcome.FRESH, Outcome.REPLAY


class NonceStoreContract:
    """Tests of `Storage.nonces`."""

    async def test_a_nonce_is_admitted_once(self, storage: Storage) -> None:
        request = nonce()
        await _admit(storage.nonces, request)
        for _ in range(3):
            with pytest.raises(ReplayDetectedError):
                await _admit(storage.nonces, request)

    async def test_scope_purpose_and_value_name_a_nonce(self, storage: Storage) -> None:
        value = os.urandom(32)
        for request in (
            nonce(value),
            nonce(value, scope=BOB),
            nonce(value, purpose="signature"),
            nonce(value + b"\0"),
            nonce(value[:-1]),
            nonce(b"a", scope="did:sage:b", purpose="c"),
            nonce(b"ca", scope="did:sage:b", purpose=""),
            nonce(b"a", scope="did:sage:bc", purpose=""),
        ):
            assert await storage.nonces.admit_many([request]) == [FRESH]
            assert await storage.nonces.admit_many([request]) == [REPLAY]

    async def test_another_end_makes_no_other_nonce(self, storage: Storage) -> None:
        now = clock_ms()
        first_ms = now + 5 * 1000
        for distance_ms in (-1, 1, 1000, MINUTE_MS, MAX_DIVERGENCE_MS):
            request = nonce(end_ms=first_ms)
            assert await storage.nonces.admit_many([request], now_ms=now) == [FRESH]
            again = nonce(request.nonce, end_ms=first_ms + distance_ms)
            assert await storage.nonces.admit_many([again], now_ms=now) == [REPLAY]
            later = nonce(end_ms=first_ms + abs(distance_ms))
            assert await storage.nonces.admit_many([later], now_ms=now) == [FRESH]
            before = nonce(later.nonce, end_ms=first_ms)
            assert await storage.nonces.admit_many([before], now_ms=now) == [REPLAY]

    async def test_of_concurrent_admissions_one_wins(self, storage: Storage) -> None:
        requests = [nonce() for _ in range(20)]
        outcomes = await asyncio.gather(
            *(_outcome(storage.nonces, request) for request in requests for _ in range(50))
        )
        for position in range(len(requests)):
            mine = outcomes[position * 50 : position * 50 + 50]
            assert sorted(mine, key=str) == [FRESH] + [REPLAY] * 49

    async def test_of_concurrent_ends_of_one_nonce_one_wins(self, storage: Storage) -> None:
        now = clock_ms()
        for _ in range(5):
            value = os.urandom(32)
            rivals = [nonce(value, end_ms=now + 50_000 + 2_000 * step) for step in range(40)]
            outcomes = await asyncio.gather(
                *(storage.nonces.admit_many([rival], now_ms=now) for rival in rivals)
            )
            assert list(chain(*outcomes)).count(FRESH) == 1

    async def test_a_batch_has_one_verdict_each_in_order(self, storage: Storage) -> None:
        old, twice = nonce(), nonce()
        await _admit(storage.nonces, old)
        batch = [nonce(), twice, old, nonce(), twice, nonce()]
        outcomes = await storage.nonces.admit_many(batch)
        assert outcomes == [FRESH, FRESH, REPLAY, FRESH, REPLAY, FRESH]
        assert await storage.nonces.admit_many(batch) == [REPLAY] * 6
        assert await storage.nonces.admit_many([]) == []

    async def test_large_batches_that_overlap(self, storage: Storage) -> None:
        requests = [nonce() for _ in range(3000)]
        outcomes = await asyncio.gather(
            storage.nonces.admit_many(requests[:2000]),
            storage.nonces.admit_many(requests[1000:][::-1]),
            storage.nonces.admit_many(requests),
        )
        assert [len(outcome) for outcome in outcomes] == [2000, 2000, 3000]
        assert list(chain(*outcomes)).count(FRESH) == 3000
        assert list(chain(*outcomes)).count(REPLAY) == 4000
        assert await storage.nonces.count() >= 3000

    async def test_a_time_that_is_over_is_refused(self, storage: Storage) -> None:
        now = clock_ms()
        for end_ms in (0, now - 60_000, now):
            outcomes = await storage.nonces.admit_many([nonce(end_ms=end_ms)], now_ms=now)
            assert outcomes == [REPLAY]
        with pytest.raises(ReplayDetectedError):
            await _admit(storage.nonces, nonce(end_ms=now - 60_000))

    async def test_a_time_too_far_ahead_is_the_callers_mistake(self, storage: Storage) -> None:
        now = clock_ms()
        beyond = nonce(end_ms=now + storage.nonces.horizon_ms + 1)
        with pytest.raises(UsageError, match="ahead of the clock"):
            await storage.nonces.admit_many([nonce(), beyond], now_ms=now)
        with pytest.raises(UsageError, match="ahead of the clock"):
            await storage.nonces.admit(ALICE, b"n", beyond.remember_until_ms, now_ms=now)
        with pytest.raises(UsageError, match="1 to 256 bytes"):
            await storage.nonces.admit(ALICE, b"", now + 1000, now_ms=now)

    async def test_what_was_given_up_is_refused_whatever_the_clock_does(
        self, storage: Storage
    ) -> None:
        now = clock_ms()
        requests = [nonce(end_ms=now + 10_000 + step) for step in range(20)]
        assert await storage.nonces.admit_many(requests, now_ms=now) == [FRESH] * 20
        await storage.nonces.delete_expired(now_ms=now + 10 * storage.nonces.horizon_ms)
        for hostile_ms in (now, now - 100_000, now + 5000):
            assert await storage.nonces.admit_many(requests, now_ms=hostile_ms) == [REPLAY] * 20

    async def test_a_clock_ahead_gives_up_no_more_than_was_asked_for(
        self, storage: Storage
    ) -> None:
        now = clock_ms()
        await storage.nonces.admit_many([nonce(end_ms=now + 60_000)], now_ms=now)
        await storage.nonces.delete_expired(now_ms=now + 1000 * storage.nonces.horizon_ms)
        later = nonce(end_ms=now + storage.nonces.horizon_ms)
        assert await storage.nonces.admit_many([later], now_ms=now) == [FRESH]

    async def test_what_is_not_over_is_kept(self, storage: Storage) -> None:
        request = nonce()
        await _admit(storage.nonces, request)
        await storage.nonces.delete_expired()
        assert await storage.nonces.admit_many([request]) == [REPLAY]

    async def test_a_memory_that_was_marked_is_incomplete_for_its_horizon(
        self, storage: Storage
    ) -> None:
        now = clock_ms() + 1000  # not when the memory was made: a mark that does nothing shows
        await storage.nonces.mark_incomplete(now_ms=now)
        assert storage.nonces.remembers_since_ms == now
        assert not storage.nonces.is_complete(now_ms=now + storage.nonces.horizon_ms - 1)
        assert storage.nonces.is_complete(now_ms=now + storage.nonces.horizon_ms)
        assert await storage.nonces.admit_many([nonce()]) == [FRESH]

    async def test_another_end_makes_no_other_nonce_when_the_first_is_over(
        self, storage: Storage
    ) -> None:
        # Never at the last moment of a second: there a replay set forgets what ends in it.
        now = clock_ms() // 4096 * 4096
        for _ in range(20):
            request = nonce(end_ms=now + 60_000)
            assert await storage.nonces.admit_many([request], now_ms=now) == [FRESH]
            later = now + 60_001
            await storage.nonces.delete_expired(now_ms=later)
            again = nonce(request.nonce, end_ms=now + 179_000)
            assert await storage.nonces.admit_many([again], now_ms=later) == [REPLAY]
            now = later + 60_000


async def _admit(nonces: NonceStore, request: RequestNonce) -> None:
    await nonces.admit(
        request.scope, request.nonce, request.remember_until_ms, purpose=request.purpose
    )


async def _outcome(nonces: NonceStore, request: RequestNonce) -> Outcome:
    try:
        await _admit(nonces, request)
    except ReplayDetectedError:
        return REPLAY
    return FRESH
