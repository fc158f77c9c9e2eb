"""Rekeys through a store, and what comes back after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplayWindowTable, events
from sage_native.exceptions import (
    AuthenticationError,
    RateLimitedError,
    RekeyRequiredError,
    ReplayDetectedError,
    StorageError,
)
from tests.deeds import noting
from tests.managers import KEK, Gate, Site, no_lost_errors, rekey_at

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native import Session
    from sage_native.sessions import SessionManager

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


async def says(worker: SessionManager, client: Session, text: bytes = b"hello") -> None:
    """Say something; it arrives, and is answered."""
    record = client.seal(text)
    session, plaintext = await worker.open(record)
    assert plaintext == text
    assert client.open(session.seal(b"answer", answers=record)) == b"answer"


async def meets_again(worker: SessionManager, client: Session) -> int:
    """Get on with a worker like a client that is told to rekey; return how many rekeys it took."""
    for rekey_count in range(3):
        try:
            await says(worker, client, b"%d" % rekey_count)
        except (RekeyRequiredError, AuthenticationError):
            await rekey_at(worker, client)
        else:
            return rekey_count
    raise AssertionError("two rekeys were not enough")


async def test_a_rekey_is_stored_before_it_is_answered() -> None:
    site, rekeyed = Site(), list[events.Event]()
    worker = site.worker()
    client = await site.meet(worker)
    gate = site.store.before["advance"] = Gate()
    asking = asyncio.create_task(worker.rekey(client.rekey_request()))
    await gate.reached()
    assert not asking.done()
    record = client.seal(b"meanwhile")
    assert (await worker.open(record))[1] == b"meanwhile"
    unsubscribe = events.subscribe(noting(rekeyed))
    gate.open()
    client.accept_rekey(await asking)
    unsubscribe()
    row = await site.store.get(client.session_id)
    assert row is not None
    assert row.session.epoch == 1
    assert rekeyed == [events.SessionRekeyed(1)]
    await says(worker, client)


async def test_a_request_of_the_epoch_before_is_answered_in_it() -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    await says(worker, client)
    request = client.seal(b"request")
    session, _ = await worker.open(request)
    await rekey_at(beside, client)
    await says(worker, client)  # which makes it serve the next epoch
    assert client.open(session.seal(b"answer", answers=request)) == b"answer"
    with pytest.raises(RekeyRequiredError):
        session.seal(b"nothing new in an epoch that is over")


async def test_a_repeated_r1_gets_the_same_r2_without_the_store() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    request = client.rekey_request()
    reply = await worker.rekey(request)
    site.store.calls.clear()
    assert await worker.rekey(request) == reply
    assert not site.store.calls
    client.accept_rekey(reply)
    await says(worker, client)
    with pytest.raises(AuthenticationError):
        await worker.rekey(request)


async def test_many_r1_at_once_decide_once_and_keep_the_session() -> None:
    """A lock that is free for an instant, while others wait for it, is still the lock."""
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    session = await worker.get(client.session_id)
    request = client.rekey_request()
    gate = site.store.before["advance"] = Gate()
    first = [asyncio.create_task(worker.rekey(request)) for _ in range(5)]
    await gate.reached()
    gate.open()
    await first[0]
    late = [asyncio.create_task(worker.rekey(request)) for _ in range(5)]
    replies = {await task for task in [*first, *late]}
    assert len(replies) == 1
    assert site.store.calls["advance"] == 1
    assert await worker.get(client.session_id) is session, "not replaced by what is stored"
    client.accept_rekey(replies.pop())
    await says(worker, client)
    assert len(worker._rekeyer.turns) == 0


async def test_whoever_comes_waits_for_those_who_wait_already() -> None:
    """The first gives up, the second takes its turn: the third is still behind it."""
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    request = client.rekey_request()
    gate, next_gate = Gate(), Gate()
    site.store.before["advance"] = gate
    first = asyncio.create_task(worker.rekey(request))
    await gate.reached()
    second = asyncio.create_task(worker.rekey(request))
    await asyncio.sleep(0)
    site.store.before["advance"] = next_gate
    first.cancel()
    await next_gate.reached()
    third = asyncio.create_task(worker.rekey(request))
    for _ in range(5):
        await asyncio.sleep(0)
    assert site.store.calls["advance"] == 2
    next_gate.open()
    assert await second == await third
    assert site.store.calls["advance"] == 2


async def test_without_windows_a_restarted_worker_demands_a_rekey_first() -> None:
    site = Site()
    client = await site.meet(first := site.worker())
    delivered = client.seal(b"delivered")
    await first.open(delivered)
    restarted, restored = site.worker(), list[events.Event]()
    unsubscribe = events.subscribe(noting(restored))
    for record in (delivered, client.seal(b"new")):
        with pytest.raises(RekeyRequiredError):
            await restarted.open(record)
    unsubscribe()
    assert restored == [events.SessionRestored("responder", demands_rekey=True)]
    session = await restarted.get(client.session_id)
    assert session is not None
    assert session.rekey_wanted
    with pytest.raises(RekeyRequiredError):
        session.seal(b"push")
    await rekey_at(restarted, client)
    await says(restarted, client)
    with pytest.raises((AuthenticationError, RekeyRequiredError)):
        await restarted.open(delivered)


async def test_with_its_windows_a_restarted_worker_goes_on(tmp_path: Path) -> None:
    path, site = tmp_path / "windows", Site()
    site.windows = ReplayWindowTable.open(path, capacity=100)
    client = await site.meet(first := site.worker())
    delivered, under_way = client.seal(b"delivered"), client.seal(b"under way")
    await first.open(delivered)
    site.windows = ReplayWindowTable.open(path, capacity=100)
    restarted = site.worker()
    with pytest.raises(ReplayDetectedError):
        await restarted.open(delivered)
    assert (await restarted.open(under_way))[1] == b"under way"
    with pytest.raises(ReplayDetectedError):
        await restarted.open(under_way)
    await says(restarted, client)


async def test_a_row_out_of_a_backup_demands_a_rekey_whatever_windows_there_are() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    row = await site.store.get(client.session_id)
    assert row is not None
    await site.store.delete(client.session_id)
    await site.store.create(replace(row, restored=True))
    worker = site.worker()
    with pytest.raises(RekeyRequiredError):
        await worker.open(client.seal(b""))
    await rekey_at(worker, client)
    await says(worker, client)
    # The next epoch is no backup's: another worker goes on with it.
    await says(site.worker(), client)


async def test_another_table_is_as_good_as_none() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    site.windows = ReplayWindowTable(100)
    assert await meets_again(site.worker(), client) == 1
    await says(site.worker(), client)


async def test_a_crash_between_store_and_answer_loses_no_decision() -> None:
    """The next process repeats the R2 of the one that died, byte for byte."""
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    request = client.rekey_request()
    row = await site.store.get(client.session_id)
    assert row is not None
    other_client = other_process_of(client)
    reply = await worker.rekey(request)  # it dies, and nobody hears this
    other_request = other_client.rekey_request()
    assert other_request != request
    restarted = site.worker()
    assert await restarted.rekey(request) == reply
    assert await restarted.rekey(other_request) == reply + request
    client.accept_rekey(reply)
    other_client.accept_rekey(reply + request)
    with pytest.raises(RekeyRequiredError):
        await restarted.open(client.seal(b"its windows are lost"))
    assert await meets_again(restarted, client) == 1


async def test_a_crash_between_store_and_answer_with_windows_that_survive() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    await rekey_at(site.worker(), client)
    await says(site.worker(), client)


def other_process_of(client: Session) -> Session:
    row = client.wrap(KEK, store="client")
    assert row is not None
    return row.unwrap(KEK, store="client")


@pytest.mark.parametrize("shared", [True, False])
async def test_two_r1_at_two_workers_lead_to_one_epoch(*, shared: bool) -> None:
    site = Site(windows=ReplayWindowTable(100) if shared else None)
    workers = [site.worker(), site.worker()]
    first = await site.meet(workers[0])
    if not shared:
        await workers[1].get(first.session_id)
    second = other_process_of(first)
    gate = site.store.before["advance"] = Gate()
    requests = [first.rekey_request(), second.rekey_request()]
    asking = [
        asyncio.create_task(worker.rekey(request))
        for worker, request in zip(workers, requests, strict=True)
    ]
    await gate.reached()
    await asyncio.sleep(0)
    gate.open()
    replies = [await task for task in asking]
    assert sorted(map(len, replies)) == [64, 148]
    assert replies[0][:64] == replies[1][:64]
    first.accept_rekey(replies[0])
    second.accept_rekey(replies[1])
    # One epoch: what one of the client's processes seals, the other's keys would open too.
    assert await meets_again(workers[0], first) <= 1
    if shared:
        await says(workers[1], second)


@pytest.mark.parametrize("shared", [True, False])
async def test_an_answer_of_the_store_that_is_lost_strands_nobody(*, shared: bool) -> None:
    site = Site(windows=ReplayWindowTable(100) if shared else None)
    worker = site.worker()
    client = await site.meet(worker)
    site.store.lost.add("advance")
    with pytest.raises(StorageError):
        await worker.rekey(client.rekey_request())
    site.store.lost.clear()
    assert (await worker.open(client.seal(b"as before")))[1] == b"as before"
    await rekey_at(worker, client)
    assert await meets_again(worker, client) <= (0 if shared else 1)


async def test_a_store_that_is_down_refuses_a_rekey_and_changes_nothing() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    site.store.down.add("*")
    request = client.rekey_request()
    for _ in range(3):
        with pytest.raises(StorageError):
            await worker.rekey(request)
    await says(worker, client)
    site.store.down.clear()
    row = await site.store.get(client.session_id)
    assert row is not None
    assert row.session.epoch == 0
    client.accept_rekey(await worker.rekey(request))
    await says(worker, client)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("shared", [True, False])
async def test_a_cancelled_rekey_strands_nobody(moment: str, *, shared: bool) -> None:
    site = Site(windows=ReplayWindowTable(100) if shared else None)
    worker = site.worker()
    client = await site.meet(worker)
    gate = getattr(site.store, moment)["advance"] = Gate()
    asking = asyncio.create_task(worker.rekey(client.rekey_request()))
    await gate.reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.open()
    getattr(site.store, moment).clear()
    assert (await worker.open(client.seal(b"as before")))[1] == b"as before"
    await rekey_at(worker, client)
    assert await meets_again(worker, client) <= (0 if shared else 1)
    assert len(worker._rekeyer.turns) == 0


async def test_a_session_that_is_closed_while_its_rekey_is_stored_stays_closed() -> None:
    for moment in ("before", "after"):
        site = Site(windows=ReplayWindowTable(100))
        worker = site.worker()
        client = await site.meet(worker)
        gate = getattr(site.store, moment)["advance"] = Gate()
        asking = asyncio.create_task(worker.rekey(client.rekey_request()))
        await gate.reached()
        await worker.close(client.session_id)
        gate.open()
        with pytest.raises(AuthenticationError):
            await asking
        assert len(worker) == 0
        assert await site.store.count() == 0


async def test_a_rekey_at_one_worker_and_the_next_record_at_the_other() -> None:
    site = Site(windows=ReplayWindowTable(1000))
    workers = [site.worker(), site.worker()]
    client = await site.meet(workers[0])
    for number in range(10):
        await says(workers[number % 2], client)
        await rekey_at(workers[number % 2], client)
        await says(workers[1 - number % 2], client)
    session = await workers[0].get(client.session_id)
    assert session is not None
    assert session.epoch == 10


async def test_sessions_that_move_between_machines_rekey_and_get_on() -> None:
    """No table in common: each move costs one rekey, and nothing is delivered twice."""
    site = Site()
    workers = [site.worker(), site.worker()]
    client = await site.meet(workers[0])
    old: list[bytes] = []
    for number in range(6):
        worker = workers[(number + 1) % 2]
        assert await meets_again(worker, client) == 1
        record = client.seal(b"once")
        await worker.open(record)
        old.append(record)
        for again in old:
            for one in workers:
                with pytest.raises((ReplayDetectedError, AuthenticationError, RekeyRequiredError)):
                    await one.open(again)


async def test_a_client_begins_only_so_many_epochs_and_hears_of_them_as_often_as_it_asks() -> None:
    """Every epoch takes windows until the session ends: one client must not fill the table."""
    site = Site()
    worker = site.worker(max_epochs_per_client=3)
    client = await site.meet(worker)
    for _ in range(2):
        request = client.rekey_request()
        forged = bytearray(request)
        forged[-1] ^= 1
        for _ in range(5):
            with pytest.raises(AuthenticationError):
                await worker.rekey(bytes(forged))
        replies = {await worker.rekey(request) for _ in range(5)}
        client.accept_rekey(replies.pop())
        assert not replies
        await says(worker, client)
    with pytest.raises(RateLimitedError, match="has begun 3 epochs"):
        await worker.rekey(client.rekey_request())
    with pytest.raises(RateLimitedError):
        site.accept(worker)
    await says(worker, client)


async def test_a_rekey_that_comes_while_its_session_is_stored_waits_for_it() -> None:
    site = Site()
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    gate = site.store.before["create"] = Gate()
    confirmed = asyncio.create_task(worker.confirm(m3))
    await gate.reached()
    answered = asyncio.create_task(worker.rekey(client.rekey_request()))
    await asyncio.sleep(0)
    gate.open()
    client.accept_rekey(await answered)
    await confirmed
    await says(worker, client)


async def test_forged_requests_make_no_queue_before_the_real_one() -> None:
    site = Site()
    worker, other = site.worker(), site.worker()
    client = await site.meet(worker)
    client.accept_rekey(await other.rekey(client.rekey_request()))
    request = client.rekey_request()  # of the epoch that this worker does not know yet
    forgeries = []
    for number in range(200):
        forged = bytearray(request)
        forged[40] ^= number % 255 + 1
        forgeries.append(asyncio.create_task(worker.rekey(bytes(forged))))
    reply = await worker.rekey(request)
    refused = await asyncio.gather(*forgeries, return_exceptions=True)
    assert {type(error) for error in refused} == {AuthenticationError}
    assert site.store.calls["get"] <= 4
    client.accept_rekey(reply)
    await says(worker, client)
