"""Nonces are given up without anybody asking for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import StorageError
from sage_native.storage.memory import MemoryNonceStore, MemoryStorage
from sage_native.storage.sweeping import Sweeper
from tests.deeds import noting

if TYPE_CHECKING:
    import pytest


class CountingStore(MemoryNonceStore):
    """Fails at every other sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps = 0
        self.third = asyncio.Event()

    async def delete_expired(self, *, now_ms: int | None = None) -> int:
        self.sweeps += 1
        if self.sweeps == 3:
            self.third.set()
        if self.sweeps % 2:
            raise StorageError("down")
        return await super().delete_expired(now_ms=now_ms)


async def test_sweeps_go_on_after_errors_which_are_told_until_the_end() -> None:
    told: list[events.Event] = []
    unsubscribe = events.subscribe(noting(told))
    store = CountingStore()
    sweeper = Sweeper(store, interval_s=0.01)
    sweeper.start()
    sweeper.start()
    async with asyncio.timeout(30):
        await store.third.wait()
    await sweeper.stop()
    unsubscribe()
    swept = store.sweeps
    await asyncio.sleep(0.05)
    assert store.sweeps == swept
    assert [type(event) for event in told] == [events.StoreFailed] * ((swept + 1) // 2)
    await sweeper.stop()


async def test_entering_a_storage_begins_to_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_native.storage.sweeping.random.uniform", lambda *_: 0.0)
    store = CountingStore()
    storage = MemoryStorage()
    storage.nonces = store
    async with storage, asyncio.timeout(30):
        await store.third.wait()
    swept = store.sweeps
    await asyncio.sleep(0.01)
    assert store.sweeps == swept
