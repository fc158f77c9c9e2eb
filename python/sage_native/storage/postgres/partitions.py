"""The partitions of the nonces: ``nonces_<bucket>``, ten minutes of remember-until each.

They are made beside the parent and then attached, which lets admissions go on. They are dropped
whole, which holds admissions up for as long as it takes; whoever cannot have the lock at once
leaves it to the next time. One advisory lock keeps makers and droppers apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.storage.base import MAX_DIVERGENCE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

__all__ = ["BUCKET_MS", "ahead", "bucket_of", "buckets_of", "drop_given_up", "make"]

BUCKET_MS = 600_000
_BUCKETS_AHEAD = 3
_LOCK_KEY = 5_575_361_926_541_430_123
_DROP_LOCK_TIMEOUT = "100ms"

# Numbers are put into these texts, and nothing else: DO takes no arguments.
_MAKE = """
DO $make$
DECLARE
    wanted bigint;
    place  text;
BEGIN
    PERFORM pg_advisory_xact_lock({lock_key});
    SELECT quote_ident(nspname) INTO place FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'nonces'::regclass;
    FOREACH wanted IN ARRAY ARRAY[{buckets}]::bigint[] LOOP
        -- What is given up is not made again; nothing of that time is admitted anyway.
        CONTINUE WHEN (wanted + 1) * {bucket_ms} <= (SELECT floor_ms FROM replay_memory)
            OR to_regclass(format('%s.%I', place, 'nonces_' || wanted)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %1$s.%2$I (LIKE %1$s.nonces INCLUDING ALL)',
            place, 'nonces_' || wanted);
        EXECUTE format('ALTER TABLE %1$s.nonces ATTACH PARTITION %1$s.%2$I FOR VALUES IN (%3$L)',
            place, 'nonces_' || wanted, wanted);
    END LOOP;
END $make$
"""
_PARTITIONS = r"""
SELECT substring(c.relname FROM '^nonces_(-?\d+)$')::bigint AS bucket,
       pg_stat_get_live_tuples(c.oid) AS about
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'nonces'::regclass
"""
_DROP = """
DO $drop$
DECLARE
    place text;
BEGIN
    IF pg_try_advisory_xact_lock({lock_key}) THEN
        PERFORM set_config('lock_timeout', '{lock_timeout}', true);
        SELECT quote_ident(nspname) INTO place FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'nonces'::regclass;
        EXECUTE format('DROP TABLE IF EXISTS %s.%I', place, 'nonces_{bucket}');
    END IF;
END $drop$
"""


def bucket_of(end_ms: int) -> int:
    """Return the bucket of a remember-until."""
    return end_ms // BUCKET_MS


def buckets_of(end_ms: int) -> tuple[int, ...]:
    """Return the buckets in which a nonce of this end stands: one, or two that are neighbours."""
    first, last = bucket_of(end_ms), bucket_of(end_ms + MAX_DIVERGENCE_MS)
    return (first,) if first == last else (first, last)


def ahead(now_ms: int, horizon_ms: int) -> range:
    """Return the buckets that admissions may need from now until some time ahead."""
    last = bucket_of(now_ms + horizon_ms + MAX_DIVERGENCE_MS)
    return range(bucket_of(now_ms), last + _BUCKETS_AHEAD + 1)


async def make(connection: asyncpg.Connection, buckets: Iterable[int]) -> None:
    """Make the partitions that are missing, above the floor.

    Cost: one round trip where none is missing; some milliseconds for each that is.
    """
    there = {row["bucket"] for row in await connection.fetch(_PARTITIONS)}
    missing = sorted(set(buckets) - there)
    if missing:
        await connection.execute(
            _MAKE.format(
                lock_key=_LOCK_KEY, bucket_ms=BUCKET_MS, buckets=", ".join(map(str, missing))
            )
        )


async def drop_given_up(connection: asyncpg.Connection, floor_ms: int) -> int:
    """Drop the partitions that lie below a floor which is stored already.

    Returns:
        About how many rows they held.

    Raises:
        LockNotAvailableError: One is in use; it and those after it stay.
    """
    count = 0
    for bucket, about in await connection.fetch(_PARTITIONS + "ORDER BY bucket"):
        if bucket is not None and (bucket + 1) * BUCKET_MS <= floor_ms:
            await connection.execute(
                _DROP.format(lock_key=_LOCK_KEY, lock_timeout=_DROP_LOCK_TIMEOUT, bucket=bucket)
            )
            count += about
    return count
