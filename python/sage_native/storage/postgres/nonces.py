"""Request nonces in PostgreSQL: admitted by an insertion, forgotten by the partition.

**Which rows.** W is the width of a bucket, 600,000 ms, b(t) the bucket of a time, t // W, and D the
most by which ends of one nonce differ while both are acceptable, 120,000 ms. A nonce of end u has a
row in b(u) and, where that is another, in b(u + D). Take two ends u1 <= u2 <= u1 + D. Since b never
falls, b(u1) <= b(u2) <= b(u1 + D), and since D <= W there is no bucket between the outer two: b(u2)
is one of them. So both nonces have a row in b(u2), and its primary key (bucket, key) lets one of
the two insertions succeed. A nonce is fresh if and only if all its rows were inserted, so of two
with such ends at most one is fresh, at whatever moment and on whatever connection they arrive.

**A loser's extra row** is harmless: where one row was inserted and the other was there, this nonce
is refused and its new row stays. It can refuse nothing but the same scope, purpose and value, and
that was admitted. For rows are inserted in the order (bucket, key), and an insertion waits for one
that is under way: who loses his lower row loses it to somebody whose insertions are over, so that
one holds it as his upper row or holds both of his. Going down from loser to winner ends at one who
holds all. The order also keeps statements from waiting for each other in a circle.

**Giving up.** ``floor_ms`` only grows. An end at or before it is refused. It is raised and
committed first, and only then are partitions dropped, those with (bucket + 1) * W <= floor.

An insertion reads the floor in its own statement; if one end of a batch is not above it, nothing of
the batch is inserted, and the rest is tried again without. It locks the parent table, then takes
its snapshot (the isolation is read committed), and holds the lock until it has committed. Dropping
a partition locks the parent against it, so it comes before or after the whole insertion:

* Dropped before: the floor that covers the partition was committed before that, so this snapshot
  sees it. Every end whose row would belong there is refused.
* Dropped after: the rows were there while this insertion was decided, whatever floor it saw. What
  it admitted under an old floor may be dropped right after. A second try with an end above the new
  floor F has b(u2) >= F // W, above every bucket that was dropped, and by the first paragraph meets
  a row of the first there.
* Dropped, and made again by an insertion that found no partition: it stays empty. Whoever would
  insert there is below the floor.
* Two who make the same partition take turns by an advisory lock; the second finds it made.
* Dropped by two: the same lock; the second finds it gone, or leaves it.

**How far the floor goes**: to the clock of whoever sweeps, but never beyond ``latest_end_ms``, the
latest end that is known to be admitted. Each worker adds its own when it sweeps. One that dies
before it did leaves the floor lower than it might be, which forgets less.

**What was lost elsewhere** is noticed by where the memory was written, see origin.py. Each new
connection looks; admissions look at the number of the table, which alone may change under a
connection that stays. A file-system snapshot that is put back under the same server shows nowhere:
whoever does that calls `mark_incomplete`.

**Who was told that nothing is missing.** Callers ask `is_complete` right before they admit, and the
loss may be noticed in between: by the very connection that the admission opens, or by another
process. So each question carries the ``remembers_since_ms`` that was known when it was asked, and
the insertion answers with the stored one, of its own snapshot. Where that is later, the nonce is
not called fresh: its caller may have been told that nothing is missing, and that was no longer so.
The value in memory only grows, whichever answer comes last.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import asyncpg

from sage_native import events
from sage_native.exceptions import StorageError
from sage_native.storage.base import NonceStore, Outcome, nonce_key, now_or_clock
from sage_native.storage.batcher import Batcher
from sage_native.storage.postgres import partitions
from sage_native.storage.postgres.origin import check_origin
from sage_native.storage.postgres.partitions import buckets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.storage.guarantee import ReplayGuarantee
    from sage_native.storage.postgres.connection import Connections
    from sage_native.storage.rows import RequestNonce

__all__ = ["PostgresNonceStore"]

_BATCH_LEN = 1000

# The keys of each bucket come as one string, 16 bytes each, and go back only if some are refused: a
# good part of what a batch costs is its way through the socket.
_ADMIT = """
WITH inserted AS (
    INSERT INTO nonces (bucket, key)
    SELECT asked.bucket, substring(asked.keys FROM place FOR 16)
    FROM unnest($1::bigint[], $2::bytea[]) AS asked (bucket, keys),
        generate_series(1, octet_length(asked.keys), 16) AS place,
        replay_memory
    WHERE replay_memory.floor_ms < $3
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
    RETURNING key
)
SELECT count(*), CASE WHEN count(*) < $4 THEN string_agg(key, '') END,
       (SELECT remembers_since_ms FROM replay_memory WHERE nonces_oid = 'nonces'::regclass)
FROM inserted
"""
_FLOOR = "SELECT floor_ms FROM replay_memory"
_GIVE_UP = """
UPDATE replay_memory
SET latest_end_ms = greatest(latest_end_ms, $1),
    floor_ms = greatest(floor_ms, least($2, greatest(latest_end_ms, $1)))
WHERE latest_end_ms < $1 OR floor_ms < least($2, greatest(latest_end_ms, $1))
RETURNING floor_ms
"""
_MARK = """
UPDATE replay_memory SET remembers_since_ms = greatest(remembers_since_ms, $1)
RETURNING remembers_since_ms
"""
_COUNT = "SELECT count(*) FROM (SELECT DISTINCT key FROM nonces) AS remembered"
# One question to the batcher: the key, until when it is remembered, and since when nothing was
# missing as far as was known when it was asked.
_Asked = tuple[bytes, int, int]


class PostgresNonceStore(NonceStore):
    """Nonces of one database; made by `PostgresStorage`."""

    kind = "postgres"

    def __init__(self, connections: Connections, *, horizon_ms: int) -> None:
        self.label = connections.label
        self.horizon_ms = horizon_ms
        self.guarantee: ReplayGuarantee
        self._connections = connections
        self._remembers_since_ms = 0
        self._latest_end_ms = 0
        self._batcher: Batcher[_Asked, Outcome] = Batcher(
            self._admit,
            label=self.label,
            max_len=_BATCH_LEN,
            timeout_s=connections.timeout_s,
        )

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Look where a new connection leads: to the memory that was there before, or another."""
        self._learn(await check_origin(connection, self.label))

    async def make_partitions(self, *, now_ms: int | None = None) -> None:
        """Make the partitions that will be needed soon."""
        buckets = partitions.ahead(now_or_clock(now_ms), self.horizon_ms)
        await self._connections.run(lambda connection: partitions.make(connection, buckets))

    async def delete_expired(self, *, now_ms: int | None = None) -> int:
        """Give up what is over, drop its partitions, and make those that will be needed.

        Returns:
            About how many rows were dropped; 0 where admissions were in the way.

        Cost: some round trips, and a write only where there were admissions since the last sweep.
        """
        now_ms = now_or_clock(now_ms)
        latest_ms = self._latest_end_ms
        floor_ms = await self._connections.run(lambda one: _give_up(one, latest_ms, now_ms))
        await self._connections.recheck()
        await self.make_partitions(now_ms=now_ms)
        try:
            return await self._connections.run(
                lambda connection: partitions.drop_given_up(connection, floor_ms)
            )
        except StorageError as error:
            if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                return 0
            raise

    async def count(self) -> int:
        """Count the nonces remembered.

        Cost: reads all of them.
        """
        found: int = await self._connections.run(lambda connection: connection.fetchval(_COUNT))
        return found

    @property
    def remembers_since_ms(self) -> int:
        """Since when nothing is missing, as of the last answer."""
        return self._remembers_since_ms

    async def mark_incomplete(self, *, now_ms: int | None = None) -> None:
        """Note, lastingly, that something from before now may be missing."""
        now_ms = now_or_clock(now_ms)
        self._learn(
            await self._connections.run(lambda connection: connection.fetchval(_MARK, now_ms))
        )

    async def aclose(self) -> None:
        """Finish what is under way."""
        await self._batcher.aclose()

    async def _decide(self, request: RequestNonce, now_ms: int) -> Outcome:
        if request.remember_until_ms <= now_ms:
            return Outcome.REPLAY
        return await self._batcher.ask(
            (nonce_key(request), request.remember_until_ms, self._remembers_since_ms)
        )

    async def _decide_many(self, requests: Sequence[RequestNonce], now_ms: int) -> list[Outcome]:
        known_ms = self._remembers_since_ms  # of all slices: it was asked once
        outcomes = [Outcome.REPLAY] * len(requests)
        acceptable = [
            position
            for position, request in enumerate(requests)
            if request.remember_until_ms > now_ms
        ]
        for start in range(0, len(acceptable), _BATCH_LEN):
            chunk = acceptable[start : start + _BATCH_LEN]
            asked = [
                (nonce_key(requests[position]), requests[position].remember_until_ms, known_ms)
                for position in chunk
            ]
            try:
                answers = await self._admit(asked)
            except StorageError as error:
                # What was answered before stands; of the rest nothing is known.
                events.store_failed(self.label, "admit_many", error)
                for position in acceptable[start:]:
                    outcomes[position] = Outcome.UNKNOWN
                break
            for position, answer in zip(chunk, answers, strict=True):
                outcomes[position] = answer
        return outcomes

    async def _admit(self, asked: Sequence[_Asked]) -> list[Outcome]:
        """Admit keys and ends, of equal keys the first."""
        first = {key: end_ms for key, end_ms, _ in reversed(asked)}
        try:
            fresh, since_ms = await self._connections.run(lambda one: self._insert(one, first))
        except StorageError as error:
            if isinstance(error.__cause__, asyncpg.DiskFullError):
                return [Outcome.FULL] * len(asked)
            raise
        self._learn(since_ms)
        if fresh:
            self._latest_end_ms = max(self._latest_end_ms, *(first[key] for key in fresh))
        return _outcomes(asked, fresh, since_ms)

    async def _insert(
        self, connection: asyncpg.Connection, ends: dict[bytes, int]
    ) -> tuple[set[bytes], int]:
        """Insert keys with their ends, above the floor.

        Returns:
            Those that are fresh, and since when nothing was missing as they were inserted.
        """
        fresh, since_ms = set[bytes](), None
        while ends:
            batch = _Rows(ends)
            count, keys, since_ms = await self._execute(connection, batch)
            if count == batch.count:
                fresh = set(ends)
                break
            if count:
                fresh = batch.complete(keys)
                break
            # All were there, or one lies below the floor and so none was tried: then without it.
            floor_ms = await connection.fetchval(_FLOOR)
            if batch.earliest_end_ms > floor_ms:
                break
            ends = {key: end_ms for key, end_ms in ends.items() if end_ms > floor_ms}
        if since_ms is None:
            since_ms = await check_origin(connection, self.label)
        return fresh, since_ms

    async def _execute(
        self, connection: asyncpg.Connection, batch: _Rows
    ) -> tuple[int, bytes, int | None]:
        values = batch.buckets, batch.keys, batch.earliest_end_ms, batch.count
        try:
            return tuple(await connection.fetchrow(_ADMIT, *values))
        except asyncpg.CheckViolationError as error:
            if error.constraint_name is not None:
                raise
            # No partition: nobody swept for a while, or the clock that was handed in is another's.
            await partitions.make(connection, batch.buckets)
            return tuple(await connection.fetchrow(_ADMIT, *values))

    def _learn(self, since_ms: int) -> None:
        self._remembers_since_ms = max(self._remembers_since_ms, since_ms)


async def _give_up(connection: asyncpg.Connection, latest_end_ms: int, now_ms: int) -> int:
    """Raise the floor as far as it may go; return where it is."""
    moved = await connection.fetchval(_GIVE_UP, latest_end_ms, now_ms)
    floor_ms: int = await connection.fetchval(_FLOOR) if moved is None else moved
    return floor_ms


def _outcomes(asked: Sequence[_Asked], fresh: set[bytes], since_ms: int) -> list[Outcome]:
    """Return the outcome of each question; ``fresh`` is used up."""
    if len(fresh) == len(asked) and min(known_ms for _, _, known_ms in asked) >= since_ms:
        return [Outcome.FRESH] * len(asked)
    outcomes = []
    for key, _, known_ms in asked:
        if key not in fresh:
            outcomes.append(Outcome.REPLAY)
        else:
            outcomes.append(Outcome.FRESH if known_ms >= since_ms else Outcome.UNKNOWN)
            fresh.discard(key)
    return outcomes


class _Rows:
    """The rows of keys and ends, sorted into buckets.

    Attributes:
        buckets: One or a few.
        keys: Of each bucket, one after the other.
        count: How many rows.
        earliest_end_ms: Of all.
    """

    def __init__(self, ends: dict[bytes, int]) -> None:
        self._of_bucket: dict[int, list[bytes]] = {}
        for key, end_ms in ends.items():
            for bucket in buckets_of(end_ms):
                self._of_bucket.setdefault(bucket, []).append(key)
        self.buckets = list(self._of_bucket)
        self.keys = [b"".join(keys) for keys in self._of_bucket.values()]
        self.count = sum(map(len, self._of_bucket.values()))
        self.earliest_end_ms = min(ends.values())

    def complete(self, inserted: bytes) -> set[bytes]:
        """Return the keys of which every row is among those that were inserted."""
        wanted = Counter(chain.from_iterable(self._of_bucket.values()))
        found = Counter(inserted[start : start + 16] for start in range(0, len(inserted), 16))
        return {key for key, count in found.items() if count == wanted[key]}
