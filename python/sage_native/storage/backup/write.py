"""Writing a backup, while the database is in use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.storage.backup.document import (
    FORMAT,
    VERSION,
    did_document,
    session_document,
)
from sage_native.storage.backup.file import BackupWriter
from sage_native.storage.base import now_or_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sage_native.storage.base import DidStore, SessionStore, Storage

__all__ = ["BackedUp", "back_up"]

PAGE_LEN = 500


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        sessions: How many rows of each session store.
        dids: How many DIDs.
        sha256: The digest in the last line of the file, in hex.
    """

    sessions: Mapping[str, int]
    dids: int
    sha256: str


async def back_up(
    storage: Storage,
    path: Path,
    *,
    replace: bool = False,
    progress: Callable[[int], object] | None = None,
    now_ms: int | None = None,
) -> BackedUp:
    """Write the sessions of every store, and the DIDs, into a file.

    The database may be in use. Each row is as it was at some moment of the backup, and what is made
    meanwhile may be missing. DIDs are read last, so that whoever was revoked meanwhile is revoked
    in the file too.

    Args:
        storage: The backend.
        path: The file, which only its owner may read. It appears when it is whole.
        replace: Take the place of a file that is there.
        progress: Called with the number of rows written, now and then.
        now_ms: The time; the clock is asked if it is left out.

    Raises:
        UsageError: There is a file already, or it cannot be written.
        StorageError: The database did not answer. No file was made.

    Cost: a read for 500 rows; about 1 kB of file a session. Memory does not grow with the rows.
    """
    with BackupWriter(path, replace=replace) as writer:
        header = {
            "format": FORMAT,
            "version": VERSION,
            "created_ms": now_or_clock(now_ms),
            "label": storage.label,
        }
        writer.write(header)
        tally = _Tally(writer, progress)
        for name in await storage.session_store_names():
            await tally.add_sessions(storage.sessions(name))
        if storage.dids is not None:
            await tally.add_dids(storage.dids)
        counts = {"sessions": tally.sessions, "dids": tally.dids}
        sha256 = await asyncio.to_thread(writer.finish, counts)
    return BackedUp(tally.sessions, tally.dids, sha256)


class _Tally:
    """Writes rows page by page, and counts them."""

    def __init__(self, writer: BackupWriter, progress: Callable[[int], object] | None) -> None:
        self._writer = writer
        self._progress = progress
        self._written = 0
        self.sessions: dict[str, int] = {}
        self.dids = 0

    async def add_sessions(self, store: SessionStore) -> None:
        after = None
        while True:
            page = await store.page(after=after, limit=PAGE_LEN)
            for row in page.rows:
                self._writer.write(session_document(store.name, row))
            if page.rows:
                self.sessions[store.name] = self.sessions.get(store.name, 0) + len(page.rows)
            self._tell(len(page.rows))
            after = page.next_cursor
            if after is None:
                return

    async def add_dids(self, store: DidStore) -> None:
        after = None
        while True:
            records, after = await store.page(after=after, limit=PAGE_LEN)
            for record in records:
                self._writer.write(did_document(record))
            self.dids += len(records)
            self._tell(len(records))
            if after is None:
                return

    def _tell(self, count: int) -> None:
        self._written += count
        if self._progress is not None:
            self._progress(self._written)
