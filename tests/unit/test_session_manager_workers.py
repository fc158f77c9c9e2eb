"""Two workers that serve one session, and how the end at one reaches the other."""

from __future__ import annotations

import asyncio
import random

import pytest

from sage_native import ReplayWindowTable, SigningKey, events
from sage_native.dids import DidRegistry
from sage_native.exceptions import (
    AuthenticationError,
    RekeyRequiredError,
    ReplayDetectedError,
    SessionStateError,
    StorageError,
)
from sage_native.sessions import SessionPolicy, upkeep
from sage_native.sessions import served as served_sessions
from sage_native.storage.memory import MemoryDidStore
from tests.deeds import noting
from tests.managers import Gate, Site, no_lost_errors, registered, rekey_at

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


async def gone_within_a_refresh(*sessions: object) -> None:
    async with asyncio.timeout(5):
        while not all(session.closed for session in sessions):  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)


async def test_each_record_is_delivered_once_whoever_gets_it() -> None:
    site, chance = Site(windows=ReplayWindowTable(100)), random.Random(4)
    workers = [site.worker(), site.worker()]
    client = await site.meet(workers[0])
    records = [client.seal(b"%d" % number) for number in range(300)]
    deliveries = [(worker, record) for worker in workers for record in records] * 2
    chance.shuffle(deliveries)
    results = await asyncio.gather(
        *(worker.open(record) for worker, record in deliveries), return_exceptions=True
    )
    delivered = sorted(int(result[1]) for result in results if isinstance(result, tuple))
    assert delivered == list(range(300))
    refused = [result for result in results if not isinstance(result, tuple)]
    assert {type(error) for error in refused} == {ReplayDetectedError}
    assert site.store.calls["get"] == 1, "one look-up, however many ask"


async def test_answers_of_two_workers_have_keys_of_their_own() -> None:
    site = Site(windows=ReplayWindowTable(100))
    workers = [site.worker(), site.worker()]
    client = await site.meet(workers[0])
    answers = set()
    for number in range(20):
        session, _ = await workers[number % 2].open(client.seal(b""))
        answer = session.seal(b"answer")
        assert client.open(answer) == b"answer"
        answers.add(answer[:48])
    assert len(answers) == 20


async def test_a_session_closed_at_one_worker_is_gone_at_the_other_within_a_refresh() -> None:
    site, ended = Site(windows=ReplayWindowTable(100)), list[events.Event]()
    async with site.worker(refresh_interval_s=0.02) as worker, site.worker() as beside:
        client = await site.meet(worker)
        session, _ = await worker.open(client.seal(b"hot"))
        unsubscribe = events.subscribe(noting(ended))
        await beside.close(client.session_id)
        await gone_within_a_refresh(session)
        unsubscribe()
        assert events.SessionsEnded("ended elsewhere", 1) in ended
        with pytest.raises(AuthenticationError):
            await worker.open(client.seal(b"late"))


async def test_a_close_record_at_one_worker_ends_the_session_at_the_other() -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    session, _ = await worker.open(client.seal(b"hot"))
    await beside.open(client.seal_close())
    await worker.touch()
    assert session.closed
    assert len(worker) == len(beside) == 0


async def test_a_session_that_nobody_used_is_asked_for_in_its_turn() -> None:
    site = Site()
    worker, beside = site.worker(), site.worker()
    clients = [await site.meet(worker) for _ in range(20)]
    await worker.touch()
    await beside.close(clients[7].session_id)
    await worker.touch()
    assert len(worker) == 19


async def test_every_session_is_asked_for_once_in_a_clean_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "BATCH_LEN", 3)
    site = Site(policy=SessionPolicy(refresh_interval_s=5, cleanup_interval_s=20))
    worker = site.worker()
    clients = [await site.meet(worker) for _ in range(40)]
    await worker.touch()
    for client in clients:
        await site.store.delete(client.session_id)
    lens = []
    for _ in range(8):  # what is left of this round, and the next
        await worker.touch()
        lens.append(len(worker))
    assert lens[0] in range(20, 38), "some at a time"
    assert lens[-1] == 0


@pytest.mark.parametrize("how", ["close", "end_of_did", "drain", "swept"])
async def test_a_session_that_was_replaced_is_erased_with_its_successor(how: str) -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    first, _ = await worker.open(client.seal(b""))
    await rekey_at(beside, client)
    second, _ = await worker.open(client.seal(b""))
    assert second is not first
    assert (first.state, second.state) == ("open", "open")
    if how == "close":
        await worker.close(client.session_id)
    elif how == "end_of_did":
        await worker.end_of_did(site.alice)
    elif how == "drain":
        await worker.drain()
    else:
        second.close()
        worker._served.sweep()
        assert len(worker) == 0
        await worker.end_of_did(site.alice)
    assert (first.closed, second.closed) == (True, True)


async def test_a_session_that_somebody_deleted_in_the_store_is_gone() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    await site.store.delete(client.session_id)
    await worker.touch()
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b""))


async def test_an_epoch_of_another_worker_is_noticed_by_a_refresh() -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    await rekey_at(beside, client)
    await worker.touch()
    session = await worker.get(client.session_id)
    assert session is not None
    assert session.epoch == 1


# Revocation.


async def test_revocation_ends_sessions_here_and_at_the_other_worker() -> None:
    site, other = Site(windows=ReplayWindowTable(100)), Site()
    other.store = site.store
    registry = await registered(site)
    worker, beside = site.worker(), site.worker()
    clients = [await site.meet(one) for one in (worker, beside)]
    bystander = await other.meet(bystanders := other.worker())
    sessions = [await one.get(client.session_id) for one in (worker, beside) for client in clients]
    _, m3, half_open = site.accept(worker)
    _, m3_beside, half_open_beside = site.accept(beside)
    await registry.revoke(site.alice)
    assert await worker.end_of_did(site.alice) == 2
    assert half_open.closed
    await beside.touch()
    assert all(session is not None and session.closed for session in sessions)
    for one in (worker, beside):
        for client in clients:
            with pytest.raises(AuthenticationError):
                await one.open(client.seal(b"revoked"))
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    with pytest.raises(AuthenticationError):
        await beside.confirm(m3_beside)
    assert half_open_beside.closed
    assert await site.store.count() == 1
    assert (await bystanders.open(bystander.seal(b"unharmed")))[1] == b"unharmed"


async def test_revocation_of_the_server_ends_its_sessions() -> None:
    site = Site()
    worker = site.worker()
    await site.meet(worker)
    assert await worker.end_of_did(site.agents.responder.dids[0]) == 1
    assert len(worker) == await site.store.count() == 0
    assert await worker.end_of_did("did:sage:nobody") == 0


@pytest.mark.parametrize("first", ["m3", "record"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_no_session_is_made_in_the_instant_of_a_revocation(
    moment: str, where: str, first: str
) -> None:
    """Whether the row is written before or after the revocation deletes the client's rows."""
    site = Site(windows=ReplayWindowTable(100))
    registry = await registered(site)
    worker, beside = site.worker(), site.worker()
    client, m3, server = site.accept(worker)
    gate = getattr(site.store, moment)["create"] = Gate()
    making: asyncio.Task[object]
    if first == "m3":
        making = asyncio.create_task(worker.confirm(m3))
    else:
        making = asyncio.create_task(worker.open(client.seal(b"hello")))
    await gate.reached()
    await registry.revoke(site.alice)
    await (worker if where == "here" else beside).end_of_did(site.alice)
    gate.open()
    with pytest.raises(AuthenticationError):
        await making
    assert server.closed
    assert await site.store.count() == 0
    for one in (worker, beside):
        with pytest.raises(AuthenticationError):
            await one.open(client.seal(b"revoked"))


async def test_no_session_is_made_while_nobody_can_say_who_is_listed() -> None:
    site = Site()
    await registered(site)
    worker = site.worker()
    client, m3, server = site.accept(worker)

    async def fails(_: str) -> None:
        raise StorageError("the registry is down")

    assert site.registry is not None
    assert site.registry._store is not None
    site.registry._store.get = fails  # type: ignore[method-assign, assignment]
    with pytest.raises(StorageError, match="registry is down"):
        await worker.confirm(m3)
    assert server.closed
    assert await site.store.count() == 0
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b""))


async def test_a_key_that_is_not_listed_any_more_makes_no_session() -> None:
    site = Site()
    registry = DidRegistry(MemoryDidStore())
    site.registry = registry
    _, m3, _ = site.accept(worker := site.worker())
    await registry.register("did:sage:other", [SigningKey.generate().verifying_key_bytes])
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    assert await site.store.count() == 0


@pytest.mark.parametrize("how", ["close", "end_of_did"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_session_that_is_being_made_can_be_ended(moment: str, how: str) -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    gate = getattr(site.store, moment)["create"] = Gate()
    making = asyncio.create_task(worker.confirm(m3))
    await gate.reached()
    if how == "close":
        await worker.close(client.session_id)
    else:
        await worker.end_of_did(site.alice)
    gate.open()
    with pytest.raises((AuthenticationError, SessionStateError)):
        await making
    assert await site.store.count() == 0
    for one in (worker, site.worker()):
        with pytest.raises(AuthenticationError):
            await one.open(client.seal(b"late"))


@pytest.mark.parametrize("how", ["close", "end_of_did", "close_record"])
async def test_what_is_read_while_it_is_deleted_makes_no_session(how: str) -> None:
    """The row was read before, and its answer arrives after the deletion."""
    site = Site(windows=ReplayWindowTable(100))
    first, worker = site.worker(), site.worker()
    client = await site.meet(first)
    farewell, late = client.seal(b"farewell"), client.seal(b"late")
    if how == "close_record":
        await worker.get(client.session_id)
        worker._served.table.remove(client.session_id)
    gate = site.store.after["get"] = Gate()
    loading = asyncio.create_task(worker.open(farewell))
    await gate.reached()
    if how == "close":
        await worker.close(client.session_id)
    elif how == "end_of_did":
        await worker.end_of_did(site.alice)
    else:
        await first.open(client.seal_close())
        await worker.close(client.session_id)
    gate.open()
    site.store.after.clear()
    with pytest.raises(AuthenticationError):
        await loading
    assert len(worker) == 0
    with pytest.raises(AuthenticationError):
        await worker.open(late)


# A client of several workers.


@pytest.mark.parametrize("shared", [True, False])
async def test_an_answer_to_a_past_epoch_is_opened_once_after_another_worker_rekeyed(
    *, shared: bool
) -> None:
    server = Site(windows=ReplayWindowTable(100)).worker()
    home = Site(windows=ReplayWindowTable(100) if shared else None)
    worker, beside = home.worker(), home.worker()
    client = await home.meet(server)
    await worker.create(client)
    answers = []
    for number in range(3):
        question = client.seal(b"question")
        answering, _ = await server.open(question)
        answers.append(answering.seal(b"answer %d" % number, answers=question))
    # Of a past epoch only those processes of the server are known that were heard in time.
    assert await worker.open(answers.pop()) == (client, b"answer 2")
    forged = answers[0][:-1] + bytes([answers[0][-1] ^ 1])

    sibling = await beside.get(client.session_id)
    assert sibling is not None
    await rekey_at(server, sibling)
    await beside.save(sibling)
    await worker.touch()
    served = await worker.get(client.session_id)
    assert served is not None
    assert (served.epoch, served is client) == (1, False)

    with pytest.raises((AuthenticationError, RekeyRequiredError)):
        await worker.open(forged)
    for number, answer in enumerate(answers):
        assert await worker.open(answer) == (client, b"answer %d" % number)
        with pytest.raises(ReplayDetectedError):
            await worker.open(answer)
    await worker.touch()
    row = await home.store.get(client.session_id)
    assert row is not None
    assert row.messages == 6, "three questions, three answers"

    farewell = answering.seal_close(answers=question)
    assert (await worker.open(farewell))[1] == b""
    assert served.closed
    assert await home.store.count() == 0
    with pytest.raises(AuthenticationError):
        await worker.open(answers[0])


async def test_a_past_epoch_of_a_server_opens_nothing() -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    await worker.open(client.seal(b"hot"))
    late = client.seal(b"late")
    await rekey_at(beside, client)
    await worker.open(client.seal(b"next"))
    with pytest.raises(AuthenticationError):
        await worker.open(late)


async def test_sessions_of_past_epochs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_sessions, "ANSWERS_UNDER_WAY_S", 0.0)
    site = Site(windows=ReplayWindowTable(100))
    worker, beside = site.worker(), site.worker()
    client = await site.meet(worker)
    for _ in range(3):
        await rekey_at(beside, client)
        await worker.open(client.seal(b""))
    worker._served.sweep()
    assert len(worker._served._retired) == len(worker._served._past) == 0
