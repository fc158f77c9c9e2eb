"""How many sessions each client has, remembered for as long as nobody else writes.

To count the sessions of a client is to walk through them, and of one that has a hundred that costs
more than to insert the next. But only insertions make a count grow. Those of this connection are
added as they are made, and SQLite tells, in the transaction that inserts, whether any other
connection has committed since. So a count that was asked once is the most that there can be: less
if sessions were deleted here, or an insertion was undone. What still fits is known to fit, and
whatever does not fit is counted anew. One count may be too low: that of a transaction which had
deleted before it counted, and was undone. So when one is undone, all are forgotten.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

__all__ = ["MOST_ASKED", "Room"]

MOST_ASKED = 64
"""The most clients of one question; SQLite keeps two prepared for each number of them."""
MAX_REMEMBERED = 10_000
"""The most clients whose counts are remembered; beyond that all are asked anew."""


class Room:
    """What is known of the clients of one store; it belongs to the thread that writes."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        # Versions are numbered by each connection for itself.
        self._of: tuple[sqlite3.Connection | None, int] = (None, 0)

    def is_free(
        self,
        connection: sqlite3.Connection,
        store_name: str,
        new: Mapping[str, int],
        limit: int | None,
    ) -> bool:
        """Tell whether no client is revoked and all have room, as far as one question can tell.

        Args:
            connection: In a transaction that will insert.
            store_name: Whose sessions are counted.
            new: How many sessions each client is to be given, ``MOST_ASKED`` clients at most.
            limit: The most that each may have then; None if there is no limit.
        """
        if limit is None or self._has_room(new, limit):
            version, is_one_revoked = connection.execute(_question(len(new)), (*new,)).fetchone()
            if is_one_revoked:
                return False
            if limit is None or self._of == (connection, version):
                return True
        question = _question(len(new), counts=True)
        version, is_one_revoked, *counts = connection.execute(
            question, (*new, store_name)
        ).fetchone()
        if self._of != (connection, version) or len(self._most) > MAX_REMEMBERED - len(new):
            self._of = connection, version
            self._most.clear()
        self._most.update(zip(new, counts, strict=True))
        return not is_one_revoked and (limit is None or self._has_room(new, limit))

    def take(self, client_dids: Iterable[str]) -> None:
        """Note sessions that are about to be inserted: the client of each."""
        most = self._most
        for client_did in client_dids:
            if client_did in most:
                most[client_did] += 1

    def forget(self) -> None:
        """Have all counted anew."""
        self._of = (None, 0)

    def _has_room(self, new: Mapping[str, int], limit: int) -> bool:
        # Of whom nothing is known stands nowhere, and has no room.
        most = self._most
        return all(most.get(did, limit) + count <= limit for did, count in new.items())


@cache
def _question(client_count: int, *, counts: bool = False) -> str:
    numbers = range(1, client_count + 1)
    clients = ", ".join(f"?{number}" for number in numbers)
    columns = [
        "(SELECT data_version FROM pragma_data_version)",
        f"EXISTS (SELECT 1 FROM dids WHERE did IN ({clients}) AND revoked_ms IS NOT NULL)",  # noqa: S608 - of numbers
    ]
    if counts:
        columns += [
            f"(SELECT count(*) FROM sessions WHERE store_name = ?{client_count + 1}"  # noqa: S608 - of numbers
            f" AND client_did = ?{number})"
            for number in numbers
        ]
    return f"SELECT {', '.join(columns)}"
