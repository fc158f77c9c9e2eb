"""Sessions that have ended stay so, whatever is under way in that instant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplayWindowTable
from sage_native.exceptions import AuthenticationError, StorageError
from sage_native.sessions import over
from tests.managers import Gate, Site, no_lost_errors

if TYPE_CHECKING:
    from sage_native.storage.rows import SessionRow

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


class LateRow:
    """Makes the first row of a site late: it is refused, and carried out when it is told to be."""

    def __init__(self, site: Site) -> None:
        self.store = site.store
        self.row: SessionRow | None = None
        self.store.create = self.create  # type: ignore[method-assign]

    async def create(self, row: SessionRow, *, client_limit: int | None = None) -> None:
        del self.store.create
        self.row = row
        raise StorageError(f"no answer within 5 s, limit {client_limit}")

    async def arrives(self) -> None:
        assert self.row is not None
        await self.store.inner.create(self.row)


async def test_a_row_that_arrives_after_its_session_was_refused_makes_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(over, "UNKNOWN_WRITE_S", 0.3)
    site = Site(windows=ReplayWindowTable(100))
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    late = LateRow(site)
    record = client.seal(b"refused")
    with pytest.raises(StorageError):
        await worker.confirm(m3)
    await worker.touch()
    assert site.store.calls["delete"] == 1, "it found nothing"
    await late.arrives()
    with pytest.raises(AuthenticationError):
        await worker.open(record)
    await asyncio.sleep(0.4)
    await worker.touch()
    assert await site.store.count() == 0
    assert len(worker._served.over) == 0


async def test_what_was_loaded_while_it_was_closed_is_not_served() -> None:
    """The look-up begins after the row is asked for to be deleted, and ends before it is."""
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    worker = site.worker()
    gate = site.store.before["delete"] = Gate()
    closing = asyncio.create_task(worker.close(client.session_id))
    await gate.reached()
    session, _ = await worker.open(client.seal(b"in time"))
    gate.open()
    assert await closing
    assert session.closed
    assert len(worker) == 0
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"late"))
