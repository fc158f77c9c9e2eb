"""Session rows on their way into SQLite and out of it, any number in one statement."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sage_native.exceptions import StorageError, UsageError
from sage_native.protocol import WrappedSession
from sage_native.storage.rows import SessionRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["SELECT", "from_json", "insert"]

SELECT = """
SELECT json_group_array(json_array(
    session_id, client_did, server_did, created_ms, expires_ms, epoch, kek_id, hex(wrapped_secret),
    idle_timeout_s, last_activity_ms, messages, json(metadata), restored
)) FROM (SELECT * FROM sessions
"""
"""One row of JSON; to be followed by a condition, an order and a closing bracket."""

# The sealed secrets lie one after the other in ?1, since JSON has no bytes; columns 7 and 8 say
# where.
_INSERT = """
INSERT INTO sessions (
    store_name, session_id, client_did, server_did, created_ms, expires_ms, epoch, kek_id,
    wrapped_secret, idle_timeout_s, last_activity_ms, messages, metadata, restored
)
SELECT ?3, r.value->>0, r.value->>1, r.value->>2, r.value->>3, r.value->>4, r.value->>5,
    r.value->>6, substr(?1, r.value->>7, r.value->>8), r.value->>9, r.value->>10, r.value->>11,
    r.value->>12, r.value->>13
FROM json_each(?2) AS r
"""


def insert(connection: sqlite3.Connection, store_name: str, rows: Sequence[SessionRow]) -> None:
    """Insert rows whose ids are not stored.

    Raises:
        sqlite3.Error: One of them is, or breaks a rule of the schema; none was inserted.
    """
    secrets = [row.session.wrapped_secret for row in rows]
    starts = accumulate(map(len, secrets), initial=1)
    columns = [
        _to_json(row, start, len(secret))
        for row, start, secret in zip(rows, starts, secrets, strict=False)
    ]
    connection.execute(_INSERT, (b"".join(secrets), json.dumps(columns), store_name))


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


def _to_json(row: SessionRow, secret_start: int, secret_len: int) -> list[Any]:
    session = row.session
    return [
        *(session.session_id, session.client_did, session.server_did),
        *(session.created_ms, session.expires_ms, session.epoch, session.kek_id),
        *(secret_start, secret_len, row.idle_timeout_s, row.last_activity_ms, row.messages),
        *(json.dumps(dict(row.metadata)), int(row.restored)),
    ]
