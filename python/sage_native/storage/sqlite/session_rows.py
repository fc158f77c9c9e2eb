"""Session rows on their way out of SQLite, any number in one answer."""

from __future__ import annotations

from typing import Any

from sage_native.exceptions import StorageError, UsageError
from sage_native.protocol import WrappedSession
from sage_native.storage.rows import SessionRow

__all__ = ["SELECT", "from_json"]

SELECT = """
SELECT json_group_array(json_array(
    session_id, client_did, server_did, created_ms, expires_ms, epoch, kek_id, hex(wrapped_secret),
    idle_timeout_s, last_activity_ms, messages, json(metadata), restored
)) FROM (SELECT * FROM sessions
"""
"""One row of JSON; to be followed by a condition, an order and a closing bracket."""


def from_json(columns: list[Any]) -> SessionRow:
    """Make a row of what `SELECT` returned for it.

    Raises:
        StorageError: It was edited into something that is no session.
    """
    try:
        session = WrappedSession(
            session_id=columns[0],
            client_did=columns[1],
            server_did=columns[2],
            created_ms=columns[3],
            expires_ms=columns[4],
            epoch=columns[5],
            kek_id=columns[6],
            wrapped_secret=bytes.fromhex(columns[7]),
        )
    except (UsageError, OverflowError) as error:
        raise StorageError(f"the row of session {columns[0]} is damaged: {error}") from error
    idle_timeout_s, last_activity_ms, messages, metadata, restored = columns[8:]
    return SessionRow(
        session, idle_timeout_s, last_activity_ms, messages, metadata, restored=bool(restored)
    )
