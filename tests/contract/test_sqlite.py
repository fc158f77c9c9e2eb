"""The stores in SQLite keep the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.storage.contract import StorageContract
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class TestSqlite(StorageContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[SqliteStorage]:
        async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
            yield storage


class TestSqliteOfOneNode(StorageContract):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[SqliteStorage]:
        async with await SqliteStorage.open(
            tmp_path / "sage.db", guarantee=ReplayGuarantee.NODE
        ) as storage:
            yield storage
