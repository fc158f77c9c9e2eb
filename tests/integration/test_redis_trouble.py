"""Servers that hang and callers that give up: every call ends, and no answer goes astray."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sage_native import events
from sage_native.exceptions import ReplayDetectedError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce, row, wrapped
from sage_native.storage.redis import RedisStorage
from sage_native.storage.rows import Activity
from tests.deeds import noting
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import SessionRow

ENOUGH_S = 3.0
"""What a call may take that is to end within a second, on a machine that has other work."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def storage(server: RedisServer) -> AsyncIterator[RedisStorage]:
    async with await RedisStorage.open(server.url, max_connections=4) as storage:
        yield storage


async def test_every_call_ends_while_the_server_hangs(
    server: RedisServer, storage: RedisStorage
) -> None:
    sessions = storage.sessions("one")
    stored = row()
    key = stored.session.session_id
    await sessions.create(stored)
    request, failures = nonce(), list[events.Event]()
    unsubscribe = events.subscribe(noting(failures))
    server.freeze()
    began = time.monotonic()
    calls = [
        storage.nonces.admit(request.scope, request.nonce, request.remember_until_ms),
        storage.nonces.count(),
        storage.nonces.delete_expired(),
        storage.nonces.mark_incomplete(),
        sessions.create(row()),
        sessions.get(key),
        sessions.status_many([key]),
        sessions.advance(wrapped(session_id=key, epoch=1), from_epoch=0),
        sessions.touch_many([Activity(key, clock_ms())]),
        sessions.describe(key, {}),
        sessions.delete(key),
        sessions.delete_of_did(stored.session.client_did),
        sessions.delete_expired(),
        sessions.page(),
        sessions.count(),
        storage.session_store_names(),
        storage.check(),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert await storage.nonces.admit_many([nonce()]) == [Outcome.UNKNOWN]
    assert time.monotonic() - began < 2 * ENOUGH_S
    assert [type(result) for result in results] == [StorageError] * len(calls)
    assert all(isinstance(one, StorageError) and one.__cause__ for one in results)
    unsubscribe()
    # The storage's own questions are told by their errors alone.
    told = [one.operation for one in failures if isinstance(one, events.StoreFailed)]
    assert sorted(told) == [
        *("admit", "admit_many", "advance", "count", "count", "create", "delete", "delete_expired"),
        *("delete_expired", "delete_of_did", "describe", "get", "page", "status_many"),
        "touch_many",
    ]
    server.thaw()
    await storage.check()
    assert await storage.nonces.admit_many([nonce()]) == [Outcome.FRESH]
    assert await storage.nonces.count() >= 1


async def test_what_was_asked_of_a_hanging_server_is_accepted_at_most_once(
    server: RedisServer, storage: RedisStorage
) -> None:
    requests = [nonce() for _ in range(200)]
    accepted = 0

    async def present(position: int) -> None:
        nonlocal accepted
        one = requests[position]
        try:
            await storage.nonces.admit(one.scope, one.nonce, one.remember_until_ms)
        except (ReplayDetectedError, StorageError):
            return
        accepted += 1

    await asyncio.gather(*map(present, range(50)))
    calls = [asyncio.create_task(present(position)) for position in range(200)]
    await asyncio.sleep(0)
    server.freeze()
    await asyncio.gather(*calls)
    server.thaw()
    for _ in range(2):
        await asyncio.gather(*map(present, range(200)))
    assert 50 <= accepted <= 200
    # Those that were carried out without an answer are refused for ever; the others came through.
    assert await storage.nonces.admit_many(requests) == [Outcome.REPLAY] * 200


async def test_answers_belong_to_their_questions_though_callers_give_up(
    server: RedisServer, storage: RedisStorage
) -> None:
    sessions = storage.sessions("one")
    rows = [
        replace(row(metadata={"number": str(number)}), messages=number) for number in range(100)
    ]
    rows.sort(key=lambda one: one.session.session_id)
    await asyncio.gather(*map(sessions.create, rows))
    answered = cancelled = 0

    async def ask_many_times() -> None:
        nonlocal answered, cancelled
        for _ in range(40):
            first = random.randrange(97)
            wanted = rows[first : first + 3]
            question = asyncio.create_task(_ask(sessions, wanted))
            if random.random() < 0.5:
                # From before the connection is taken to after the answer was read.
                for _ in range(random.randrange(12)):
                    await asyncio.sleep(0)
                question.cancel()
            try:
                await question
                answered += 1
            except asyncio.CancelledError:
                cancelled += 1

    await asyncio.gather(*(ask_many_times() for _ in range(12)))
    assert answered > 100
    assert cancelled > 100
    # Cancelled callers took no place with them.
    async with asyncio.timeout(ENOUGH_S):
        await asyncio.gather(*(_ask(sessions, rows[:3]) for _ in range(50)))
    assert int(server.execute("INFO", "clients")["connected_clients"]) <= 4 + 1


async def _ask(sessions: SessionStore, wanted: list[SessionRow]) -> None:
    """Ask for rows that follow each other in every way, and check that the answers are theirs."""
    keys = [stored.session.session_id for stored in wanted]
    page = await sessions.page(after=keys[0], limit=2)
    assert list(page.rows) == wanted[1:]
    status = await sessions.status_many(keys)
    assert [status[key].messages for key in keys] == [stored.messages for stored in wanted]
    assert await sessions.get(keys[0]) == wanted[0]
    assert await sessions.describe(keys[0], wanted[0].metadata)


async def test_late_answers_reach_nobody(server: RedisServer) -> None:
    """A server that hangs again and again, for longer than callers wait."""
    async with await RedisStorage.open(server.url, timeout_s=0.1, max_connections=3) as storage:
        sessions = storage.sessions("one")
        rows = [row(metadata={"number": str(number)}) for number in range(50)]
        for stored in rows:
            await sessions.create(stored)
        answered = failed = 0
        ended = asyncio.Event()

        async def ask() -> None:
            nonlocal answered, failed
            while not ended.is_set():
                stored = random.choice(rows)
                try:
                    assert await sessions.get(stored.session.session_id) == stored
                    answered += 1
                except StorageError:
                    failed += 1

        askers = [asyncio.create_task(ask()) for _ in range(6)]
        for _ in range(6):
            await asyncio.sleep(0.1)
            server.freeze()
            await asyncio.sleep(0.2)
            server.thaw()
        await asyncio.sleep(0.3)
        ended.set()
        await asyncio.gather(*askers)
        assert answered > 50
        assert failed > 10


async def test_a_restart_is_got_over_by_itself(server: RedisServer, storage: RedisStorage) -> None:
    server.kill_9()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(StorageError) as refused:
            await storage.sessions("one").count()
        assert time.monotonic() - began < ENOUGH_S
        assert refused.value.__cause__ is not None
    server.start()
    assert await storage.sessions("one").count() == 0


async def test_calls_after_closing_are_refused(server: RedisServer) -> None:
    storage = await RedisStorage.open(server.url)
    under_way = [asyncio.create_task(storage.nonces.admit_many([nonce()])) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(storage.aclose(), storage.aclose())
    assert await asyncio.gather(*under_way) == [[Outcome.FRESH]] * 50
    with pytest.raises(StorageError, match="closed"):
        await storage.sessions("one").count()
    with pytest.raises(StorageError, match="closed"):
        await storage.check()
    one = nonce()
    with pytest.raises(StorageError, match="closed"):
        await storage.nonces.admit(one.scope, one.nonce, one.remember_until_ms)
    await storage.aclose()
    assert int(server.execute("INFO", "clients")["connected_clients"]) == 1
