"""The ends and limits of sessions: age, silence, messages, and how many there may be."""

from __future__ import annotations

import asyncio
import time

import pytest

from sage_native import ReplayWindowTable
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ExpiredError,
    RekeyRequiredError,
    SessionStateError,
)
from sage_native.sessions import SessionManager, SessionPolicy
from sage_native.storage.rows import Activity
from tests.managers import Site, no_lost_errors, rekey_at

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


# Half-open.


async def test_half_open_sessions_are_capped_for_each_client() -> None:
    site, other = Site(policy=SessionPolicy(max_half_open_per_client=2)), Site()
    worker = site.worker()
    for _ in range(2):
        site.accept(worker)
    with pytest.raises(CapacityError, match="of this client"):
        site.accept(worker)
    other.accept(worker)


async def test_half_open_sessions_are_capped_in_all() -> None:
    policy = SessionPolicy(max_half_open=3, max_half_open_per_client=3)
    sites = [Site(policy=policy) for _ in range(4)]
    worker = sites[0].worker()
    established = await sites[0].meet(worker)
    for site in sites[:3]:
        site.accept(worker)
    with pytest.raises(CapacityError, match="3 sessions wait"):
        sites[3].accept(worker)
    assert (await worker.open(established.seal(b"unharmed")))[1] == b"unharmed"


async def test_a_half_open_session_is_dead_after_ten_seconds_and_gives_its_place_back() -> None:
    site = Site(policy=SessionPolicy(max_half_open=1))
    worker, now_ms = site.worker(), clock_ms()
    client, m3, server = site.accept(worker, now_ms)
    with pytest.raises(CapacityError):
        site.accept(worker, now_ms + 9_999)
    _, m3_of_next, next_server = site.accept(worker, now_ms + 10_000)
    assert server.closed
    assert len(worker) == 1
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3, now_ms=now_ms + 10_000)
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"", now_ms=now_ms + 10_000), now_ms=now_ms + 10_000)
    assert await worker.confirm(m3_of_next, now_ms=now_ms + 10_001) is next_server
    site.accept(worker, now_ms + 10_002)
    assert await site.store.count() == 1


async def test_a_late_confirmation_finds_the_session_dead() -> None:
    site = Site()
    worker, now_ms = site.worker(), clock_ms()
    client, m3, server = site.accept(worker, now_ms)
    with pytest.raises(ExpiredError):
        await worker.confirm(m3, now_ms=now_ms + 10_000)
    with pytest.raises(ExpiredError):
        await worker.open(client.seal(b"", now_ms=now_ms + 10_000), now_ms=now_ms + 10_000)
    assert server.closed
    assert await site.store.count() == 0


async def test_a_half_open_session_answers_nothing() -> None:
    site = Site()
    worker = site.worker()
    client, _, server = site.accept(worker)
    with pytest.raises(SessionStateError):
        await worker.rekey(client.rekey_request())
    with pytest.raises(SessionStateError):
        server.seal(b"early")
    assert (await worker.page()).rows == ()


# How many.


async def test_a_client_has_its_most_sessions() -> None:
    site, other = Site(policy=SessionPolicy(max_sessions_per_client=2)), Site()
    other.store, worker, beside = site.store, site.worker(), site.worker()
    first = await site.meet(worker)
    await site.meet(beside)
    client, m3, server = site.accept(worker)
    with pytest.raises(CapacityError):
        await worker.confirm(m3)
    assert server.closed
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"by the back door"))
    await other.meet(worker)
    await worker.close(first.session_id)
    await site.meet(worker)
    assert await site.store.count(client_did=site.alice) == 2


async def test_the_cap_of_a_client_holds_at_once_at_two_workers() -> None:
    site = Site(policy=SessionPolicy(max_sessions_per_client=5))
    workers = [site.worker(), site.worker()]
    confirmations = [(worker, site.accept(worker)[1]) for worker in workers * 5]
    results = await asyncio.gather(
        *(worker.confirm(m3) for worker, m3 in confirmations), return_exceptions=True
    )
    assert sum(isinstance(result, CapacityError) for result in results) == 5
    assert await site.store.count() == 5


async def test_all_places_may_be_taken() -> None:
    site = Site(policy=SessionPolicy(max_sessions=2))
    async with site.worker() as worker:
        first = await site.meet(worker)
        await site.meet(worker)
        with pytest.raises(CapacityError, match="all 2 places"):
            site.accept(worker)
        await worker.close(first.session_id)
        await site.meet(worker)
    async with site.worker() as restarted:
        with pytest.raises(CapacityError, match="all 2 places"):
            site.accept(restarted)
        assert await restarted.end_of_did(site.alice) == 2
        await site.meet(restarted)


# Age.


async def test_age_ends_a_session_everywhere() -> None:
    windows = ReplayWindowTable(100)
    site = Site(windows=windows)
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    # Kept awake to the end.
    end_ms = client.expires_ms
    await site.store.touch_many([Activity(client.session_id, end_ms - 2)])
    record = client.seal(b"last")
    assert (await beside.open(record, now_ms=end_ms - 1))[1] == b"last"
    late = client.seal(b"late")
    for one in (worker, beside, site.worker()):
        with pytest.raises((AuthenticationError, ExpiredError)):
            await one.open(late, now_ms=end_ms)
        assert await one.get(client.session_id, now_ms=end_ms) is None
        with pytest.raises((AuthenticationError, ExpiredError)):
            await one.rekey(client.rekey_request(), now_ms=end_ms)


# Silence.


async def test_silence_ends_a_session_at_its_worker() -> None:
    site = Site(policy=SessionPolicy(idle_timeout_s=60))
    worker, now_ms = site.worker(), clock_ms()
    client = await site.meet(worker, now_ms)
    row = await site.store.get(client.session_id)
    assert row is not None
    silent_ms = now_ms + 60_000 + site.policy.grace_ms
    record = client.seal(b"late", now_ms=now_ms)
    with pytest.raises(ExpiredError):
        await worker.open(record, now_ms=silent_ms)
    assert await worker.get(client.session_id, now_ms=silent_ms) is None


async def test_what_is_used_at_another_worker_is_not_silent() -> None:
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(idle_timeout_s=60))
    worker, beside, now_ms = site.worker(), site.worker(), clock_ms()
    client = await site.meet(worker, now_ms)
    await worker.open(client.seal(b"", now_ms=now_ms), now_ms=now_ms)
    for minute in range(1, 4):
        at_ms = now_ms + minute * 50_000
        await beside.open(client.seal(b"", now_ms=at_ms), now_ms=at_ms)
        await beside.touch()
    at_ms += 30_000
    assert (await worker.open(client.seal(b"back", now_ms=at_ms), now_ms=at_ms))[1] == b"back"


async def test_who_looks_at_a_session_does_not_break_its_silence() -> None:
    """Forged records load a session at a fresh worker; that keeps nothing alive."""
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(idle_timeout_s=60))
    worker, now_ms = site.worker(), clock_ms()
    client = await site.meet(worker, now_ms)
    record = client.seal(b"late", now_ms=now_ms)
    fresh = site.worker()
    for at_ms in range(now_ms + 1000, now_ms + 69_000, 10_000):
        with pytest.raises(AuthenticationError):
            await fresh.open(record[:-1] + bytes([record[-1] ^ 1]), now_ms=at_ms)
    assert len(fresh) == 1
    with pytest.raises(ExpiredError):
        await fresh.open(record, now_ms=now_ms + 60_000 + site.policy.grace_ms)


async def test_the_sweeper_deletes_what_is_silent_or_too_old() -> None:
    site = Site()
    now_ms = clock_ms()
    old = SessionManager(site.store, site.ring, policy=SessionPolicy(lifetime_s=50))
    await site.meet(old, now_ms - 55_000)
    silent = SessionManager(site.store, site.ring, policy=SessionPolicy(idle_timeout_s=20))
    await site.meet(silent, now_ms - 40_000)
    live = await site.meet(site.worker(), now_ms - 40_000)
    assert await site.store.count() == 3
    async with site.worker(refresh_interval_s=0.01, cleanup_interval_s=0.01) as worker:
        async with asyncio.timeout(5):
            while await site.store.count() > 1:
                await asyncio.sleep(0.01)
        assert (await worker.page()).rows[0].session.session_id == live.session_id


async def test_the_sweeper_drops_dead_sessions_from_memory() -> None:
    site = Site()
    now_ms = clock_ms()
    async with site.worker(
        lifetime_s=50, refresh_interval_s=0.01, cleanup_interval_s=0.01
    ) as worker:
        _, _, half_open = site.accept(worker, now_ms - 10_000)
        attempt, request = site.request(now_ms - 50_000)
        reply, server = worker.accept(request, now_ms=now_ms - 50_000)
        m3, _ = attempt.finish(reply, now_ms=now_ms - 50_000)
        await worker.confirm(m3, now_ms=now_ms - 49_000)
        async with asyncio.timeout(5):
            while len(worker):
                await asyncio.sleep(0.01)
        assert (half_open.closed, server.closed) == (True, True)
        assert await site.store.count() == 0


# Messages.


@pytest.mark.parametrize("refreshed", [True, False])
async def test_a_message_budget_is_exact_in_one_process(*, refreshed: bool) -> None:
    """Whatever was written behind when it was spent, and whatever is tried afterwards."""
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(max_messages=5))
    worker = site.worker()
    client = await site.meet(worker)
    for number in range(5):
        if number % 2:
            session = await worker.get(client.session_id)
            assert session is not None
            session.seal(b"answer")
        else:
            await worker.open(client.seal(b"request"))
        if refreshed:
            await worker.touch()
    for _ in range(3):
        with pytest.raises((AuthenticationError, ExpiredError)):
            await worker.open(client.seal(b"one too many"))
        with pytest.raises((AuthenticationError, ExpiredError)):
            await worker.rekey(client.rekey_request())
        assert await worker.get(client.session_id) is None
        await worker.touch()
    row = await site.store.get(client.session_id)
    assert row is None or row.messages == 5


async def test_a_spent_session_that_was_swept_does_not_come_back() -> None:
    """Its last use is written even if it ended, and was dropped, before the next refresh."""
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(max_messages=3))
    async with site.worker(refresh_interval_s=0.01) as worker:
        client = await site.meet(worker)
        session = await worker.get(client.session_id)
        assert session is not None
        for _ in range(3):
            session.seal(b"push")
        with pytest.raises(ExpiredError):
            session.seal(b"one too many")
        async with asyncio.timeout(5):
            while len(worker):
                await asyncio.sleep(0.01)
        with pytest.raises(AuthenticationError):
            await worker.open(client.seal(b"one too many"))
    with pytest.raises(AuthenticationError):
        await site.worker().open(client.seal(b"one too many"))


async def test_a_message_budget_is_shared_within_a_refresh() -> None:
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(max_messages=10))
    workers = [site.worker(), site.worker()]
    client = await site.meet(workers[0])
    delivered = 0
    for number in range(30):
        try:
            await workers[number % 2].open(client.seal(b""))
        except (AuthenticationError, ExpiredError):
            continue
        delivered += 1
        for worker in workers * 2:  # all write, then all read
            await worker.touch()
    assert delivered == 10


async def test_a_message_budget_does_not_begin_anew_with_an_epoch_of_another_worker() -> None:
    """Use that a replaced session had not reported yet goes with its successor."""
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(max_messages=20))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    delivered = 0
    for _ in range(10):
        try:
            for _ in range(5):
                await worker.open(client.seal(b""))
                delivered += 1
            await rekey_at(beside, client)
        except (AuthenticationError, ExpiredError, RekeyRequiredError):
            break
    assert delivered == 20


async def test_use_is_not_counted_twice_when_two_refresh_at_once() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    for _ in range(3):
        await worker.open(client.seal(b""))
        await asyncio.gather(*(worker.touch() for _ in range(5)))
    row = await site.store.get(client.session_id)
    assert row is not None
    assert row.messages == 3
