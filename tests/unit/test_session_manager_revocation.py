"""Who is asked whether a client was revoked while its session was made: the store, if it can tell.

In place of a look-up after every row, which is what `test_session_manager_workers.py` and
`test_session_manager_ends.py` are about.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native import ReplayWindowTable, SigningKey, events
from sage_native.dids import DidRegistry
from sage_native.exceptions import AuthenticationError, CapacityError, StorageError
from sage_native.sessions import SessionManager, SessionPolicy
from sage_native.storage.memory import MemoryDidStore, MemorySessionStore
from sage_native.storage.sqlite import SqliteStorage
from tests.deeds import noting
from tests.managers import Gate, Site, WatchedStore, no_lost_errors, registered

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native.storage.rows import DidRecord

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


class Looks:
    """Counts what a registry asks its store."""

    def __init__(self, registry: DidRegistry) -> None:
        self.count = 0
        assert registry.store is not None
        self._find = registry.store.get
        registry.store.get = self._get  # type: ignore[method-assign]

    async def _get(self, did: str) -> DidRecord | None:
        self.count += 1
        return await self._find(did)


async def beside(site: Site) -> tuple[DidRegistry, Looks]:
    """Return a registry beside the sessions, as after an M1: it remembers Alice."""
    registry = await registered(site, beside=True)
    await registry.resolve(site.alice)
    return registry, Looks(registry)


async def test_a_store_that_sees_revocations_is_asked_and_nobody_else() -> None:
    site = Site()
    _, looks = await beside(site)
    worker = site.worker()
    client, m3, server = site.accept(worker)
    started = list[events.Event]()
    unsubscribe = events.subscribe(noting(started))
    assert await worker.confirm(m3) is server
    unsubscribe()
    assert started == [events.SessionStarted("responder")]
    assert (await worker.open(client.seal(b"hello")))[1] == b"hello"
    assert looks.count == 0
    assert await site.store.count() == 1


@pytest.mark.parametrize("by", ["this registry", "another"])
@pytest.mark.parametrize("first", ["m3", "record"])
async def test_a_client_that_was_revoked_makes_no_session(first: str, by: str) -> None:
    site = Site()
    registry, _ = await beside(site)
    worker = site.worker()
    client, m3, server = site.accept(worker)
    assert registry.store is not None
    await (registry if by == "this registry" else registry.store).revoke(site.alice)
    with pytest.raises(AuthenticationError):
        await (worker.confirm(m3) if first == "m3" else worker.open(client.seal(b"hello")))
    assert server.closed
    assert len(worker) == await site.store.count() == worker._served.stored_count == 0
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"again"))


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_no_session_outlives_a_revocation_of_its_instant(moment: str, where: str) -> None:
    """Stored before it, the row is deleted with the others, and the session ends as they do."""
    site = Site(windows=ReplayWindowTable(100))
    registry, _ = await beside(site)
    worker, other = site.worker(), site.worker()
    client, m3, server = site.accept(worker)
    gate = getattr(site.store, moment)["create"] = Gate()
    making = asyncio.create_task(worker.confirm(m3))
    await gate.reached()
    assert registry.store is not None
    await registry.store.revoke(site.alice)
    ended_count = await (worker if where == "here" else other).end_of_did(site.alice)
    assert ended_count == (moment == "after")
    gate.open()
    if (moment, where) == ("after", "elsewhere"):
        assert await making is server
        await worker.touch()
    else:
        with pytest.raises(AuthenticationError):
            await making
    assert server.closed
    assert len(worker) == await site.store.count() == 0
    for one in (worker, other):
        with pytest.raises(AuthenticationError):
            await one.open(client.seal(b"revoked"))


async def test_a_key_that_is_not_remembered_is_looked_up_after_all() -> None:
    site = Site()
    registry, looks = await beside(site)
    worker = site.worker()
    for expected in (1, 1):  # forgotten once, and remembered from then on
        _, m3, _ = site.accept(worker)
        if not looks.count:
            registry.forget(site.alice)
        await worker.confirm(m3)
        assert looks.count == expected
    assert await site.store.count() == 2


async def test_a_key_that_its_did_does_not_list_makes_no_session() -> None:
    """It was let in by something else than this registry; the store only knows who is revoked."""
    site = Site()
    dids = MemoryDidStore()
    site.registry = DidRegistry(dids)
    site.store = WatchedStore(MemorySessionStore(dids=dids))
    _, m3, server = site.accept(worker := site.worker())
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    assert server.closed
    await site.registry.register("did:sage:other", [SigningKey.generate().verifying_key_bytes])
    await site.registry.resolve("did:sage:other")
    assert not site.registry.remembers("did:sage:other", bytes(32))
    assert await site.store.count() == 0


async def test_dids_of_another_storage_tell_nothing() -> None:
    """The sessions lie beside DIDs, but the registry keeps its own elsewhere."""
    site = Site()
    registry = await registered(site)
    await registry.resolve(site.alice)
    site.store = WatchedStore(MemorySessionStore(dids=MemoryDidStore()))
    worker = site.worker()
    _, m3, server = site.accept(worker)
    assert registry.store is not None
    await registry.store.revoke(site.alice)
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    assert server.closed
    assert await site.store.count() == 0


async def test_a_session_from_elsewhere_is_not_created_for_a_revoked_client() -> None:
    site = Site()
    registry, looks = await beside(site)
    worker = site.worker()
    attempt, request = site.request()
    reply, server = request.accept()
    server.confirm(attempt.finish(reply)[0])
    assert registry.store is not None
    await registry.store.revoke(site.alice)
    with pytest.raises(AuthenticationError):
        await worker.create(server)
    assert server.closed
    assert looks.count == len(worker) == await site.store.count() == 0
    assert not worker._served.coming


@pytest.mark.parametrize("outcome", ["stored", "full", "revoked", "closed"])
async def test_a_confirmation_on_sqlite_without_a_task(tmp_path: Path, outcome: str) -> None:
    """Whoever is cancelled, the others get the answer, and nothing is half made."""
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        site = Site()
        registry = DidRegistry(storage.dids)
        key = site.agents.alice.verifying_key
        await registry.register(key.did, [key.to_bytes()])
        await registry.resolve(key.did)
        sessions = storage.sessions()
        policy = SessionPolicy(max_sessions_per_client=1)
        worker = SessionManager(sessions, site.ring, registry=registry, policy=policy)
        _, m3, server = site.accept(worker)
        if outcome == "revoked":
            await storage.dids.revoke(key.did)
        if outcome == "full":
            await worker.confirm(m3)
            _, m3, server = site.accept(worker)
        calls = [asyncio.create_task(worker.confirm(m3)) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        if outcome == "closed":
            await worker.close(server.session_id)
        first, *others = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        kinds = {
            "full": CapacityError,
            "revoked": AuthenticationError,
            "closed": AuthenticationError,
        }
        if outcome == "stored":
            assert others == [server, server]
        else:
            assert [type(other) for other in others] == [kinds[outcome]] * 2
        assert server.closed == (outcome != "stored")
        assert await sessions.count() == (outcome in {"stored", "full"}) == len(worker)
        assert worker._served.stored_count == len(worker)
        assert not worker._maker._making
        await worker.drain()


async def test_a_store_that_is_closed_ends_what_was_to_be_stored(tmp_path: Path) -> None:
    site = Site()
    storage = await SqliteStorage.open(tmp_path / "sage.db")
    worker = SessionManager(storage.sessions(), site.ring)
    _, m3, server = site.accept(worker)
    await storage.aclose()
    with pytest.raises(StorageError, match="is closed"):
        await worker.confirm(m3)
    assert server.closed
    assert len(worker) == 0
