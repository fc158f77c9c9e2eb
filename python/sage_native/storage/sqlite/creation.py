"""Creating sessions in SQLite, all that are asked for at once in few statements.

Each statement lets go of the interpreter and has to get it back, which costs more than the
statement while the event loop is busy. So rows are inserted many in a statement, and of all clients
one thing is asked first: whether one is revoked, and whether all have room (`Room`). As nearly
always, that is enough; else what must be known of each comes in one row of JSON.

It is decided in the transaction that inserts, and one transaction at a time writes: a revocation
was committed before, and is seen, or comes after, and so does the deletion that follows it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sage_native.exceptions import AuthenticationError, CapacityError, ConflictError, SageError
from sage_native.storage.sqlite.room import MOST_ASKED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.storage.rows import SessionRow
    from sage_native.storage.sqlite.room import Room

__all__ = ["Creation", "create_many"]

_COLUMNS = (
    "store_name, session_id, client_did, server_did, created_ms, expires_ms, epoch, kek_id,"
    " wrapped_secret, idle_timeout_s, last_activity_ms, messages, metadata, restored"
)
_MOST_ROWS = 64
"""The most rows of one statement; SQLite keeps one prepared for each number of them."""
_CLIENTS = """
SELECT json_group_object(client.value, json_array(
    (SELECT count(*) FROM sessions WHERE store_name = ?1 AND client_did = client.value),
    EXISTS (SELECT 1 FROM dids WHERE did = client.value AND revoked_ms IS NOT NULL)
)) FROM json_each(?2) AS client
"""
_IS_STORED = "SELECT 1 FROM sessions WHERE store_name = ? AND session_id = ?"

_Answers: TypeAlias = "list[SageError | None]"


class Creation(NamedTuple):
    """One session to be created, and on which conditions."""

    row: SessionRow
    client_limit: int | None
    unless_revoked: bool


def create_many(
    connection: sqlite3.Connection, store_name: str, wanted: Sequence[Creation], room: Room
) -> _Answers:
    """Create sessions, in order.

    Args:
        connection: In a transaction.
        store_name: Whose sessions they are.
        wanted: What is to be created.
        room: What is known of the clients of the store.

    Returns:
        One for each: None, or what to raise.

    Raises:
        sqlite3.Error: One of several ids is stored or stands twice, or a row breaks a rule of the
            schema: undo what was done, and ask for each alone.
    """
    answers = _refusals(connection, store_name, wanted, room)
    rows = [one.row for one, refusal in zip(wanted, answers, strict=True) if refusal is None]
    room.take(row.session.client_did for row in rows)
    try:
        _insert(connection, store_name, rows)
    except sqlite3.IntegrityError as error:
        if len(wanted) > 1 or error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
            raise
        return [_conflict(rows[0])]
    return answers


def _refusals(
    connection: sqlite3.Connection, store_name: str, wanted: Sequence[Creation], room: Room
) -> _Answers:
    """Say who is revoked, and who has no room; None for the others."""
    # All of them: one that has no limit takes room from those that have.
    clients = Counter(one.row.session.client_did for one in wanted)
    limits = [one.client_limit for one in wanted if one.client_limit is not None]
    if not (limits or any(one.unless_revoked for one in wanted)) or (
        len(clients) <= MOST_ASKED
        and room.is_free(connection, store_name, clients, min(limits, default=None))
    ):
        return [None] * len(wanted)
    (found,) = connection.execute(_CLIENTS, (store_name, json.dumps(list(clients)))).fetchone()
    known: dict[str, tuple[int, int]] = json.loads(found)
    new: Counter[str] = Counter()
    answers: _Answers = []
    for row, client_limit, unless_revoked in wanted:
        client_did = row.session.client_did
        stored_count, is_revoked = known.get(client_did, (0, 0))
        answer: SageError | None = None
        if unless_revoked and is_revoked:
            answer = AuthenticationError("authentication failed")
        elif client_limit is not None and stored_count + new[client_did] >= client_limit:
            answer = _no_room(connection, store_name, row, client_limit)
        else:
            new[client_did] += 1
        answers.append(answer)
    return answers


def _no_room(
    connection: sqlite3.Connection, store_name: str, row: SessionRow, client_limit: int
) -> SageError:
    ids = store_name, row.session.session_id
    if connection.execute(_IS_STORED, ids).fetchone() is not None:
        return _conflict(row)
    return CapacityError(f"{row.session.client_did} has {client_limit} sessions already")


def _conflict(row: SessionRow) -> ConflictError:
    return ConflictError(f"session {row.session.session_id} is stored already")


def _insert(connection: sqlite3.Connection, store_name: str, rows: Sequence[SessionRow]) -> None:
    begin = 0
    while begin < len(rows):
        count = min(_MOST_ROWS, len(rows) - begin)
        values: list[object] = []
        for row in rows[begin : begin + count]:
            values += _values(store_name, row)
        connection.execute(_statement(count), values)
        begin += count


@cache
def _statement(row_count: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS.split(',')))})"
    return f"INSERT INTO sessions ({_COLUMNS}) VALUES {', '.join([row] * row_count)}"  # noqa: S608


def _values(store_name: str, row: SessionRow) -> tuple[object, ...]:
    session = row.session
    return (
        store_name,
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
        json.dumps(dict(row.metadata)) if row.metadata else "{}",
        row.restored,
    )
