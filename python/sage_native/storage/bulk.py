"""Writing many rows: into an empty database, and several at a time."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from sage_native.storage.base import Storage

__all__ = ["require_empty", "write_all"]

T = TypeVar("T")

AT_ONCE = 64
"""Enough to share a commit, few enough for a pool of connections."""


async def require_empty(storage: Storage, *, way_out: str) -> None:
    """Check that no session and no DID is stored.

    Args:
        storage: The backend.
        way_out: What to do, for the error.

    Raises:
        UsageError: Something is; the text says what, and the way out.
        StorageError: The backend did not answer.
    """
    found = [f"sessions of {name!r}" for name in await storage.session_store_names()]
    if storage.dids is not None:
        records, _ = await storage.dids.page(limit=1)
        found += ["DIDs"] if records else []
    if found:
        raise UsageError(f"{storage.label} is not empty: it holds {', '.join(found)}; {way_out}")


async def write_all(
    items: Iterable[T],
    write: Callable[[T], Coroutine[object, object, None]],
    *,
    progress: Callable[[], object] | None = None,
) -> None:
    """Write items, 64 at a time.

    The first failure is raised once the others of its 64 have ended; no more are begun.

    Args:
        items: What to write, taken as it is needed.
        write: Writes one.
        progress: Called after each 64.
    """
    waiting = iter(items)
    while batch := list(islice(waiting, AT_ONCE)):
        outcomes = await asyncio.gather(*map(write, batch), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        if progress is not None:
            progress()
