"""Taking sessions out of the store: one look-up a session, however many ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import OverloadedError, StorageError, UsageError
from sage_native.protocol import RecordHeader
from sage_native.storage.base import now_or_clock
from sage_native.storage.timing import tell_failure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sage_native.dids import DidRegistry
    from sage_native.protocol import Session
    from sage_native.replay import ReplayWindowTable
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import SessionRow

__all__ = ["Loader"]


class Loader:
    """Turns rows into sessions that are served, and deletes rows.

    A row takes the place of a session only if it is ahead of it, or that session has ended here by
    silence, which another worker may have broken: a forged header that names an epoch to come costs
    a read, and nothing else. A row that is read while it is deleted is read again, and one that is
    still to be deleted makes no session.

    Nor does the row of a client that is not listed any more. It was deleted when the client was
    revoked, but a store may lose that in a crash, and a copy of it may be older. The row comes
    first and the question after it, as in `Maker`.
    """

    def __init__(  # noqa: PLR0913 - one part each
        self,
        store: SessionStore,
        keys: KeyRing,
        served: Served,
        *,
        policy: SessionPolicy,
        windows: ReplayWindowTable | None,
        registry: DidRegistry | None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._served = served
        self._policy = policy
        self._windows = windows
        self._registry = registry
        self._loads: dict[str, asyncio.Task[Session | None]] = {}
        self._outdated: set[str] = set()
        self._closed = False

    async def load(self, session_id: str, now_ms: int | None = None) -> Session | None:
        """Return the session as the store has it, and serve it.

        Returns:
            The session that is served now; None if there is no row, or the row is over.

        Raises:
            OverloadedError: Too many look-ups are under way.
            CapacityError: The table is full.
            KeyUnavailableError: The row does not open.
            StorageError: The store did not answer, or the registry's.
        """
        task = self._loads.get(session_id)
        if task is None:
            self._check_open()
            if len(self._loads) >= self._policy.max_loads:
                raise OverloadedError(f"{self._policy.max_loads} sessions are being looked up")
            task = asyncio.get_running_loop().create_task(self._load(session_id, now_ms))
            self._loads[session_id] = task
            task.add_done_callback(lambda done: self._loaded(session_id, done))
        # Shielded: who is cancelled takes no answer away from the others.
        return await asyncio.shield(task)

    async def has_newer(self, record: bytes, now_ms: int | None = None) -> bool:
        """Look into the store, if it may know more of a record's session than this process.

        Returns:
            Whether another object of that session is served now.

        Raises:
            CapacityError, KeyUnavailableError, StorageError: As ``load``.
        """
        header = RecordHeader.parse(record)
        served = self._served.table.get(header.session_id)
        if served is not None and not served.closed and header.epoch <= (served.epoch or 0):
            return False
        return await self.load(header.session_id, now_ms) not in {None, served}

    async def delete(self, session_id: str, *, surely: bool = False) -> bool:
        """Delete a row.

        Args:
            session_id: Of a session that is not served any more.
            surely: If the store does not answer, serve it no more whatever the row says, and delete
                it later.

        Returns:
            False if it was gone.

        Raises:
            StorageError: The store did not answer.
        """
        if surely:
            self._served.over.add(session_id)
        is_deleted = await self._store.delete(session_id)
        self._served.over.deleted(session_id)
        # Who read it before may be serving it by now, or about to.
        self._served.end(session_id)
        self.distrust([session_id])
        if is_deleted:
            self._served.stored_count -= 1
        return is_deleted

    async def end(self, session_id: str, reason: str) -> None:
        """End a session here and in the store; if that does not answer, later there."""
        self._served.end(session_id)
        try:
            await self.delete(session_id, surely=True)
        except StorageError as error:
            tell_failure(self._store.name, "delete", error)
        events.sessions_ended(reason, 1)

    async def delete_over(self) -> None:
        """Delete the rows that could not be deleted when their sessions ended.

        Raises:
            StorageError: The store did not answer.
        """
        for session_id in self._served.over.due():
            self._served.end(session_id)
            await self.delete(session_id)

    def distrust(self, session_ids: Iterable[str] | None = None) -> None:
        """Let what is being read be read again, since it was deleted meanwhile; all by default."""
        reading = self._loads.keys()
        self._outdated.update(reading if session_ids is None else reading & set(session_ids))

    def close(self) -> None:
        """Make no session any more."""
        self._closed = True

    async def _load(self, session_id: str, now_ms: int | None) -> Session | None:
        row, listed = await self._read(session_id)
        while session_id in self._outdated:
            self._outdated.discard(session_id)
            row, listed = await self._read(session_id)
        self._check_open()
        now = now_or_clock(now_ms)
        served = self._served.table.get(session_id)
        if served is not None:
            self._served.usage.keep(served)
            if served.state == "closed":
                self._served.over.add(session_id)
        if row is None or not self._is_alive(row, now):
            return None
        if served is not None and not served.closed and (served.epoch or 0) >= row.session.epoch:
            return served
        session = self._unwrap(row, now)
        if session.role == "responder" and listed is not None and session.peer_key not in listed:
            session.close()
            await self.end(session_id, "revoked")
            return None
        self._served.replace(session, now)
        events.session_restored(session.role, demands_rekey=session.rekey_wanted)
        return session

    async def _read(self, session_id: str) -> tuple[SessionRow | None, Collection[bytes] | None]:
        """Return a row, and then the keys that its client lists; None if nobody can say."""
        row = await self._store.get(session_id)
        if row is None or self._registry is None:
            return row, None
        try:
            keys = await self._registry.resolve(row.session.client_did)
        except UsageError:  # no DID, so the row was edited and will not open
            keys = ()
        return row, [key.to_bytes() for key in keys]

    def _is_alive(self, row: SessionRow, now_ms: int) -> bool:
        maximum = self._policy.max_messages
        is_spent = maximum is not None and self._messages(row) >= maximum
        session_id = row.session.session_id
        is_over = session_id in self._served.over or session_id in self._served.coming
        return not is_spent and not is_over and not row.is_over(now_ms, self._policy.grace_ms)

    def _unwrap(self, row: SessionRow, now_ms: int) -> Session:
        key = self._keys.key(row.session.kek_id)
        session = row.session.unwrap(
            key,
            store=self._store.name,
            windows=self._windows,
            # It has been silent since it was last used, not since it was last looked at.
            now_ms=min(now_ms, row.last_activity_ms + self._policy.grace_ms),
        )
        if row.restored:
            session.demand_rekey()
        session.limit_incarnations(self._policy.max_incarnations)
        if self._policy.max_messages is not None:
            session.limit_messages(self._policy.max_messages, stored=self._messages(row))
        return session

    def _messages(self, row: SessionRow) -> int:
        return row.messages + self._served.usage.messages(row.session.session_id)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("no session is loaded any more: this process is about to end")

    def _loaded(self, session_id: str, task: asyncio.Task[Session | None]) -> None:
        del self._loads[session_id]
        self._outdated.discard(session_id)
        if not task.cancelled():
            task.exception()  # seen by those who wait; nobody may be left
