"""Request nonces in SQLite.

A nonce is fresh if its end lies after the clock and after the floor, and its key is not stored. The
floor, the keys and the insertion are one transaction that holds the lock for writing, so there is
no between. What is deleted was given up before, in the same transaction as the first deletion, and
stays for `MAX_DIVERGENCE_MS` longer: another end of the same nonce may lie that far ahead.

Whoever asks brings along since when nothing was missing as he knew it. If the file knows of a later
gap, by another process or because it is another file, a fresh nonce is one that nobody can vouch
for: its outcome is unknown, for whoever looked at `is_complete` before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError
from sage_native.storage.base import (
    MAX_DIVERGENCE_MS,
    NonceStore,
    Outcome,
    nonce_key,
    now_or_clock,
)
from sage_native.storage.sqlite.connection import is_full

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import TypeAlias

    from sage_native.storage.guarantee import ReplayGuarantee
    from sage_native.storage.rows import RequestNonce
    from sage_native.storage.sqlite.connection import WatchedFile
    from sage_native.storage.sqlite.reader import Reader
    from sage_native.storage.sqlite.writer import Writer

    Candidates: TypeAlias = list[tuple[bytes, int]]
    """Keys of 16 bytes, and until when to remember them."""
    Asked: TypeAlias = tuple[int, Candidates]
    """Since when nothing is missing as the caller knows it, and what he asks for."""
    Answer: TypeAlias = tuple[int, list[Outcome]]
    """Since when nothing is missing as the file has it, and an outcome for each."""

__all__ = ["SqliteNonceStore"]

_DELETE_LEN = 2000
"""How many are deleted at a time, so that whoever admits waits some 20 ms at the most."""

# One row, whatever the number of keys. They lie one after the other in a blob, since JSON has none.
_LOOK_UP = """
SELECT floor_ms, remembers_since_ms, (
    SELECT json_group_array(place.key) FROM json_each(?2) AS place
    WHERE EXISTS (SELECT 1 FROM nonces WHERE nonces.key = substr(?1, place.key * 16 + 1, 16))
) FROM replay_memory
"""
_INSERT = """
INSERT INTO nonces (key, remember_until_ms)
SELECT substr(?1, place.key * 16 + 1, 16), place.value FROM json_each(?2) AS place
"""
_RAISE_FLOOR = """
UPDATE replay_memory SET floor_ms = max(
    floor_ms, min(?, coalesce((SELECT max(remember_until_ms) FROM nonces), 0))
)
"""
_DELETE = """
DELETE FROM nonces WHERE key IN (
    SELECT key FROM nonces
    WHERE remember_until_ms <= (SELECT floor_ms FROM replay_memory) - ?
    ORDER BY remember_until_ms LIMIT ?
)
"""


class SqliteNonceStore(NonceStore):
    """Nonces of one file; made by `SqliteStorage`."""

    kind = "sqlite"

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        file: WatchedFile,
        *,
        guarantee: ReplayGuarantee,
        horizon_ms: int,
    ) -> None:
        self.guarantee = guarantee
        self.horizon_ms = horizon_ms
        self.label = writer.label
        self._writer = writer
        self._reader = reader
        self._file = file

    async def _decide(self, request: RequestNonce, now_ms: int) -> Outcome:
        return (await self._decide_many([request], now_ms))[0]

    async def _decide_many(self, requests: Sequence[RequestNonce], now_ms: int) -> list[Outcome]:
        candidates = [
            (nonce_key(request), request.remember_until_ms)
            for request in requests
            if request.remember_until_ms > now_ms
        ]
        if not candidates:
            return [Outcome.REPLAY] * len(requests)
        try:
            asked = self._file.remembers_since_ms, candidates
            since_ms, outcomes = await self._writer.ask(_admit, asked)
        except StorageError as error:
            if is_full(error.__cause__):
                return [Outcome.FULL] * len(requests)
            raise
        self._file.remembers_since_ms = max(self._file.remembers_since_ms, since_ms)
        rest = iter(outcomes)
        return [
            next(rest) if request.remember_until_ms > now_ms else Outcome.REPLAY
            for request in requests
        ]

    async def delete_expired(self, *, now_ms: int | None = None) -> int:
        """Give up, and then delete, what need not be remembered any more."""
        now_ms = now_or_clock(now_ms)
        total = 0
        while count := await self._writer.ask_alone(lambda file: _delete_expired(file, now_ms)):
            total += count
        return total

    async def count(self) -> int:
        """Count the nonces remembered."""
        return await self._reader.ask_alone(_count)

    @property
    def remembers_since_ms(self) -> int:
        """Since when nothing is missing, in ms since the epoch, as of the last second of use."""
        return self._file.remembers_since_ms

    async def mark_incomplete(self, *, now_ms: int | None = None) -> None:
        """Note, lastingly, that something from before now may be missing."""
        now_ms = now_or_clock(now_ms)
        await self._writer.ask_alone(lambda connection: _mark_incomplete(connection, now_ms))
        self._file.remembers_since_ms = max(self._file.remembers_since_ms, now_ms)


def _admit(connection: sqlite3.Connection, items: list[Asked]) -> list[Answer]:
    """Admit the candidates of all callers, in order."""
    candidates = [candidate for _, item in items for candidate in item]
    found = connection.execute(_LOOK_UP, _arguments(candidates)).fetchone()
    floor_ms, since_ms, stored_places = found
    stored = set(json.loads(stored_places))
    chosen: dict[bytes, int] = {}
    verdicts = []
    for place, (key, end_ms) in enumerate(candidates):
        is_fresh = end_ms > floor_ms and place not in stored and key not in chosen
        if is_fresh:
            chosen[key] = end_ms
        verdicts.append(is_fresh)
    if chosen:
        # In the order of the tree, neighbours share their pages.
        inserted = connection.execute(_INSERT, _arguments(sorted(chosen.items()))).rowcount
        if inserted != len(chosen):
            raise StorageError(f"{inserted} nonces were stored instead of {len(chosen)}")
    rest = iter(verdicts)
    answers = []
    for known_since_ms, item in items:
        fresh = Outcome.FRESH if since_ms <= known_since_ms else Outcome.UNKNOWN
        answers.append((since_ms, [fresh if next(rest) else Outcome.REPLAY for _ in item]))
    return answers


def _arguments(candidates: Candidates) -> tuple[bytes, str]:
    keys, ends_ms = zip(*candidates, strict=True)
    return b"".join(keys), json.dumps(ends_ms)


def _delete_expired(connection: sqlite3.Connection, now_ms: int) -> int:
    connection.execute(_RAISE_FLOOR, (now_ms,))
    return connection.execute(_DELETE, (MAX_DIVERGENCE_MS, _DELETE_LEN)).rowcount


def _mark_incomplete(connection: sqlite3.Connection, now_ms: int) -> None:
    connection.execute(
        "UPDATE replay_memory SET remembers_since_ms = max(remembers_since_ms, ?)", (now_ms,)
    )


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM nonces").fetchone()
    return int(count)
