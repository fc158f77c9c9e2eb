"""Pages of one client's sessions: sorted if there are few, picked out of all if there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.storage.contract.made import ALICE, BOB, row, wrapped
from sage_native.storage.sqlite import SqliteStorage, sessions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("most_sorted", [1, 7, 8, 5000])
async def test_a_page_is_the_same_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_sorted: int
) -> None:
    monkeypatch.setattr(sessions, "_MOST_SORTED", most_sorted)
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        store = storage.sessions("one")
        mine = [row(wrapped(client_did=ALICE, kek_id=f"kek-{at % 2}")) for at in range(7)]
        for stored in mine:
            await store.create(stored)
            await store.create(row(wrapped(client_did=BOB)))
        await storage.sessions("two").create(row(wrapped(client_did=ALICE)))
        ids = sorted(stored.session.session_id for stored in mine)
        found, cursor = [], None
        while True:
            page = await store.page(client_did=ALICE, after=cursor, limit=3)
            found += [stored.session.session_id for stored in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == ids
        odd = await store.page(client_did=ALICE, kek_id="kek-1")
        assert {stored.session.kek_id for stored in odd.rows} == {"kek-1"}
        assert len(odd.rows) == 3
