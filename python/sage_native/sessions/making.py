"""Making sessions last: their first row, and what must be true of them once it is there.

The row comes first and the question after it. Who revokes a DID marks it as revoked and then
deletes the rows of its sessions; so either that deletion finds our row, or our question finds the
mark. The other way round a session that is made in the instant of its revocation would stay. The
same holds for a session that is closed here while its row is on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

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
from sage_native.storage.base import now_or_clock
from sage_native.storage.rows import SessionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from sage_native.dids import DidRegistry
    from sage_native.protocol import Session
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.loading import Loader
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore

__all__ = ["Maker"]


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
        self._making: dict[str, asyncio.Task[None]] = {}

    async def confirm(self, session: Session, now_ms: int | None = None) -> None:
        """Make a session last that its client has confirmed; records that come meanwhile wait.

        Raises:
            AuthenticationError: The client is not listed any more, or the session was ended.
            CapacityError: The client has its most sessions.
            StorageError: It could not be stored. The session has ended, whatever is raised.
        """
        await self._once(session.session_id, lambda: self._confirm(session, now_ms))

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
        await self._once(session.session_id, lambda: self._create(session, metadata, now_ms))

    async def finish(self) -> None:
        """Wait until nothing is being made."""
        while self._making:
            await asyncio.wait(self._making.values())

    async def settled(self, session_id: str) -> None:
        """Wait until a session is not being made; whether it was is for others to see."""
        task = self._making.get(session_id)
        if task is not None:
            await asyncio.wait([task])

    async def _once(self, session_id: str, make: Callable[[], Coroutine[None, None, None]]) -> None:
        task = self._making.get(session_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(make())
            self._making[session_id] = task
            task.add_done_callback(lambda done: self._made(session_id, done))
        # Shielded: who is cancelled leaves no session half made.
        await asyncio.shield(task)

    async def _confirm(self, session: Session, now_ms: int | None) -> None:
        session_id = session.session_id
        try:
            await self._store_row(session, None, now_ms)
        except (ConflictError, CapacityError):
            self._served.end(session_id)
            raise  # no row, or none of ours
        except BaseException:
            # The row may be there or still come, and nobody may wait for a store that does not
            # answer.
            self._served.end(session_id)
            self._served.over.add(session_id, for_s=over.UNKNOWN_WRITE_S)
            raise
        await self._end_unless_listed(session)
        self._served.half_open.discard(session_id)
        events.session_started(session.role)

    async def _create(
        self, session: Session, metadata: Mapping[str, str] | None, now_ms: int | None
    ) -> None:
        session_id = session.session_id
        self._served.coming[session_id] = session
        try:
            await self._store_row(session, metadata, now_ms)
            await self._end_unless_listed(session)
        finally:
            del self._served.coming[session_id]
        try:
            self._served.table.add(session)
        except CapacityError:
            await self._loader.delete(session_id, surely=True)
            raise
        events.session_started(session.role)

    async def _store_row(
        self, session: Session, metadata: Mapping[str, str] | None, now_ms: int | None
    ) -> None:
        wrapped = session.wrap(self._keys.current, store=self._store.name, now_ms=now_ms)
        if wrapped is None:
            raise SessionStateError("a session without a row cannot be stored")
        row = SessionRow(
            wrapped, session.idle_timeout_s, now_or_clock(now_ms), metadata=dict(metadata or {})
        )
        is_served = session.role == "responder"
        limit = self._policy.max_sessions_per_client if is_served else None
        await self._store.create(row, client_limit=limit)
        self._served.stored_count += 1

    async def _end_unless_listed(self, session: Session) -> None:
        """End a session, and delete its row, unless its client is listed and nobody ended it."""
        try:
            await self._check_listed(session)
        except BaseException:
            session.close()
            self._served.end(session.session_id)
            with contextlib.suppress(StorageError):  # it is tried again
                await self._loader.delete(session.session_id, surely=True)
            raise

    async def _check_listed(self, session: Session) -> None:
        if self._registry is not None and session.role == "responder" and not session.closed:
            keys = await self._registry.resolve(session.client_did, fresh=True)
            if session.peer_key not in [key.to_bytes() for key in keys]:
                raise AuthenticationError("authentication failed")
        if session.closed:
            raise AuthenticationError("authentication failed")

    def _made(self, session_id: str, task: asyncio.Task[None]) -> None:
        del self._making[session_id]
        if not task.cancelled():
            task.exception()  # seen by those who wait; nobody may be left
