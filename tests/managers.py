"""Workers of a server, the store between them, and a client: what tests of managers begin with."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import KeyEncryptionKey, resolve_did_key
from sage_native.dids import DidRegistry
from sage_native.exceptions import StorageError
from sage_native.sessions import KeyRing, SessionManager, SessionPolicy
from sage_native.storage.base import SessionStore
from sage_native.storage.memory import MemoryDidStore, MemorySessionStore
from tests.agents import Agents
from tests.log_canaries import known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sage_native import ReplayWindowTable, Session
    from sage_native.protocol import Attempt, Request, WrappedSession
    from sage_native.storage.rows import Activity, Page, SessionRow, SessionStatus

__all__ = ["KEK", "Gate", "Site", "WatchedStore", "no_lost_errors", "registered", "rekey_at"]

KEK = KeyEncryptionKey("kek-1", known("KEK", bytes(range(32))))


@pytest.fixture
async def no_lost_errors() -> AsyncIterator[None]:
    """Fail a test that leaves an exception behind that nobody was told of."""
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert lost == []


class Gate:
    """Holds whoever comes until it is opened."""

    def __init__(self) -> None:
        self._reached, self._opened = asyncio.Event(), asyncio.Event()

    async def pass_through(self) -> None:
        self._reached.set()
        await self._opened.wait()

    async def reached(self) -> None:
        async with asyncio.timeout(5):
            await self._reached.wait()

    def open(self) -> None:
        self._opened.set()


class WatchedStore(SessionStore):
    """A store that counts its calls and can be made to fail, or to take its time.

    Attributes:
        calls: How often each operation was called.
        down: Operations that fail and do nothing; ``*`` for all.
        lost: Operations that do their work and then fail: their outcome is unknown.
        before: Gates that calls wait at before they do anything.
        after: Gates that answers wait at.
    """

    def __init__(self, inner: SessionStore | None = None) -> None:
        self.inner = MemorySessionStore() if inner is None else inner
        self.name, self.dids = self.inner.name, self.inner.dids
        self.calls: Counter[str] = Counter()
        self.down: set[str] = set()
        self.lost: set[str] = set()
        self.before: dict[str, Gate] = {}
        self.after: dict[str, Gate] = {}

    async def _call(self, operation: str, *arguments: object, **named: object) -> Any:  # noqa: ANN401
        self.calls[operation] += 1
        if operation in self.before:
            await self.before[operation].pass_through()
        if self.down & {operation, "*"}:
            raise StorageError("the store is down")
        answer = await getattr(self.inner, operation)(*arguments, **named)
        if operation in self.after:
            await self.after[operation].pass_through()
        if self.lost & {operation, "*"}:
            raise StorageError("the answer was lost")
        return answer

    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        await self._call("create", row, client_limit=client_limit, unless_revoked=unless_revoked)

    async def get(self, session_id: str) -> SessionRow | None:
        row: SessionRow | None = await self._call("get", session_id)
        return row

    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        found: Mapping[str, SessionStatus] = await self._call("status_many", session_ids)
        return found

    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        await self._call("advance", session, from_epoch=from_epoch, from_kek_id=from_kek_id)

    async def touch_many(self, activities: Sequence[Activity]) -> None:
        await self._call("touch_many", activities)

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        return bool(await self._call("describe", session_id, metadata))

    async def delete(self, session_id: str) -> bool:
        return bool(await self._call("delete", session_id))

    async def delete_of_did(self, did: str) -> Sequence[str]:
        deleted: Sequence[str] = await self._call("delete_of_did", did)
        return deleted

    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        return int(await self._call("delete_expired", grace_ms=grace_ms, now_ms=now_ms))

    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        page: Page = await self._call(
            "page", client_did=client_did, kek_id=kek_id, after=after, limit=limit
        )
        return page

    async def count(self, *, client_did: str | None = None) -> int:
        return int(await self._call("count", client_did=client_did))


class Site:
    """Bob's server: a store, perhaps a table of windows, and as many workers as are asked for."""

    def __init__(
        self,
        *,
        windows: ReplayWindowTable | None = None,
        policy: SessionPolicy | None = None,
        registry: DidRegistry | None = None,
        signed: bool = False,
    ) -> None:
        self.agents = Agents(signed=signed)
        self.store = WatchedStore()
        self.windows = windows
        self.policy = SessionPolicy() if policy is None else policy
        self.registry = registry
        self.ring = KeyRing(KEK)

    @property
    def alice(self) -> str:
        return self.agents.initiator.did

    def worker(self, *, ring: KeyRing | None = None, **policy: float) -> SessionManager:
        """Return a worker whose upkeep runs only if it is entered."""
        limits: dict[str, Any] = {**vars(self.policy), **policy}
        return SessionManager(
            self.store,
            self.ring if ring is None else ring,
            policy=SessionPolicy(**limits),
            windows=self.windows,
            registry=self.registry,
        )

    def request(self, now_ms: int | None = None) -> tuple[Attempt, Request]:
        """Return Alice's attempt, and Bob's authenticated request."""
        attempt = self.agents.initiator.initiate(now_ms=now_ms)
        request = self.agents.responder.read(attempt.message, now_ms=now_ms)
        request.authenticate(resolve_did_key(request.client_did))
        return attempt, request

    def accept(
        self, worker: SessionManager, now_ms: int | None = None
    ) -> tuple[Session, bytes, Session]:
        """Return Alice's session, her M3, and Bob's half-open session."""
        attempt, request = self.request(now_ms)
        reply, server = worker.accept(request, now_ms=now_ms)
        confirmation, client = attempt.finish(reply, now_ms=now_ms)
        return client, confirmation, server

    async def meet(self, worker: SessionManager, now_ms: int | None = None) -> Session:
        """Return Alice's session of a finished handshake."""
        client, confirmation, _ = self.accept(worker, now_ms)
        await worker.confirm(confirmation, now_ms=now_ms)
        return client


async def registered(site: Site, *, beside: bool = False) -> DidRegistry:
    """Let the site's workers ask a registry, which lists Alice.

    Args:
        site: Whose.
        beside: Keep its records in the storage of the sessions, which sees revocations then.
    """
    dids = MemoryDidStore()
    registry = DidRegistry(dids)
    if beside:
        site.store = WatchedStore(MemorySessionStore(dids=dids))
    alice = site.agents.alice.verifying_key
    await registry.register(alice.did, [alice.to_bytes()])
    site.registry = registry
    return registry


async def rekey_at(worker: SessionManager, client: Session, now_ms: int | None = None) -> bytes:
    """Let a worker answer the client's R1; return R2."""
    reply = await worker.rekey(client.rekey_request(now_ms=now_ms), now_ms=now_ms)
    client.accept_rekey(reply, now_ms=now_ms)
    return reply
