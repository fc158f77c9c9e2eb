"""Rows, nonces and records for the tests."""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING

from sage_native.protocol import WrappedSession
from sage_native.storage.rows import DidRecord, RequestNonce, SessionRow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALICE", "BOB", "clock_ms", "did_record", "nonce", "row", "wrapped"]

ALICE = "did:sage:alice"
BOB = "did:sage:bob"
MINUTE_MS = 60_000


def clock_ms() -> int:
    """Return the machine's time in ms since the epoch."""
    return time.time_ns() // 1_000_000


def wrapped(  # noqa: PLR0913 - one column each
    *,
    session_id: str | None = None,
    client_did: str = ALICE,
    server_did: str = BOB,
    created_ms: int | None = None,
    expires_ms: int | None = None,
    epoch: int = 0,
    kek_id: str = "kek-1",
) -> WrappedSession:
    """Return a wrapped session whose secret is noise: stores never look inside."""
    created_ms = clock_ms() if created_ms is None else created_ms
    return WrappedSession(
        session_id=session_id or str(uuid.UUID(bytes=os.urandom(16))),
        client_did=client_did,
        server_did=server_did,
        created_ms=created_ms,
        expires_ms=created_ms + 60 * MINUTE_MS if expires_ms is None else expires_ms,
        epoch=epoch,
        kek_id=kek_id,
        wrapped_secret=os.urandom(180),
    )


def row(
    session: WrappedSession | None = None,
    *,
    idle_timeout_s: int = 600,
    last_activity_ms: int | None = None,
    metadata: Mapping[str, str] | None = None,
    restored: bool = False,
) -> SessionRow:
    """Return a row, of a session made up if none is given."""
    session = wrapped() if session is None else session
    return SessionRow(
        session,
        idle_timeout_s,
        session.created_ms if last_activity_ms is None else last_activity_ms,
        metadata=metadata or {},
        restored=restored,
    )


def nonce(
    value: bytes | None = None, *, scope: str = ALICE, end_ms: int | None = None, purpose: str = ""
) -> RequestNonce:
    """Return a request nonce, to be remembered for two minutes if no end is given."""
    end_ms = clock_ms() + 2 * MINUTE_MS if end_ms is None else end_ms
    return RequestNonce(scope, os.urandom(32) if value is None else value, end_ms, purpose)


def did_record(did: str = ALICE, *, owner: str = "", keys: int = 1) -> DidRecord:
    """Return a record whose keys are noise: stores never check them."""
    return DidRecord(did, tuple(os.urandom(32) for _ in range(keys)), owner, clock_ms())
