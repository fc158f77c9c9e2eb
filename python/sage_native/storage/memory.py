"""Stores that live in this process: for tests, tools, and single-process servers.

Sessions and DIDs are dictionaries; nothing waits, so every call is atomic. Nonces are admitted by a
`ReplaySet`, which may be one that all processes of the machine share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConflictError,
    ReplayDetectedError,
    StorageError,
)
from sage_native.replay import ReplaySet
from sage_native.storage.base import (
    DidStore,
    NonceStore,
    Outcome,
    SessionStore,
    Storage,
    check_page,
    check_store_name,
    now_or_clock,
)
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.rows import Page, SessionStatus, check_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sage_native.protocol import WrappedSession
    from sage_native.storage.rows import Activity, DidRecord, RequestNonce, SessionRow

__all__ = ["MemoryDidStore", "MemoryNonceStore", "MemorySessionStore", "MemoryStorage"]

_LABEL = "memory"


class MemorySessionStore(SessionStore):
    """Sessions in a dictionary.

    Args:
        name: What rows are bound to.
        capacity: The most sessions; more are refused.
        dids: The DIDs whose revocations ``create`` is to see.
    """

    kind = "memory"

    def __init__(
        self,
        name: str = "sessions",
        *,
        capacity: int = 1_000_000,
        dids: MemoryDidStore | None = None,
    ) -> None:
        check_store_name(name)
        self.name = name
        self.dids: MemoryDidStore | None = dids
        self._capacity = capacity
        self._rows: dict[str, SessionRow] = {}

    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        session = row.session
        self._check_dids(wanted=unless_revoked)
        if unless_revoked and self.dids is not None and self.dids.is_revoked(session.client_did):
            raise AuthenticationError("authentication failed")
        if session.session_id in self._rows:
            raise ConflictError(f"session {session.session_id} is stored already")
        if len(self._rows) >= self._capacity:
            raise CapacityError(f"all {self._capacity} places for sessions are taken")
        if client_limit is not None and self._count_of(session.client_did) >= client_limit:
            raise CapacityError(f"{session.client_did} has {client_limit} sessions already")
        self._rows[session.session_id] = row

    async def get(self, session_id: str) -> SessionRow | None:
        return self._rows.get(session_id)

    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        rows = ((key, self._rows.get(key)) for key in session_ids)
        return {
            key: SessionStatus(row.session.epoch, row.last_activity_ms, row.messages)
            for key, row in rows
            if row is not None
        }

    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        row = self._rows.get(session.session_id)
        if row is None:
            raise ConflictError(f"session {session.session_id} is gone")
        stored = row.session
        if stored.epoch != from_epoch or from_kek_id not in {None, stored.kek_id}:
            raise ConflictError(
                f"session {session.session_id} is at epoch {stored.epoch} under KEK "
                f"{stored.kek_id!r}, not at epoch {from_epoch}"
            )
        restored = row.restored and session.epoch == from_epoch
        self._rows[session.session_id] = replace(row, session=session, restored=restored)

    async def touch_many(self, activities: Sequence[Activity]) -> None:
        for activity in activities:
            row = self._rows.get(activity.session_id)
            if row is not None:
                self._rows[activity.session_id] = replace(
                    row,
                    last_activity_ms=max(row.last_activity_ms, activity.last_activity_ms),
                    messages=row.messages + activity.messages,
                )

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        check_metadata(metadata)
        row = self._rows.get(session_id)
        if row is not None:
            self._rows[session_id] = replace(row, metadata=dict(metadata))
        return row is not None

    async def delete(self, session_id: str) -> bool:
        return self._rows.pop(session_id, None) is not None

    async def delete_of_did(self, did: str) -> Sequence[str]:
        return self._drop(
            row
            for row in self._rows.values()
            if did in {row.session.client_did, row.session.server_did}
        )

    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        now = now_or_clock(now_ms)
        return len(self._drop(row for row in self._rows.values() if row.is_over(now, grace_ms)))

    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        check_page(limit, after)
        found = sorted(
            key
            for key, row in self._rows.items()
            if (after is None or key > after)
            and client_did in {None, row.session.client_did}
            and kek_id in {None, row.session.kek_id}
        )
        rows = tuple(self._rows[key] for key in found[:limit])
        return Page(rows, found[limit - 1] if len(found) > limit else None)

    async def count(self, *, client_did: str | None = None) -> int:
        return len(self._rows) if client_did is None else self._count_of(client_did)

    def _count_of(self, client_did: str) -> int:
        return sum(row.session.client_did == client_did for row in self._rows.values())

    def _drop(self, rows: Iterable[SessionRow]) -> list[str]:
        dropped = [row.session.session_id for row in rows]
        for session_id in dropped:
            del self._rows[session_id]
        return dropped


class MemoryNonceStore(NonceStore):
    """Nonces in a `ReplaySet`.

    Args:
        nonces: The set; one of this process if it is left out. One from a path gives the guarantee
            ``node``.
    """

    kind = "memory"

    def __init__(self, nonces: ReplaySet | None = None) -> None:
        self._nonces = ReplaySet() if nonces is None else nonces
        self._marked_ms = 0
        self.horizon_ms = self._nonces.horizon_ms
        shared = self._nonces.path is not None
        self.guarantee = ReplayGuarantee.NODE if shared else ReplayGuarantee.PROCESS
        self.label = f"the replay set {self._nonces.path}" if shared else "the replay set in memory"

    async def _decide_many(self, requests: Sequence[RequestNonce], now_ms: int) -> list[Outcome]:
        return [self._admit(request, now_ms) for request in requests]

    def _admit(self, request: RequestNonce, now_ms: int) -> Outcome:
        try:
            self._nonces.admit(
                request.scope,
                request.nonce,
                request.remember_until_ms,
                purpose=request.purpose,
                now_ms=now_ms,
            )
        except ReplayDetectedError:
            return Outcome.REPLAY
        except CapacityError:
            return Outcome.FULL
        return Outcome.FRESH

    async def delete_expired(self, *, now_ms: int | None = None) -> int:  # noqa: ARG002
        return 0  # the set forgets by itself

    async def count(self) -> int:
        return len(self._nonces)

    @property
    def remembers_since_ms(self) -> int:
        return max(self._marked_ms, self._nonces.remembers_since_ms)

    async def mark_incomplete(self, *, now_ms: int | None = None) -> None:
        self._marked_ms = now_or_clock(now_ms)


class MemoryDidStore(DidStore):
    """DIDs in a dictionary."""

    kind = "memory"

    def __init__(self) -> None:
        self._records: dict[str, DidRecord] = {}

    async def put(self, record: DidRecord) -> None:
        if record.did in self._records:
            raise ConflictError(f"{record.did} is registered already, or revoked")
        self._records[record.did] = record

    async def get(self, did: str) -> DidRecord | None:
        return self._records.get(did)

    async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
        record = self._records.get(did)
        if record is not None and record.revoked_ms is None:
            self._records[did] = replace(record, revoked_ms=now_or_clock(now_ms))
        return record is not None

    def is_revoked(self, did: str) -> bool:
        """Tell whether a DID is revoked; one that is not registered is not."""
        record = self._records.get(did)
        return record is not None and record.revoked_ms is not None

    async def page(
        self, *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[tuple[DidRecord, ...], str | None]:
        check_page(limit)
        found = sorted(
            did
            for did, record in self._records.items()
            if (after is None or did > after) and owner in {None, record.owner}
        )
        records = tuple(self._records[did] for did in found[:limit])
        return records, found[limit - 1] if len(found) > limit else None


class MemoryStorage(Storage):
    """All three stores in this process.

    Args:
        nonces: A replay set to use, such as one that all workers of the machine share.
        guarantee: The replay guarantee that is demanded.
        capacity: The most sessions of one store.

    Raises:
        ConfigurationError: The guarantee is not reached.
    """

    nonces: MemoryNonceStore
    dids: MemoryDidStore

    def __init__(
        self,
        *,
        nonces: ReplaySet | None = None,
        guarantee: ReplayGuarantee = ReplayGuarantee.PROCESS,
        capacity: int = 1_000_000,
    ) -> None:
        self.label = _LABEL
        self._capacity = capacity
        self._stores: dict[str, MemorySessionStore] = {}
        self._closed = False
        self.nonces = MemoryNonceStore(nonces)
        self.dids = MemoryDidStore()
        self.nonces.guarantee.require(
            guarantee,
            store=self.nonces.label,
            remedy="a ReplaySet from a path reaches node; use sqlite or postgresql for more",
        )

    def sessions(self, name: str = "sessions") -> MemorySessionStore:
        store = self._stores.get(name)
        if store is None:
            store = self._stores[name] = MemorySessionStore(
                name, capacity=self._capacity, dids=self.dids
            )
        return store

    async def session_store_names(self) -> Sequence[str]:
        return sorted([name for name, store in self._stores.items() if await store.count()])

    async def check(self) -> None:
        if self._closed:
            raise StorageError(f"{self.label} is closed")

    async def aclose(self) -> None:
        self._closed = True
