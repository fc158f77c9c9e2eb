"""The stores in PostgreSQL keep the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.storage.contract import StorageContract
from sage_native.storage.postgres import PostgresStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestPostgres(StorageContract):
    @pytest.fixture
    async def storage(self, postgres_dsn: str) -> AsyncIterator[PostgresStorage]:
        async with await PostgresStorage.open(postgres_dsn) as storage:
            yield storage
