"""Stores for sessions, request nonces and DIDs.

The ports are in `base`; the adapters are modules of their own, so that nothing is imported that is
not used: `memory`, `sqlite` (no server), `postgres` (asyncpg), `redis` (redis-py); `open_storage`
takes the one that a URL names.
"""

from __future__ import annotations

from sage_native.storage.base import DidStore, NonceStore, Outcome, SessionStore, Storage
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.opening import open_storage
from sage_native.storage.rows import (
    Activity,
    DidRecord,
    Page,
    RequestNonce,
    SessionRow,
    SessionStatus,
)

__all__ = [
    "Activity",
    "DidRecord",
    "DidStore",
    "NonceStore",
    "Outcome",
    "Page",
    "ReplayGuarantee",
    "RequestNonce",
    "SessionRow",
    "SessionStatus",
    "SessionStore",
    "Storage",
    "open_storage",
]
