"""Sessions as the columns of their table, and back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError, UsageError
from sage_native.protocol import WrappedSession
from sage_native.storage.rows import SessionRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

__all__ = ["COLUMNS", "TYPES", "columns_of", "is_session_id", "metadata_text", "session_row"]

# Beside store_name; the order of `columns_of` and of `session_row`.
_TYPES = {
    "session_id": "uuid",
    "client_did": "text",
    "server_did": "text",
    "created_ms": "bigint",
    "expires_ms": "bigint",
    "epoch": "bigint",
    "kek_id": "text",
    "wrapped_secret": "bytea",
    "idle_timeout_s": "bigint",
    "last_activity_ms": "bigint",
    "messages": "bigint",
    "metadata": "jsonb",
    "restored": "boolean",
}
COLUMNS = ", ".join(_TYPES)
TYPES = tuple(_TYPES.values())
_SESSION_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_session_id(text: str) -> bool:
    """Return whether a text is spelled as session ids are; PostgreSQL takes other spellings too."""
    return _SESSION_ID.fullmatch(text) is not None


def columns_of(rows: Sequence[SessionRow]) -> list[Sequence[object]]:
    """Return the columns of rows, one sequence each."""
    return list(zip(*map(_values_of, rows), strict=True))


def session_row(record: asyncpg.Record) -> SessionRow:
    """Return the row of a record of `COLUMNS`.

    Raises:
        StorageError: Somebody else changed it into one that no session has.
    """
    try:
        return _session_row(record)
    except (UsageError, OverflowError, AttributeError) as error:
        raise StorageError(
            f"the row of session {record['session_id']} is damaged: {error}"
        ) from error


def metadata_text(metadata: Mapping[str, str]) -> str:
    """Return metadata as JSON."""
    return json.dumps(dict(metadata)) if metadata else "{}"


def _session_row(record: asyncpg.Record) -> SessionRow:
    session = WrappedSession(
        session_id=str(record["session_id"]),
        client_did=record["client_did"],
        server_did=record["server_did"],
        created_ms=record["created_ms"],
        expires_ms=record["expires_ms"],
        epoch=record["epoch"],
        kek_id=record["kek_id"],
        wrapped_secret=record["wrapped_secret"],
    )
    return SessionRow(
        session,
        idle_timeout_s=record["idle_timeout_s"],
        last_activity_ms=record["last_activity_ms"],
        messages=record["messages"],
        metadata=json.loads(record["metadata"]),
        restored=record["restored"],
    )


def _values_of(row: SessionRow) -> tuple[object, ...]:
    session = row.session
    return (
        session.session_id,
        session.client_did,
        session.server_did,
        session.created_ms,
        session.expires_ms,
        session.epoch,
        session.kek_id,
        session.wrapped_secret,
        row.idle_timeout_s,
        row.last_activity_ms,
        row.messages,
        metadata_text(row.metadata),
        row.restored,
    )
