"""Making sessions last: their first row, and what must be true of them once it is there.

The row comes first and the question after it. Who revokes a DID marks it as revoked and then
deletes the rows of its sessions; so either that deletion finds our row, or our question finds the
mark. The other way round a session that is made in the instant of its revocation would stay. The
same holds for a session that is closed here while its row is on its way.

Where the registry's records lie beside the sessions, the store asks the question itself, and by the
same rule: see `SessionStore.create`. It only knows who is revoked, so the registry must remember
that the client lists this key; the rest of what a look-up could find never changes.

Whoever waits may be cancelled, and the row is on its way all the same. So what follows the store's
answer belongs to no caller: it is done when the answer comes, and in a task where it has to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sage_native import events
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConflictError,
    SessionStateError,
    StorageError,
    UsageError,
)
from sage_native.sessions import over
from sage_native.sessions.outcomes import outcome_of
from sage_native.sessions.waiters import Waiters, waiting
from sage_native.storage.base import now_or_clock
from sage_native.storage.rows import SessionRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
    from contextvars import Context

    from sage_native.dids import DidRegistry
    from sage_native.protocol import Session
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.loading import Loader
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore

__all__ = ["Maker", "Making"]


class Maker:
    """Stores sessions for the first time, each once, however many wait for it."""

    def __init__(  # noqa: PLR0913 - one part each
        self,
        store: SessionStore,
        keys: KeyRing,
        served: Served,
        loader: Loader,
        *,
        policy: SessionPolicy,
        registry: DidRegistry | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._served = served
        self._loader = loader
        self._policy = policy
        self._registry = registry
        beside = store.dids
        # Whether the store can be asked about revocation, as it stores.
        self._is_beside = registry is not None and beside is not None and beside is registry.store
        self._making: dict[str, Waiters] = {}

    async def confirm(self, session: Session, now_ms: int | None = None) -> None:
        """Make a session last that its client has confirmed; records that come meanwhile wait.

        Raises:
            AuthenticationError: The client is not listed any more, or the session was ended.
            CapacityError: The client has its most sessions.
            StorageError: It could not be stored. The session has ended, whatever is raised.
        """
        waiter, stored = waiting()
        self.begin_confirm(session, session.session_id, stored, now_ms)
        await waiter

    def begin_confirm(
        self,
        session: Session,
        session_id: str,
        stored: Callable[[BaseException | None], object],
        now_ms: int | None = None,
        gathered: list[Making] | None = None,
    ) -> None:
        """Begin what ``confirm`` does.

        Args:
            session: Confirmed by its client.
            session_id: Its id.
            stored: Called when it is done, with what ``confirm`` would raise or None.
            now_ms: The time; the clock is asked if it is left out.
            gathered: Where what is to be stored is put, for `store`; it is stored at once if this
                is left out.
        """
        waiters = self._making.get(session_id)
        if waiters is None:
            alone: list[Making] = []
            waiters = self._begin_confirm(
                session, session_id, now_ms, alone if gathered is None else gathered
            )
            self.store(alone)
        waiters.add(stored)

    def store(self, gathered: Iterable[Making]) -> None:
        """Store what was gathered by ``begin_confirm``, each by itself."""
        kinds: dict[tuple[int | None, bool], list[Making]] = {}
        for one in gathered:
            kind = self._limit(one.session), one.asks.store
            kinds.setdefault(kind, []).append(one)
        for (limit, asks_store), makings in kinds.items():
            try:
                self._store.begin_create_many(
                    [one.row for one in makings],
                    partial(self._stored, makings),
                    client_limit=limit,
                    unless_revoked=asks_store,
                    contexts=[one.context for one in makings],
                )
            except Exception as error:  # noqa: BLE001 - they wait for it
                for at in range(len(makings)):
                    self._stored(makings, at, error)

    async def create(
        self, session: Session, metadata: Mapping[str, str] | None, now_ms: int | None
    ) -> None:
        """Store a session, and serve it.

        Raises:
            UsageError: One of its id is served, or about to be.
            AuthenticationError, CapacityError, ConflictError, StorageError: As
                `SessionManager.create`.
        """
        if session.session_id in self._making or session.session_id in self._served.table:
            raise UsageError("a session of this id is served already")
        row, asks = self._row(session, metadata, now_ms), self._asks(session)
        waiters = self._making[session.session_id] = Waiters()
        self._served.coming[session.session_id] = session
        self._go_on(session, self._create(session, row, asks))
        await waiters.wait()

    async def finish(self) -> None:
        """Wait until nothing is being made."""
        while self._making:
            await self.settled(next(iter(self._making)))

    async def settled(self, session_id: str) -> None:
        """Wait until a session is not being made; whether it was is for others to see."""
        waiters = self._making.get(session_id)
        if waiters is not None:
            with contextlib.suppress(Exception):  # its own callers are told
                await waiters.wait()

    def _begin_confirm(
        self, session: Session, session_id: str, now_ms: int | None, gathered: list[Making]
    ) -> Waiters:
        try:
            row, asks = self._row(session, None, now_ms), self._asks(session)
        except BaseException as error:
            self._end(session, error)
            raise
        waiters = self._making[session_id] = Waiters()
        if asks.registry:
            self._go_on(session, self._confirm(session, self._store_row(session, row, asks), asks))
        else:
            gathered.append(Making(session, session_id, row, asks, copy_context()))
        return waiters

    def _stored(self, makings: Sequence[Making], at: int, error: BaseException | None) -> None:
        one = makings[at]
        # What follows is of one request alone.
        one.context.run(self._stored_one, one, error)

    def _stored_one(self, one: Making, error: BaseException | None) -> None:
        session, session_id = one.session, one.session_id
        is_stored = error is None
        self._served.stored_count += is_stored
        if is_stored and not session.closed:
            self._confirmed(session, session_id)
            self._making.pop(session_id).settle(None)
        else:
            self._go_on(session, self._confirm(session, _outcome(error), one.asks))

    async def _confirm(self, session: Session, storing: Awaitable[None], asks: _Asks) -> None:
        session_id = session.session_id
        try:
            await storing
        except (AuthenticationError, ConflictError, CapacityError) as error:
            self._end(session, error)
            raise  # no row, or none of ours
        except BaseException as error:
            # The row may be there or still come, and nobody may wait for a store that does not
            # answer.
            self._end(session, error)
            self._served.over.add(session_id, for_s=over.UNKNOWN_WRITE_S)
            raise
        await self._end_unless_listed(session, asks)
        self._confirmed(session, session_id)

    def _confirmed(self, session: Session, session_id: str) -> None:
        self._served.half_open.discard(session_id, status="completed")
        events.session_started(session.role)

    def _end(self, session: Session, error: BaseException) -> None:
        status, code = outcome_of(error)
        self._served.half_open.discard(session.session_id, status=status, code=code)
        self._served.end(session.session_id)

    async def _create(self, session: Session, row: SessionRow, asks: _Asks) -> None:
        session_id = session.session_id
        try:
            await self._store_row(session, row, asks)
            await self._end_unless_listed(session, asks)
        except AuthenticationError:
            session.close()
            raise
        finally:
            del self._served.coming[session_id]
        try:
            self._served.table.add(session)
        except CapacityError:
            await self._loader.delete(session_id, surely=True)
            raise
        events.session_started(session.role)

    def _row(
        self, session: Session, metadata: Mapping[str, str] | None, now_ms: int | None
    ) -> SessionRow:
        wrapped = session.wrap(self._keys.current, store=self._store.name, now_ms=now_ms)
        if wrapped is None:
            raise SessionStateError("a session without a row cannot be stored")
        noted = {} if metadata is None else dict(metadata)
        return SessionRow(wrapped, session.idle_timeout_s, now_or_clock(now_ms), metadata=noted)

    def _asks(self, session: Session) -> _Asks:
        registry = self._registry
        if registry is None or session.role != "responder":
            return _NOBODY
        knows = self._is_beside and registry.remembers(session.client_did, session.peer_key)
        return _THE_STORE if knows else _THE_REGISTRY

    def _limit(self, session: Session) -> int | None:
        is_served = session.role == "responder"
        return self._policy.max_sessions_per_client if is_served else None

    async def _store_row(self, session: Session, row: SessionRow, asks: _Asks) -> None:
        await self._store.create(row, client_limit=self._limit(session), unless_revoked=asks.store)
        self._served.stored_count += 1

    async def _end_unless_listed(self, session: Session, asks: _Asks) -> None:
        """End a session, and delete its row, unless its client is listed and nobody ended it."""
        try:
            await self._check_listed(session, asks)
        except BaseException as error:
            session.close()
            self._end(session, error)
            with contextlib.suppress(StorageError):  # it is tried again
                await self._loader.delete(session.session_id, surely=True)
            raise

    async def _check_listed(self, session: Session, asks: _Asks) -> None:
        if asks.registry and self._registry is not None and not session.closed:
            keys = await self._registry.resolve(session.client_did, fresh=True)
            if session.peer_key not in [key.to_bytes() for key in keys]:
                raise AuthenticationError("authentication failed")
        if session.closed:
            raise AuthenticationError("authentication failed")

    def _go_on(self, session: Session, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._making[session.session_id].work = task
        task.add_done_callback(lambda done: self._made(session, done))

    def _made(self, session: Session, outcome: asyncio.Future[None]) -> None:
        # Looked at in any case: nobody may be left to be told of an error.
        error = asyncio.CancelledError() if outcome.cancelled() else outcome.exception()
        self._making.pop(session.session_id).settle(error)


async def _outcome(error: BaseException | None) -> None:
    if error is not None:
        raise error


class _Asks(NamedTuple):
    """Who is asked about revocation: the store, as it stores, or the registry after it."""

    store: bool
    registry: bool


_NOBODY = _Asks(store=False, registry=False)
_THE_STORE = _Asks(store=True, registry=False)
_THE_REGISTRY = _Asks(store=False, registry=True)


class Making(NamedTuple):
    """A session that is to be stored, and what follows it.

    Attributes:
        session: Confirmed by its client.
        session_id: Its id.
        row: What is stored.
        asks: Who is asked about revocation.
        context: That of whoever confirmed it.
    """

    session: Session
    session_id: str
    row: SessionRow
    asks: _Asks
    context: Context
