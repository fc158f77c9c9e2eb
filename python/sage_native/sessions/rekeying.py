"""Answering R1s, with one decision an epoch in the store.

The store decides by compare-and-set, before anything is answered. Who loses, or does not hear
whether it won, reads the row: in it stands the committed R1 and R2, and every worker repeats those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import (
    AuthenticationError,
    ConflictError,
    ExpiredError,
    HandshakeError,
    StorageError,
)
from sage_native.sessions.naming import session_id_of
from sage_native.sessions.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.protocol import Session
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.loading import Loader
    from sage_native.sessions.pace import Pace
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore

__all__ = ["Rekeyer"]

R1_LEN = 84
_ATTEMPTS = 4


class Rekeyer:
    """The responder's side of rekeys, for a `SessionManager`.

    Args:
        store: Where epochs are decided.
        keys: Wrap what is stored.
        served: What this process serves.
        loader: Takes sessions out of the store.
        pace: How many epochs a client may begin.
        settled: Waits until a session that is being stored for the first time is there.
    """

    def __init__(  # noqa: PLR0913 - one part each
        self,
        store: SessionStore,
        keys: KeyRing,
        served: Served,
        loader: Loader,
        *,
        pace: Pace,
        settled: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._keys = keys
        self._served = served
        self._loader = loader
        self._pace = pace
        self._settled = settled
        self.turns = Turns()

    async def answer(
        self,
        request: bytes,
        find: Callable[[str], Awaitable[Session | None]],
        now_ms: int | None,
    ) -> bytes:
        """Decide an R1 and return its R2; ``find`` returns the session of an id, wherever it is."""
        if len(request) != R1_LEN:
            raise HandshakeError("rekey request must be 84 bytes long")
        session_id = session_id_of(request)
        # Outside the turn, so that forgeries make no queue before the real one.
        await self._check(await self._found(session_id, find), request, now_ms)
        async with self.turns.of(session_id):
            for _ in range(_ATTEMPTS):
                session = await self._found(session_id, find)
                reply = await self._answer_once(session, request, now_ms)
                if reply is not None:
                    return reply
        raise StorageError("the session changes faster than it can be read")

    async def _found(
        self, session_id: str, find: Callable[[str], Awaitable[Session | None]]
    ) -> Session:
        session = await find(session_id)
        if session is None:
            raise AuthenticationError("authentication failed")
        # Before its row is there, nothing can be moved on from it.
        await self._settled(session_id)
        return session

    async def _check(self, session: Session, request: bytes, now_ms: int | None) -> None:
        """Refuse an R1 that does not verify, by the session as it is here and in the store."""
        try:
            session.prepare_rekey(request, now_ms=now_ms)
        except (AuthenticationError, ExpiredError):
            # Only an R1 of an epoch to come, or a session that has ended here, is worth a look.
            if not session.closed and _epoch_of(request) <= (session.epoch or 0):
                raise
            loaded = await self._loader.load(session.session_id, now_ms)
            if loaded is None or loaded is session:
                raise
            loaded.prepare_rekey(request, now_ms=now_ms)

    async def _answer_once(
        self, session: Session, request: bytes, now_ms: int | None
    ) -> bytes | None:
        """Answer an R1, or return None if the session has changed and must be looked at again."""
        try:
            prepared = session.prepare_rekey(request, now_ms=now_ms)
        except (AuthenticationError, ExpiredError):
            await self._check(session, request, now_ms)
            return None
        key, name = self._keys.current, self._store.name
        row = session.wrap(key, store=name, prepared=prepared, now_ms=now_ms)
        if row is None:
            return session.commit_rekey(prepared, now_ms=now_ms)
        self._pace.spend(session.client_did)
        try:
            await self._store.advance(row, from_epoch=row.epoch - 1)
        except ConflictError:
            if await self._loader.load(session.session_id, now_ms) in {None, session}:
                # The row is gone, or cannot be moved on from: the session has ended elsewhere.
                self._served.end(session.session_id)
            return None
        if self._served.table.get(session.session_id) is not session:
            return None  # loaded anew while its row was written: that one answers
        reply = session.commit_rekey(prepared, now_ms=now_ms)
        events.session_rekeyed(row.epoch)
        return reply


def _epoch_of(request: bytes) -> int:
    return int.from_bytes(request[16:20], "big")
