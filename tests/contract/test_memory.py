"""The stores in memory keep the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native import ReplaySet
from sage_native.storage.contract import StorageContract
from sage_native.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class TestMemory(StorageContract):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[MemoryStorage]:
        async with MemoryStorage() as storage:
            yield storage


class TestMemoryWithSharedNonces(StorageContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[MemoryStorage]:
        nonces = ReplaySet.open(tmp_path / "nonces", capacity=100_000)
        async with MemoryStorage(nonces=nonces) as storage:
            yield storage
