"""What every DID store must do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ConflictError, UsageError
from sage_native.storage.contract.made import ALICE, BOB, clock_ms, did_record

if TYPE_CHECKING:
    from sage_native.storage.base import DidStore, Storage

__all__ = ["DidStoreContract"]


class DidStoreContract:
    """Tests of `Storage.dids`."""

    @pytest.fixture
    def dids(self, storage: Storage) -> DidStore:
        """Return the store under test."""
        assert storage.dids is not None
        return storage.dids

    async def test_a_record_comes_back_as_it_was_stored(self, dids: DidStore) -> None:
        record = did_record(owner="0x12 ü'", keys=3)
        await dids.put(record)
        assert await dids.get(ALICE) == record
        assert await dids.get(BOB) is None

    async def test_a_did_is_registered_once(self, dids: DidStore) -> None:
        rivals = [did_record() for _ in range(20)]
        errors = await asyncio.gather(*map(dids.put, rivals), return_exceptions=True)
        assert [type(error) for error in errors if error] == [ConflictError] * 19
        assert await dids.get(ALICE) == rivals[errors.index(None)]

    async def test_a_revocation_is_for_ever(self, dids: DidStore) -> None:
        record = did_record()
        now = clock_ms()
        await dids.put(record)
        assert await dids.revoke(ALICE, now_ms=now)
        assert await dids.revoke(ALICE, now_ms=now + 5)
        assert await dids.get(ALICE) == replace(record, revoked_ms=now)
        with pytest.raises(ConflictError):
            await dids.put(did_record())
        assert await dids.get(ALICE) == replace(record, revoked_ms=now)

    async def test_a_did_may_be_revoked_from_the_beginning(self, dids: DidStore) -> None:
        revoked = replace(did_record(), revoked_ms=clock_ms())
        await dids.put(revoked)
        assert await dids.get(ALICE) == revoked
        assert await dids.revoke(ALICE, now_ms=1)
        assert await dids.get(ALICE) == revoked
        with pytest.raises(ConflictError):
            await dids.put(did_record())

    async def test_what_is_unknown_is_not_revoked(self, dids: DidStore) -> None:
        assert not await dids.revoke(ALICE)
        assert await dids.get(ALICE) is None

    async def test_pages_list_every_did_once(self, dids: DidStore) -> None:
        names = [f"did:sage:agent-{number:02}" for number in range(12)]
        for number, name in enumerate(names):
            await dids.put(did_record(name, owner="odd" if number % 2 else "even"))
        assert await _all_pages(dids, limit=5) == names
        assert await _all_pages(dids, limit=12) == names
        assert await _all_pages(dids, limit=2, owner="odd") == names[1::2]
        assert await _all_pages(dids, limit=2, owner="nobody") == []
        with pytest.raises(UsageError, match="1 to 1000 rows"):
            await dids.page(limit=0)


async def _all_pages(dids: DidStore, *, limit: int, owner: str | None = None) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        records, after = await dids.page(owner=owner, after=after, limit=limit)
        assert len(records) <= limit
        found += [record.did for record in records]
        if after is None:
            return found
