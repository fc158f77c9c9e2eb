"""Is anything stored? Asked by what would write rows in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from sage_native.storage.base import Storage

__all__ = ["require_empty"]


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
