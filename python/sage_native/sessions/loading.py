"""Taking sessions out of the store: one look-up a session, however many ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import CapacityError
from sage_native.storage.base import now_or_clock

if TYPE_CHECKING:
    from sage_native.protocol import Session
    from sage_native.replay import ReplayWindowTable
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import SessionRow

__all__ = ["Loader"]


class Loader:
    """Turns rows into sessions that are served.

    A row takes the place of a session only if it is ahead of it, or that session has ended here: a
    forged header that names an epoch to come costs a read, and nothing else.
    """

    def __init__(
        self,
        store: SessionStore,
        keys: KeyRing,
        served: Served,
        policy: SessionPolicy,
        windows: ReplayWindowTable | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._served = served
        self._policy = policy
        self._windows = windows
        self._loads: dict[str, asyncio.Task[Session | None]] = {}

    async def load(self, session_id: str, now_ms: int | None = None) -> Session | None:
        """Return the session as the store has it, and serve it.

        Returns:
            The session that is served now; None if there is no row, or the row is over.

        Raises:
            CapacityError: Too many look-ups are under way, or the table is full.
            KeyUnavailableError: The row does not open.
            StorageError: The store did not answer.
        """
        task = self._loads.get(session_id)
        if task is None:
            if len(self._loads) >= self._policy.max_loads:
                raise CapacityError(f"{self._policy.max_loads} sessions are being looked up")
            task = asyncio.get_running_loop().create_task(self._load(session_id, now_ms))
            self._loads[session_id] = task
            task.add_done_callback(lambda done: self._loaded(session_id, done))
        # Shielded: who is cancelled takes no answer away from the others.
        return await asyncio.shield(task)

    async def _load(self, session_id: str, now_ms: int | None) -> Session | None:
        row = await self._store.get(session_id)
        now = now_or_clock(now_ms)
        if row is None or row.is_over(now, self._policy.grace_ms):
            return None
        if self._is_spent(row):
            return None
        served = self._served.table.get(session_id)
        if served is not None and not served.closed and (served.epoch or 0) >= row.session.epoch:
            return served
        session = self._unwrap(row, now)
        self._served.replace(session, now)
        events.session_restored(session.role, demands_rekey=session.rekey_wanted)
        return session

    def _unwrap(self, row: SessionRow, now_ms: int) -> Session:
        key = self._keys.key(row.session.kek_id)
        session = row.session.unwrap(
            key, store=self._store.name, windows=self._windows, now_ms=now_ms
        )
        if row.restored:
            session.demand_rekey()
        if self._policy.max_messages is not None:
            session.limit_messages(self._policy.max_messages, stored=row.messages)
        return session

    def _is_spent(self, row: SessionRow) -> bool:
        maximum = self._policy.max_messages
        return maximum is not None and row.messages >= maximum

    def _loaded(self, session_id: str, task: asyncio.Task[Session | None]) -> None:
        del self._loads[session_id]
        if not task.cancelled():
            task.exception()  # seen by those who wait; nobody may be left
