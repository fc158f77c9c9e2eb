"""What a manager serves while news of its sessions fail to come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplayWindowTable, events
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ExpiredError,
    StorageError,
    UsageError,
)
from sage_native.sessions import SessionPolicy
from tests.deeds import noting
from tests.managers import Gate, Site, no_lost_errors, rekey_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.storage.rows import SessionRow

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


# Nothing is served without news, whatever the reason.


async def test_a_store_that_never_answers_is_found_out_at_use() -> None:
    site = Site(windows=ReplayWindowTable(100))
    beside = site.worker()
    async with site.worker(refresh_interval_s=0.02, max_stale_s=0.2) as worker:
        client = await site.meet(worker)
        await worker.open(client.seal(b"hot"))
        gate = site.store.before["status_many"] = Gate()
        await gate.reached()
        await beside.close(client.session_id)
        await asyncio.sleep(0.3)
        try:
            with pytest.raises(StorageError, match="their store does not answer"):
                await worker.open(client.seal(b"ended elsewhere"))
            with pytest.raises(StorageError):
                await worker.get(client.session_id)
        finally:
            del site.store.before["status_many"]
            gate.open()
        await eventually(lambda: not worker._upkeep.is_stale)
        with pytest.raises(AuthenticationError):
            await worker.open(client.seal(b"ended elsewhere"))


async def test_upkeep_that_died_is_found_out_at_use() -> None:
    site = Site()
    async with site.worker(refresh_interval_s=0.02, max_stale_s=0.2) as worker:
        client = await site.meet(worker)
        await worker.open(client.seal(b"hot"))
        assert worker._upkeep._task is not None
        worker._upkeep._task.cancel()
        await asyncio.sleep(0.3)
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot be checked"):
                await worker.open(client.seal(b"unheard"))
        await worker.touch()
        assert (await worker.open(client.seal(b"well")))[1] == b"well"
        await asyncio.sleep(0.3)
        with pytest.raises(StorageError, match="cannot be checked"):
            await worker.open(client.seal(b"unheard"))


async def test_a_manager_that_was_never_entered_serves_for_a_while_only() -> None:
    site = Site()
    worker = site.worker(max_stale_s=0.2)
    client, m3, _ = site.accept(worker)
    await worker.confirm(m3)
    assert (await worker.open(client.seal(b"well")))[1] == b"well"
    await asyncio.sleep(0.3)
    for refused in (
        worker.open(client.seal(b"unheard")),
        worker.get(client.session_id),
        worker.rekey(client.rekey_request()),
        worker.confirm(m3),
    ):
        with pytest.raises(StorageError, match="was not entered"):
            await refused
    await worker.touch()
    assert (await worker.open(client.seal(b"well")))[1] == b"well"


async def test_what_was_made_before_a_manager_is_entered_is_asked_for_when_it_is() -> None:
    site = Site()
    worker, beside = site.worker(refresh_interval_s=100), site.worker()
    client = await site.meet(worker)
    await beside.close(client.session_id)
    async with worker:
        with pytest.raises(AuthenticationError):
            await worker.open(client.seal(b"ended elsewhere"))


async def test_upkeep_survives_a_sweep_that_fails() -> None:
    site, failures = Site(), list[events.Event]()
    async with site.worker(refresh_interval_s=0.01, max_stale_s=5) as worker:
        client = await site.meet(worker)
        sweep = worker._served.sweep

        def breaks() -> int:
            raise ZeroDivisionError

        worker._served.sweep = breaks  # type: ignore[method-assign, assignment]
        unsubscribe = events.subscribe(noting(failures))
        await eventually(lambda: bool(failures))
        unsubscribe()
        worker._served.sweep = sweep  # type: ignore[method-assign]
        await site.store.delete(client.session_id)
        await eventually(lambda: len(worker) == 0)


# A store that takes nothing more still tells.


async def test_a_full_store_makes_nothing_stale_and_is_cleaned() -> None:
    site = Site()
    async with site.worker(
        refresh_interval_s=0.01, cleanup_interval_s=0.02, max_stale_s=0.2
    ) as worker:
        client, other = await site.meet(worker), await site.meet(worker)
        site.store.down.add("touch_many")
        await worker.open(client.seal(b"unwritten"))
        await worker.open(other.seal(b"unwritten"))
        cleanings = site.store.calls["delete_expired"]
        await asyncio.sleep(0.3)
        assert (await worker.open(client.seal(b"well")))[1] == b"well"
        assert site.store.calls["delete_expired"] > cleanings
        await site.store.inner.delete(other.session_id)
        await eventually(lambda: len(worker) == 1)
        with pytest.raises(StorageError, match="is down"):
            await worker.touch()
        site.store.down.clear()


async def test_use_that_is_not_written_counts_against_the_budget_beside_what_others_wrote() -> None:
    site = Site(windows=ReplayWindowTable(100), policy=SessionPolicy(max_messages=10))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    for _ in range(3):
        await worker.open(client.seal(b""))
    for _ in range(5):
        await beside.open(client.seal(b""))
    await beside.touch()
    site.store.down.add("touch_many")
    for _ in range(2):
        with pytest.raises(StorageError):
            await worker.touch()
        await worker.open(client.seal(b""))
    with pytest.raises(StorageError):
        await worker.touch()
    with pytest.raises((AuthenticationError, ExpiredError)):
        await worker.open(client.seal(b"one too many"))


# One row's trouble is one session's.


@pytest.mark.parametrize(
    "error", [StorageError("the row is damaged"), UsageError("no metadata"), ValueError("no JSON")]
)
async def test_one_row_that_cannot_be_read_ends_one_session(error: Exception) -> None:
    site, failures = Site(windows=ReplayWindowTable(100)), list[events.Event]()
    worker, beside = site.worker(), site.worker()
    bad, good, gone = [await site.meet(worker) for _ in range(3)]
    await rekey_at(beside, bad)
    await beside.close(gone.session_id)
    read = site.store.get

    async def damaged(session_id: str) -> SessionRow | None:
        if session_id == bad.session_id:
            raise error
        return await read(session_id)

    site.store.get = damaged  # type: ignore[method-assign]
    unsubscribe = events.subscribe(noting(failures))
    await worker.touch()
    unsubscribe()
    assert [one.error for one in failures if isinstance(one, events.StoreFailed)] == [error]
    assert (await worker.open(good.seal(b"well")))[1] == b"well"
    assert len(worker) == 1
    del site.store.get
    assert (await worker.open(bad.seal(b"mended")))[1] == b"mended"


@pytest.mark.parametrize("trouble", ["down", "busy"])
async def test_a_store_that_fails_while_an_epoch_is_followed_ends_nobody(trouble: str) -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    session, _ = await worker.open(client.seal(b""))
    await rekey_at(beside, client)

    async def fails(_: str) -> SessionRow | None:
        if trouble == "down":
            site.store.down.add("*")
            raise StorageError("the store is down")
        raise CapacityError("too many")

    site.store.get = fails  # type: ignore[method-assign, assignment]
    if trouble == "down":
        with pytest.raises(StorageError):
            await worker.touch()
    else:
        await worker.touch()
    assert not session.closed
    del site.store.get
    site.store.down.clear()
    await worker.touch()
    followed = await worker.get(client.session_id)
    assert followed is not None
    assert followed.epoch == 1
