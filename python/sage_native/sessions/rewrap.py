"""Rotating key-encryption keys: every row sealed anew under the current one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.exceptions import ConflictError, KeyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.sessions.key_ring import KeyRing
    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import SessionRow

__all__ = ["Rewrapped", "rewrap"]


@dataclass(frozen=True)
class Rewrapped:
    """What a rotation has done.

    Attributes:
        rewrapped: Rows that are under the current key now.
        overtaken: Rows that somebody rekeyed, rotated or deleted meanwhile. A worker that does not
            have the new key yet has left them under an older one: run it again.
        unopened: Ids of rows that do not open under the key they name: edited, or another key.
    """

    rewrapped: int
    overtaken: int
    unopened: tuple[str, ...]


async def rewrap(
    store: SessionStore, keys: KeyRing, *, progress: Callable[[int], object] | None = None
) -> Rewrapped:
    """Seal every row under the current key that is sealed under an older one of the ring.

    Sessions may be used meanwhile; nothing is locked. Secrets stay in native memory. Take a key off
    the ring only once every worker wraps under the new one, and a run after that has found nothing.

    Args:
        store: The store.
        keys: The ring, with the older keys.
        progress: Called with the number of rows done, now and then.

    Raises:
        StorageError: The store failed. What was done stays; run it again.

    Cost: a read and a write a row.
    """
    rewrapped = overtaken = 0
    unopened: list[str] = []
    for kek_id in keys.older_ids():
        after = None
        while True:
            page = await store.page(kek_id=kek_id, after=after, limit=500)
            for row in page.rows:
                try:
                    await _rewrap_one(store, keys, row)
                except KeyUnavailableError:
                    unopened.append(row.session.session_id)
                except ConflictError:
                    overtaken += 1
                else:
                    rewrapped += 1
            if progress is not None:
                progress(rewrapped + overtaken + len(unopened))
            after = page.next_cursor
            if after is None:
                break
    return Rewrapped(rewrapped, overtaken, tuple(unopened))


async def _rewrap_one(store: SessionStore, keys: KeyRing, row: SessionRow) -> None:
    old = row.session
    new = old.rewrap(keys.key(old.kek_id), keys.current, store=store.name)
    await store.advance(new, from_epoch=old.epoch, from_kek_id=old.kek_id)
