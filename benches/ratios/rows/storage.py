"""Row 18, and beside it what sessions cost in each store.

Both sides of a row use one server and one table. Each comparison is made twice: without the disk,
where commits do not wait for it on either side (``synchronous_commit = off``) and what is compared
is the work; and on disk, as in service, where a batch shares one wait. Of batches that are one call
the former is due; of callers at once the latter, since each of them is a task before it is a row.

* *A row at a time* is asyncpg as one uses it: a prepared INSERT … ON CONFLICT DO NOTHING on one
  connection, awaited before the next.
* *Batched* is `admit_many` of 1,000, and 1,000 callers at once that the batcher joins.
* A hot session is one that this process serves: `SessionManager.get` finds it without the store.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from uuid import UUID

from benches.ratios import backends
from benches.ratios.backends import wait_for
from benches.ratios.sides import Row, Side, always, in_turn
from sage_native import (
    Initiator,
    KeyEncryptionKey,
    ReplaySet,
    Responder,
    SigningKey,
    resolve_did_key,
)
from sage_native.sessions import KeyRing, SessionManager, SessionPolicy
from sage_native.storage import Activity, Outcome, RequestNonce
from sage_native.storage.base import nonce_key
from sage_native.storage.contract import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import asyncpg

    from benches.ratios.sides import Arguments
    from sage_native import Session
    from sage_native.storage import SessionRow, SessionStore, Storage

BATCH_LEN = 1000
SCOPE = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
NAME = "bench"


def _nonces(count: int) -> list[RequestNonce]:
    until_ms = made.clock_ms() + 120_000
    return [RequestNonce(SCOPE, os.urandom(32), until_ms) for _ in range(count)]


def _nonce_batches(count: int) -> Iterator[Arguments]:
    return ((_nonces(BATCH_LEN),) for _ in range(count))


def _single_nonces(count: int) -> Iterator[Arguments]:
    return ((nonce,) for nonce in _nonces(count))


def _rows(count: int) -> list[SessionRow]:
    return [
        made.row(made.wrapped(client_did=f"did:sage:client-{number}")) for number in range(count)
    ]


def _row_batches(count: int) -> Iterator[Arguments]:
    return ((_rows(BATCH_LEN),) for _ in range(count))


def _single_rows(count: int) -> Iterator[Arguments]:
    return ((row,) for row in _rows(count))


class OurWrites:
    """Nonces and sessions through our adapters."""

    def __init__(self, storage: Storage) -> None:
        self._nonces = storage.nonces
        self._sessions = storage.sessions(NAME)

    def admit_many(self) -> Side:
        """Return the side that admits a batch in one call."""
        return Side(
            lambda nonces: wait_for(self._nonces.admit_many(nonces)),
            _nonce_batches,
            BATCH_LEN,
            seen=lambda outcomes: set(outcomes) == {Outcome.FRESH},
            waits=True,
        )

    def admit_together(self) -> Side:
        """Return the side in which many callers admit one nonce each, at once."""

        async def admit(nonces: Sequence[RequestNonce]) -> bool:
            admit = self._nonces.admit
            await asyncio.gather(
                *(admit(one.scope, one.nonce, one.remember_until_ms) for one in nonces)
            )
            return True

        return Side(lambda nonces: wait_for(admit(nonces)), _nonce_batches, BATCH_LEN, waits=True)

    def create_together(self) -> Side:
        """Return the side in which many callers create one session each, at once."""
        return Side(
            lambda rows: wait_for(_create_all(self._sessions, rows)),
            _row_batches,
            BATCH_LEN,
            waits=True,
        )

    def touch_many(self) -> Side:
        """Return the side that notes the use of many sessions in one call."""
        session_ids = self.stored()

        async def touch(activities: Sequence[Activity]) -> bool:
            await self._sessions.touch_many(activities)
            return True

        def used(count: int) -> Iterator[Arguments]:
            for _ in range(count):
                now_ms = made.clock_ms()
                yield ([Activity(session_id, now_ms, 1) for session_id in session_ids],)

        return Side(lambda used: wait_for(touch(used)), used, BATCH_LEN, waits=True)

    def stored(self) -> list[str]:
        """Return the ids of sessions that were created for this."""
        rows = _rows(BATCH_LEN)
        wait_for(_create_all(self._sessions, rows))
        return [row.session.session_id for row in rows]

    def create(self) -> Side:
        """Return the side that creates one session after the other."""

        async def create(row: SessionRow) -> bool:
            await self._sessions.create(row)
            return True

        return Side(lambda row: wait_for(create(row)), _single_rows, waits=True)


async def _create_all(sessions: SessionStore, rows: Sequence[SessionRow]) -> bool:
    await asyncio.gather(*map(sessions.create, rows))
    return True


class RowAtATime:
    """Nonces and sessions through asyncpg, one prepared INSERT after the other."""

    NONCE = "INSERT INTO nonces (bucket, key) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
    SESSION = (
        "INSERT INTO sessions (store_name, session_id, client_did, server_did, created_ms, "
        "expires_ms, epoch, kek_id, wrapped_secret, idle_timeout_s, last_activity_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
        "ON CONFLICT DO NOTHING RETURNING true"
    )

    TOUCH = (
        "UPDATE sessions SET last_activity_ms = greatest(last_activity_ms, $3), "
        "messages = messages + $4 WHERE store_name = $1 AND session_id = $2 RETURNING true"
    )

    def __init__(self, dsn: str) -> None:
        self._connection = _connection(dsn)

    def admit(self) -> Side:
        """Return the side that admits one nonce."""
        statement = wait_for(self._connection.prepare(self.NONCE))

        async def admit(nonce: RequestNonce) -> bool:
            bucket = nonce.remember_until_ms // 600_000
            return bool(await statement.fetchval(bucket, nonce_key(nonce)))

        return Side(lambda nonce: wait_for(admit(nonce)), _single_nonces, waits=True)

    def touch(self, session_ids: Sequence[str]) -> Side:
        """Return the side that notes the use of one session, each in its turn."""
        statement = wait_for(self._connection.prepare(self.TOUCH))
        found = [(UUID(session_id),) for session_id in session_ids]

        async def touch(session_id: UUID) -> bool:
            return bool(await statement.fetchval(NAME, session_id, made.clock_ms(), 1))

        return Side(lambda key: wait_for(touch(key)), in_turn(found), waits=True)

    def create(self) -> Side:
        """Return the side that creates one session."""
        statement = wait_for(self._connection.prepare(self.SESSION))

        async def create(row: SessionRow) -> bool:
            session = row.session
            created = await statement.fetchval(
                NAME,
                UUID(session.session_id),
                session.client_did,
                session.server_did,
                session.created_ms,
                session.expires_ms,
                session.epoch,
                session.kek_id,
                session.wrapped_secret,
                row.idle_timeout_s,
                row.last_activity_ms,
            )
            return bool(created)

        return Side(lambda row: wait_for(create(row)), _single_rows, waits=True)


def _connection(dsn: str) -> asyncpg.Connection:
    import asyncpg  # noqa: PLC0415 - as asked for

    connection = wait_for(asyncpg.connect(dsn))
    backends.at_close(lambda: wait_for(connection.close()))
    return connection


class Managed:
    """A session that a manager serves, its row in the given store."""

    def __init__(self, storage: Storage) -> None:
        keys = KeyRing(KeyEncryptionKey("bench", os.urandom(32)))
        self._store = storage.sessions(f"{NAME}-managed")
        # Nobody asks for news between the measurements.
        policy = SessionPolicy(max_stale_s=3600)
        self._manager = SessionManager(self._store, keys, policy=policy)
        self._client, server = _met()
        self._id = server.session_id
        server.open(self._client.seal(b""))
        wait_for(self._manager.create(server))

    def hot_get(self) -> Side:
        """Return the side that finds the session in the manager."""
        return self._gets(self._manager.get)

    def stored_get(self) -> Side:
        """Return the side that reads the row."""
        return self._gets(self._store.get, waits=True)

    def opens(self) -> Side:
        """Return the side that opens records through the manager."""

        async def opened(records: Sequence[bytes]) -> bool:
            for record in records:
                await self._manager.open(record)
            return True

        return Side(lambda records: wait_for(opened(records)), self._sealed, BATCH_LEN)

    def table_opens(self) -> Side:
        """Return the side that opens records in the native table."""
        table = self._manager._table

        async def opened(records: Sequence[bytes]) -> bool:
            for record in records:
                table.open(record)
            return True

        return Side(lambda records: wait_for(opened(records)), self._sealed, BATCH_LEN)

    def _gets(self, get: Callable[..., object], *, waits: bool = False) -> Side:
        count = 10 if waits else BATCH_LEN

        async def found() -> bool:
            for _ in range(count):
                if await get(self._id) is None:  # type: ignore[misc]
                    return False
            return True

        return Side(lambda: wait_for(found()), always(), count, waits=waits)

    def _sealed(self, count: int) -> Iterator[Arguments]:
        return ((self._client.seal_many([bytes(64)] * BATCH_LEN),) for _ in range(count))


def _met() -> tuple[Session, Session]:
    alice, bob = SigningKey.generate(), SigningKey.generate()
    responder = Responder(bob, resolve=resolve_did_key, admit=ReplaySet(1000).admit)
    attempt = Initiator(alice, bob.verifying_key).initiate()
    reply, server = responder.respond(attempt.message, lifetime_s=86_400)
    _, client = attempt.finish(reply)
    return client, server


_POSTGRES = "asyncpg, a row at a time"


def _of_store(name: str, storage: Callable[[], Storage]) -> tuple[Row, Row]:
    return (
        Row(
            18,
            f"Session create, {name}, 1,000 callers at once",
            "one after the other",
            lambda: (OurWrites(storage()).create_together(), OurWrites(storage()).create()),
            standing="beside",
        ),
        Row(
            18,
            f"Hot session get, row in {name}",
            "reading the row",
            lambda: ((managed := Managed(storage())).hot_get(), managed.stored_get()),
            standing="beside",
        ),
    )


def _against_row_at_a_time(*, on_disk: bool) -> tuple[Row, ...]:
    """Make the rows of batched writes; our side is opened first, since it makes the partitions."""
    place = "on disk" if on_disk else "without the disk"

    def ours() -> OurWrites:
        return OurWrites(backends.postgres() if on_disk else backends.postgres_without_disk())

    def theirs() -> RowAtATime:
        return RowAtATime(
            backends.postgres_dsn() if on_disk else backends.postgres_without_disk_dsn()
        )

    def row(operation: str, sides: Callable[[], tuple[Side, Side]], *, is_due: bool) -> Row:
        name = f"{operation}, {place}"
        if is_due:
            return Row(18, name, _POSTGRES, sides, 12, 20)
        return Row(18, name, _POSTGRES, sides, standing="beside")

    return (
        row(
            "Nonce admit, PostgreSQL, batch of 1,000",
            lambda: (ours().admit_many(), theirs().admit()),
            is_due=not on_disk,
        ),
        row(
            "Session use, PostgreSQL, batch of 1,000",
            lambda: (ours().touch_many(), theirs().touch(ours().stored())),
            is_due=not on_disk,
        ),
        row(
            "Nonce admit, PostgreSQL, 1,000 callers at once",
            lambda: (ours().admit_together(), theirs().admit()),
            is_due=on_disk,
        ),
        row(
            "Session create, PostgreSQL, 1,000 callers at once",
            lambda: (ours().create_together(), theirs().create()),
            is_due=on_disk,
        ),
    )


ROWS = (
    *_against_row_at_a_time(on_disk=False),
    *_against_row_at_a_time(on_disk=True),
    *_of_store("memory", backends.memory),
    *_of_store("SQLite", backends.sqlite),
    *_of_store("PostgreSQL", backends.postgres),
    *_of_store("Redis", backends.redis),
    Row(
        18,
        "Record open 64 B through the session manager",
        "SessionTable alone",
        lambda: ((managed := Managed(backends.memory())).opens(), managed.table_opens()),
        standing="beside",
    ),
)
