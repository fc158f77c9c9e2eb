"""Answers belong to their questions: calls that are cancelled, time out, or are warned about."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from sage_native.exceptions import StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce, row
from sage_native.storage.rows import Activity
from tests.integration.postgres_scenes import closed, new_storage, outcome_of, recovered
from tests.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sage_native.storage.postgres import PostgresSessionStore, PostgresStorage
    from sage_native.storage.rows import RequestNonce, SessionRow

GIVEN_UP = "given up"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def _given_up_or(call: Awaitable[object], *, within_s: float) -> object:
    """Return the answer, unless the call is cancelled first or fails."""
    task = asyncio.ensure_future(call)
    asyncio.get_running_loop().call_later(random.uniform(0, within_s), task.cancel)
    try:
        return await task
    except (asyncio.CancelledError, StorageError):
        return GIVEN_UP


@pytest.mark.parametrize("way", ["cancelled", "timed out", "both"])
async def test_no_answer_crosses_over(server: PostgresServer, way: str) -> None:
    seen: Counter[str] = Counter()
    async with new_storage(server, max_size=4, acquire_timeout_s=0.9) as storage:
        sessions = storage.sessions("one")
        rows = [row(metadata={"number": str(number)}) for number in range(50)]
        await asyncio.gather(*map(sessions.create, rows))
        deadline = asyncio.get_running_loop().time() + 4

        async def ask() -> None:
            while asyncio.get_running_loop().time() < deadline:
                key = random.choice(rows).session.session_id
                name, call, is_right = random.choice(_questions(sessions, key))
                hurried = random.random() < 0.5
                short_s = random.uniform(0, 0.05)
                # Read when a call begins, so each call has its own.
                storage._connections.timeout_s = short_s if hurried and way != "cancelled" else 0.9
                within_s = short_s if hurried and way != "timed out" else 10.0
                answer = await _given_up_or(call(), within_s=within_s)
                seen["given up" if answer is GIVEN_UP else name] += 1
                assert answer is GIVEN_UP or is_right(answer), (name, answer)

        await asyncio.gather(*(ask() for _ in range(10)))
        storage._connections.timeout_s = 0.9
        await recovered(storage.check)
        for stored in rows:
            found = await sessions.get(stored.session.session_id)
            assert found is not None
            assert found.session == stored.session
    assert len(seen) == 6, seen
    assert min(seen.values()) > 3, seen


def _questions(
    sessions: PostgresSessionStore, key: str
) -> list[tuple[str, Callable[[], Awaitable[Any]], Callable[[Any], bool]]]:
    """Return questions about a session, each with what its own answer looks like."""
    count = 1 + int(key[:6], 16) % 40
    missing = f"00000000-{key[9:]}"
    return [
        ("get", lambda: sessions.get(key), lambda found: found.session.session_id == key),
        ("missing", lambda: sessions.get(missing), lambda found: found is None),
        ("status", lambda: sessions.status_many([key]), lambda found: list(found) == [key]),
        ("page", lambda: sessions.page(limit=count), lambda page: len(page.rows) == count),
        ("touch", lambda: sessions.touch_many([Activity(key, 1, 1)]), lambda found: found is None),
    ]


async def test_cancelled_admissions_admit_once_at_the_most(server: PostgresServer) -> None:
    async with new_storage(server, max_size=4) as storage:
        requests = [nonce(end_ms=clock_ms() + 170_000) for _ in range(100)]

        async def admit(request: RequestNonce) -> object:
            await asyncio.sleep(random.uniform(0, 1))
            call = outcome_of if random.random() < 0.5 else _first
            # Some give up before anything was sent, whatever speed the machine has.
            within_s = random.choice((0.0, 0.002, 0.005, 0.02))
            return await _given_up_or(call(storage, request), within_s=within_s)

        answers = await asyncio.gather(
            *(asyncio.gather(*(admit(request) for _ in range(5))) for request in requests)
        )
        fresh = [found.count(Outcome.FRESH) for found in answers]
        assert max(fresh) == 1
        assert sum(found.count(GIVEN_UP) for found in answers) > 50
        for found, count in zip(answers, fresh, strict=True):
            # Refused as replays only where somebody was told fresh, or gave up before he was told.
            assert count or GIVEN_UP in found
        answered = [
            request
            for request, found in zip(requests, answers, strict=True)
            if set(found) != {GIVEN_UP}
        ]
        assert set(await storage.nonces.admit_many(answered)) == {Outcome.REPLAY}


async def _first(storage: PostgresStorage, request: RequestNonce) -> Outcome:
    return (await storage.nonces.admit_many([request]))[0]


async def test_a_commit_that_no_standby_has_is_refused(server: PostgresServer) -> None:
    async with new_storage(server, timeout_s=2.5) as patient, new_storage(server) as storage:
        server.set("synchronous_standby_names", "nobody")
        try:
            stored, call = await _held(patient, server)
            server.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
            for error in await call:
                assert "synchronous replication" in str(error)
                assert isinstance(error.__cause__, asyncpg.PostgresWarning)
                assert error.__cause__.sqlstate == "01000"
            # Nobody cancels: the call ends in time, and leaves no process behind that waits.
            request = nonce()
            assert await storage.nonces.admit_many([request]) == [Outcome.UNKNOWN]
            deadline = time.monotonic() + 20
            while _waiting(server):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        finally:
            server.set("synchronous_standby_names", "")
        await recovered(storage.check)
        assert await storage.nonces.admit_many([request]) == [Outcome.REPLAY]
        assert await patient.sessions("one").get(stored.session.session_id) == stored


async def _held(
    storage: PostgresStorage, server: PostgresServer
) -> tuple[SessionRow, asyncio.Future[list[StorageError]]]:
    """Begin three writes and return when all wait for a standby.

    Where one was quicker than the new setting, or the machine stood still, others are begun.
    """
    for _ in range(20):
        stored, key = row(), random.randbytes(16)
        writes: list[Callable[[], Awaitable[object]]] = [
            partial(storage.nonces._admit, [(key, clock_ms() + 60_000, 0)]),
            partial(storage.sessions("one").create, stored),
            partial(storage.sessions("two").create, stored, client_limit=3),
        ]
        call = asyncio.gather(*(closed(write) for write in writes))
        while not call.done():
            if await asyncio.to_thread(_waiting, server) == 3:
                return stored, call
            await asyncio.sleep(0.02)
        await asyncio.gather(call, return_exceptions=True)
    raise AssertionError("no three writes wait for a standby")


def _waiting(server: PostgresServer) -> int:
    return int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
