"""Restoring a backup.

A backup is older than what it is restored in place of, and three things follow. Request nonces that
were admitted since are not known, so the store's memory of them is marked as incomplete before
anything else is written. Replay windows are of another time, so every session demands a rekey. And
who was revoked stays revoked, in the database and in the file, together with its sessions; a
revocation after the backup that the database does not know of either cannot be guessed.

Rows that are there already are never replaced: they may be of a later epoch, and going back to an
earlier one would revive secrets that were given up. So a restore that was broken off is run again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.exceptions import (
    CapacityError,
    ConfigurationError,
    ConflictError,
    StorageError,
    UsageError,
)
from sage_native.storage.backup.file import BackupReader
from sage_native.storage.base import now_or_clock
from sage_native.storage.bulk import require_empty, write_all
from sage_native.storage.rows import DidRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sage_native.storage.backup.file import Contents
    from sage_native.storage.base import DidStore, SessionStore, Storage
    from sage_native.storage.rows import SessionRow

__all__ = ["Restored", "restore"]

PAGE_LEN = 500


@dataclass
class Restored:
    """What a restore has done.

    Attributes:
        created_ms: When the backup was begun, in ms since the epoch.
        sessions: Sessions written. Each demands a rekey.
        dids: DIDs written.
        revoked: DIDs of the database that were revoked, since they are in the file.
        kept: Sessions and DIDs that were there already, and stay as they are.
        expired: Sessions left out because their lifetime is over.
        ended: Sessions left out because their client or server is revoked.
    """

    created_ms: int
    sessions: int = 0
    dids: int = 0
    revoked: int = 0
    kept: int = 0
    expired: int = 0
    ended: int = 0

    @property
    def rows(self) -> int:
        """How many rows of the file were dealt with."""
        return self.sessions + self.dids + self.kept + self.expired + self.ended


async def restore(
    storage: Storage,
    path: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], object] | None = None,
    now_ms: int | None = None,
) -> Restored:
    """Write the rows of a backup into a database, of this or another backend.

    Stop the servers that use the database first.

    Args:
        storage: The backend.
        path: The backup. All of it is checked before anything is written.
        force: Take a database that is not empty. What is there stays as it is, and what is missing
            is added; only revocations are carried over.
        progress: Called with the rows done and all rows, now and then.
        now_ms: The time; the clock is asked if it is left out.

    Raises:
        UsageError: It is no backup, or cannot be read; or the database is not empty.
        ConfigurationError: The backup is of another version, or holds DIDs and this backend keeps
            none.
        StorageError: The backup is damaged, and nothing was written; or the database failed: what
            was written stays, so run it again with ``force``.

    Cost: two readings of the file, and a write a row, 64 at a time.
    """
    with BackupReader(path) as reader:
        contents = await asyncio.to_thread(reader.check)
        if contents.dids and storage.dids is None:
            raise ConfigurationError(
                f"backup '{path}' holds {contents.dids} DIDs, and {storage.label} keeps none"
            )
        if not force:
            await require_empty(
                storage, way_out="use another database, or --force to add what is missing"
            )
        work = _Restoring(storage, contents, now_or_clock(now_ms), progress)
        try:
            await work.begin()
            await work.write(reader)
        except (StorageError, CapacityError) as error:
            raise StorageError(
                f"{work.done.rows} of {work.total} rows were restored, then: {error}; run it again "
                "with --force to go on"
            ) from error
    return work.done


class _Restoring:
    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        now_ms: int,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._storage = storage
        self._now_ms = now_ms
        self._progress = progress
        self._revoked = set(contents.revoked)
        self._contents = contents
        self._stores: dict[str, SessionStore] = {}
        self.total = sum(contents.sessions.values()) + contents.dids
        self.done = Restored(contents.created_ms)

    async def begin(self) -> None:
        """Say first that nonces are missing, and learn who is revoked here."""
        await self._storage.nonces.mark_incomplete(now_ms=self._now_ms)
        if self._storage.dids is not None:
            self._revoked |= await _revoked_dids(self._storage.dids)

    async def write(self, reader: BackupReader) -> None:
        await write_all(reader.items(self._contents), self._write, progress=self._tell)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.done.rows, self.total)

    async def _write(self, item: DidRecord | tuple[str, SessionRow]) -> None:
        if isinstance(item, DidRecord):
            await self._write_did(item)
        else:
            await self._write_session(*item)

    async def _write_session(self, store_name: str, row: SessionRow) -> None:
        session = row.session
        if session.client_did in self._revoked or session.server_did in self._revoked:
            self.done.ended += 1
        elif session.expires_ms <= self._now_ms:
            self.done.expired += 1
        else:
            try:
                await self._store(store_name).create(row)
            except ConflictError:
                self.done.kept += 1
            except UsageError as error:
                # Backends differ in what a text may hold.
                raise StorageError(
                    f"session {session.session_id} of {store_name!r} cannot be stored here: {error}"
                ) from error
            else:
                self.done.sessions += 1

    async def _write_did(self, record: DidRecord) -> None:
        dids = self._storage.dids
        assert dids is not None  # noqa: S101 - asked before anything was written
        try:
            await dids.put(record)
        except ConflictError:
            self.done.kept += 1
            if record.revoked_ms is None or not await _is_revoked_now(dids, record):
                return
            self.done.revoked += 1
        else:
            self.done.dids += 1
        if record.revoked_ms is not None:
            for name in await self._storage.session_store_names():
                await self._store(name).delete_of_did(record.did)

    def _store(self, name: str) -> SessionStore:
        if name not in self._stores:
            self._stores[name] = self._storage.sessions(name)
        return self._stores[name]


async def _is_revoked_now(dids: DidStore, record: DidRecord) -> bool:
    """Carry a revocation over; False if the database knew of it."""
    stored = await dids.get(record.did)
    if stored is None or stored.revoked_ms is not None:
        return False
    return await dids.revoke(record.did, now_ms=record.revoked_ms)


async def _revoked_dids(dids: DidStore) -> set[str]:
    revoked: set[str] = set()
    after = None
    while True:
        records, after = await dids.page(after=after, limit=PAGE_LEN)
        revoked.update(record.did for record in records if record.revoked_ms is not None)
        if after is None:
            return revoked
