"""Sessions that have ended stay so, whatever is under way in that instant."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplayWindowTable, events
from sage_native.exceptions import AuthenticationError, StorageError
from sage_native.sessions import over
from tests.deeds import noting
from tests.managers import Gate, Site, no_lost_errors, registered

if TYPE_CHECKING:
    from sage_native import Session
    from sage_native.dids import DidRegistry
    from sage_native.storage.rows import DidRecord, SessionRow

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


class LateRow:
    """Makes the first row of a site late: it is refused, and carried out when it is told to be."""

    def __init__(self, site: Site) -> None:
        self.store = site.store
        self.row: SessionRow | None = None
        self.store.create = self.create  # type: ignore[method-assign]

    async def create(self, row: SessionRow, **conditions: object) -> None:
        del self.store.create
        self.row = row
        raise StorageError(f"no answer within 5 s, {conditions}")

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


# Rows that a store should not have any more.


async def revoked_and_lost(site: Site, registry: DidRegistry) -> Session:
    """Return the session of a revoked client whose row is there, as after a crash."""
    worker = site.worker()
    client = await site.meet(worker)
    row = await site.store.get(client.session_id)
    assert row is not None
    await registry.revoke(site.alice)
    assert await worker.end_of_did(site.alice) == 1
    await site.store.create(row)
    return client


@pytest.mark.parametrize("by", ["record", "rekey", "get"])
async def test_a_row_of_a_revoked_client_makes_no_session_and_goes(by: str) -> None:
    site, ended = Site(windows=ReplayWindowTable(100)), list[events.Event]()
    client = await revoked_and_lost(site, await registered(site))
    worker = site.worker()
    unsubscribe = events.subscribe(noting(ended))
    if by == "get":
        assert await worker.get(client.session_id) is None
    else:
        with pytest.raises(AuthenticationError):
            await (
                worker.open(client.seal(b"revoked"))
                if by == "record"
                else worker.rekey(client.rekey_request())
            )
    unsubscribe()
    assert events.SessionsEnded("revoked", 1) in ended
    assert await site.store.count() == 0
    assert len(worker) == 0


async def test_a_row_of_a_revoked_client_that_cannot_be_deleted_goes_later() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await revoked_and_lost(site, await registered(site))
    worker = site.worker()
    site.store.down.add("delete")
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await worker.open(client.seal(b"revoked"))
    site.store.down.clear()
    await worker.touch()
    assert await site.store.count() == 0


async def test_clients_that_are_listed_are_asked_for_once_in_a_while() -> None:
    site = Site(windows=ReplayWindowTable(100))
    registry = await registered(site)
    worker = site.worker()
    clients = [await site.meet(worker) for _ in range(5)]
    lookups = Counter[str]()
    assert registry._store is not None
    find = registry._store.get

    async def counted(did: str) -> DidRecord | None:
        lookups[did] += 1
        return await find(did)

    registry._store.get = counted  # type: ignore[method-assign]
    beside = site.worker()
    for client in clients:
        assert (await beside.open(client.seal(b"listed")))[1] == b"listed"
    assert lookups[site.alice] <= 1


async def test_while_nobody_can_say_who_is_listed_nothing_is_loaded_and_nothing_lost() -> None:
    site = Site(windows=ReplayWindowTable(100))
    registry = await registered(site)
    client = await site.meet(site.worker())
    registry.forget(site.alice)
    assert registry._store is not None

    async def fails(did: str) -> DidRecord | None:  # noqa: ARG001 - the port's name
        raise StorageError("the registry is down")

    registry._store.get = fails  # type: ignore[method-assign]
    worker, record = site.worker(), client.seal(b"patience")
    with pytest.raises(StorageError, match="registry is down"):
        await worker.open(record)
    assert len(worker) == 0
    del registry._store.get
    assert (await worker.open(record))[1] == b"patience"


async def test_a_session_that_is_closed_while_its_client_is_asked_for_is_not_served() -> None:
    site = Site(windows=ReplayWindowTable(100))
    registry = await registered(site)
    client = await site.meet(site.worker())
    registry.forget(site.alice)
    assert registry._store is not None
    find, gate = registry._store.get, Gate()

    async def slow(did: str) -> DidRecord | None:
        await gate.pass_through()
        return await find(did)

    registry._store.get = slow  # type: ignore[method-assign]
    worker = site.worker()
    opening = asyncio.create_task(worker.open(client.seal(b"late")))
    await gate.reached()
    assert await worker.close(client.session_id)
    gate.open()
    with pytest.raises(AuthenticationError):
        await opening
    assert len(worker) == 0


# Sessions that were made elsewhere and are stored here.


def made_elsewhere(site: Site) -> tuple[Session, Session]:
    """Return both sides of a handshake that no manager saw, the responder's last."""
    attempt, request = site.request()
    reply, server = request.accept()
    confirmation, client = attempt.finish(reply)
    server.confirm(confirmation)
    return client, server


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_no_session_is_created_in_the_instant_of_a_revocation(
    moment: str, where: str
) -> None:
    site = Site(windows=ReplayWindowTable(100))
    registry = await registered(site)
    worker, beside = site.worker(), site.worker()
    client, server = made_elsewhere(site)
    gate = getattr(site.store, moment)["create"] = Gate()
    creating = asyncio.create_task(worker.create(server))
    await gate.reached()
    await registry.revoke(site.alice)
    await (worker if where == "here" else beside).end_of_did(site.alice)
    gate.open()
    with pytest.raises(AuthenticationError):
        await creating
    assert server.closed
    assert await site.store.count() == 0
    for one in (worker, beside):
        with pytest.raises(AuthenticationError):
            await one.open(client.seal(b"revoked"))


@pytest.mark.parametrize("how", ["close", "end_of_did"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_session_that_is_being_created_can_be_ended(moment: str, how: str) -> None:
    site = Site()
    worker = site.worker()
    _, server = made_elsewhere(site)
    gate = getattr(site.store, moment)["create"] = Gate()
    creating = asyncio.create_task(worker.create(server))
    await gate.reached()
    if how == "close":
        await worker.close(server.session_id)
    else:
        await worker.end_of_did(site.alice)
    gate.open()
    with pytest.raises(AuthenticationError):
        await creating
    assert server.closed
    assert len(worker) == await site.store.count() == 0


async def test_a_listed_clients_session_is_created_and_not_loaded_before() -> None:
    site = Site(windows=ReplayWindowTable(100))
    await registered(site)
    worker = site.worker()
    client, server = made_elsewhere(site)
    record = client.seal(b"early")
    gate = site.store.after["create"] = Gate()
    creating = asyncio.create_task(worker.create(server))
    await gate.reached()
    with pytest.raises(AuthenticationError):
        await worker.open(record)
    gate.open()
    await creating
    assert await worker.open(record) == (server, b"early")
