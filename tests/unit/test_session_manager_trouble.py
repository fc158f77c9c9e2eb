"""Stores that fail, rows that do not open, floods, forgeries, and callers who give up."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextvars import ContextVar, copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sage_native import KeyEncryptionKey, ReplayWindowTable, events
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    HandshakeError,
    KeyUnavailableError,
    OverloadedError,
    RekeyRequiredError,
    ReplayDetectedError,
    StorageError,
)
from sage_native.protocol import WrappedSession
from sage_native.sessions import KeyRing, SessionManager
from sage_native.storage.memory import MemorySessionStore
from sage_native.storage.sqlite import SqliteStorage
from tests.deeds import noting
from tests.managers import KEK, Gate, Site, no_lost_errors, rekey_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sage_native import Session
    from sage_native.storage.rows import SessionRow

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


def forged(record: bytes, *, epoch: int | None = None, session_id: bytes | None = None) -> bytes:
    """Return a record with another header, under which no tag verifies."""
    forgery = bytearray(record)
    if session_id is not None:
        forgery[4:20] = session_id
    if epoch is not None:
        forgery[36:40] = epoch.to_bytes(4, "big")
    forgery[-1] ^= 1
    return bytes(forgery)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


# A store that fails.


@pytest.mark.parametrize("trouble", ["down", "lost"])
async def test_a_session_that_cannot_be_stored_ends(trouble: str) -> None:
    site = Site()
    worker = site.worker()
    client, m3, server = site.accept(worker)
    getattr(site.store, trouble).add("create")
    record = client.seal(b"first")
    with pytest.raises(StorageError):
        await (worker.confirm(m3) if trouble == "down" else worker.open(record))
    assert server.closed
    assert len(worker) == 0
    getattr(site.store, trouble).clear()
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"second"))
    await worker.touch()
    assert await site.store.count() == 0, "a row that may have been written is deleted"
    await site.meet(worker)


async def confirmed_many(
    worker: SessionManager, messages: Sequence[bytes]
) -> tuple[list[object], list[BaseException | None]]:
    """Confirm M3s in one call; return what it returned, and what those were told who wait."""
    told: dict[int, BaseException | None] = {}
    begun = worker.begin_confirm_many(
        [
            (message, partial(told.__setitem__, at), copy_context())
            for at, message in enumerate(messages)
        ]
    )
    waiting = [at for at, one in enumerate(begun) if not isinstance(one, BaseException)]
    await eventually(lambda: sorted(told) == waiting)
    return list(begun), [told[at] for at in waiting]


async def test_of_many_that_are_confirmed_at_once_each_is_by_itself() -> None:
    site = Site()
    worker = site.worker()
    made = [site.accept(worker) for _ in range(4)]
    m3s = [m3 for _, m3, _ in made]
    forgery = m3s[2][:-1] + bytes([m3s[2][-1] ^ 1])
    begun, told = await confirmed_many(worker, [m3s[0], forgery, b"short", m3s[3], m3s[0]])
    assert [type(one) for one in begun] == [
        *(type(made[0][2]), AuthenticationError, HandshakeError),
        *(type(made[3][2]), type(made[0][2])),
    ]
    assert begun[0] is begun[4] is made[0][2]
    assert told == [None] * 3
    assert await site.store.count() == 2
    assert site.store.calls["create"] == 2


@pytest.mark.parametrize("trouble", ["down", "broken"])
async def test_many_that_cannot_be_stored_end_and_hold_nobody(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("a fault of the adapter")

    site = Site()
    worker = site.worker()
    made = [site.accept(worker) for _ in range(3)]
    if trouble == "down":
        site.store.down.add("create")
    else:
        monkeypatch.setattr(site.store, "begin_create_many", fail)
    _, told = await confirmed_many(worker, [m3 for _, m3, _ in made])
    wanted = StorageError if trouble == "down" else OSError
    assert [type(error) for error in told] == [wanted] * 3
    assert all(server.closed for _, _, server in made)
    await worker.drain()


@pytest.mark.parametrize("kind", ["by itself", "together"])
async def test_of_a_store_that_fails_is_told_in_the_context_of_who_asked(
    kind: str, tmp_path: Path
) -> None:
    asking: ContextVar[int | None] = ContextVar("asking", default=None)
    seen: list[int | None] = []

    def look(event: events.Event) -> None:
        assert isinstance(event, events.StoreFailed)
        seen.append(asking.get())

    site = Site()
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        if kind == "together":
            site.store = storage.sessions()  # type: ignore[assignment]
        else:
            site.store.down.add("create")
        worker = site.worker()
        m3s = [site.accept(worker)[1] for _ in range(2)]
    told: list[BaseException | None] = []
    unsubscribe = events.subscribe(look, events.StoreFailed)
    asked = [(m3, told.append, copy_context()) for m3 in m3s]
    for at, (_, _, context) in enumerate(asked):
        context.run(asking.set, at)
    worker.begin_confirm_many(asked)
    await eventually(lambda: len(told) == 2)
    unsubscribe()
    assert [type(error) for error in told] == [StorageError] * 2
    assert seen == [0, 1]


async def test_records_that_wait_for_their_session_share_its_fate() -> None:
    site = Site()
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    gate = site.store.before["create"] = Gate()
    waiting: list[asyncio.Task[object]] = [
        asyncio.create_task(worker.open(client.seal(b"%d" % one))) for one in range(3)
    ]
    waiting.append(asyncio.create_task(worker.confirm(m3)))
    await gate.reached()
    site.store.down.add("create")
    gate.open()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [StorageError] * 4
    assert site.store.calls["create"] == 1


async def test_a_manager_whose_store_is_silent_for_too_long_refuses_until_it_answers() -> None:
    site, failures = Site(), list[events.Event]()
    async with site.worker(refresh_interval_s=0.01, max_stale_s=0.05) as worker:
        client = await site.meet(worker)
        unsubscribe = events.subscribe(noting(failures))
        site.store.down.add("*")
        await eventually(lambda: worker._upkeep.is_stale)
        record = client.seal(b"refused")
        for refused in (
            worker.open(record),
            worker.get(client.session_id),
            worker.rekey(client.rekey_request()),
        ):
            with pytest.raises(StorageError, match="does not answer"):
                await refused
        unsubscribe()
        assert isinstance(failures[0], events.StoreFailed)
        site.store.down.clear()
        await eventually(lambda: not worker._upkeep.is_stale)
        assert (await worker.open(record))[1] == b"refused"


async def test_what_was_used_while_the_store_was_down_is_written_when_it_is_back() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    site.store.down.add("*")
    for _ in range(3):
        await worker.open(client.seal(b""))
        with pytest.raises(StorageError):
            await worker.touch()
    site.store.down.clear()
    await worker.touch()
    row = await site.store.get(client.session_id)
    assert row is not None
    assert row.messages == 3


async def test_upkeep_survives_an_error_that_no_store_should_raise() -> None:
    site = Site()
    async with site.worker(refresh_interval_s=0.01, max_stale_s=0.05) as worker:
        client = await site.meet(worker)

        async def breaks(_: object) -> None:
            raise ZeroDivisionError

        site.store.status_many = breaks  # type: ignore[method-assign, assignment]
        await worker.open(client.seal(b""))
        await eventually(lambda: worker._upkeep.is_stale)
        del site.store.status_many
        await eventually(lambda: not worker._upkeep.is_stale)


async def test_a_row_that_could_not_be_deleted_is_deleted_later_and_never_served() -> None:
    for how in ("close", "close_record"):
        site = Site(windows=ReplayWindowTable(100))
        worker = site.worker()
        client = await site.meet(worker)
        late = client.seal(b"late")
        site.store.down.add("delete")
        if how == "close":
            with pytest.raises(StorageError):
                await worker.close(client.session_id)
        else:
            assert (await worker.open(client.seal_close()))[1] == b""
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                await worker.open(late)
            assert await worker.get(client.session_id) is None
        site.store.down.clear()
        await worker.touch()
        assert await site.store.count() == 0


async def test_a_store_that_is_down_answers_nobody_whose_session_is_not_here() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    worker = site.worker()
    record = client.seal(b"not lost")
    site.store.down.add("*")
    with pytest.raises(StorageError):
        await worker.open(record)
    with pytest.raises(StorageError):
        await worker.get(client.session_id)
    with pytest.raises(StorageError):
        await worker.__aenter__()
    site.store.down.clear()
    assert (await worker.open(record))[1] == b"not lost"


# Rows that do not open.


def edited(row: SessionRow, **columns: object) -> SessionRow:
    old = row.session
    named = {
        name: getattr(old, name)
        for name in (
            "session_id",
            "client_did",
            "server_did",
            "created_ms",
            "expires_ms",
            "epoch",
            "kek_id",
            "wrapped_secret",
        )
    }
    return replace(row, session=WrappedSession(**{**named, **columns}))


async def row_of(site: Site, client: Session) -> SessionRow:
    row = await site.store.get(client.session_id)
    assert row is not None
    return row


async def put(site: Site, row: SessionRow) -> None:
    await site.store.delete(row.session.session_id)
    await site.store.create(row)


async def test_rows_that_were_edited_do_not_open_and_the_others_do() -> None:
    site = Site(windows=ReplayWindowTable(100))
    maker = site.worker()
    clients = [await site.meet(maker) for _ in range(9)]
    rows = [await row_of(site, client) for client in clients]
    first, second = rows[0], rows[1]
    secret = bytearray(rows[2].session.wrapped_secret)
    secret[-1] ^= 1
    bad = [
        edited(first, wrapped_secret=second.session.wrapped_secret),
        edited(second, wrapped_secret=first.session.wrapped_secret),
        edited(rows[2], wrapped_secret=bytes(secret)),
        edited(rows[3], expires_ms=rows[3].session.expires_ms + 86_400_000),
        edited(rows[4], client_did="did:sage:mallory"),
        edited(rows[5], epoch=7),
        edited(rows[6], kek_id="kek-2"),
        edited(rows[7], wrapped_secret=b""),
    ]
    for row in bad:
        await put(site, row)
    worker = site.worker()
    for client in clients[:8]:
        record = client.seal(b"")
        for _ in range(2):
            with pytest.raises(KeyUnavailableError):
                await worker.open(record)
            with pytest.raises(KeyUnavailableError):
                await worker.rekey(client.rekey_request())
    assert (await worker.open(clients[8].seal(b"well")))[1] == b"well"
    assert len(worker) == 1


async def test_rows_of_another_store_or_key_do_not_open() -> None:
    site = Site()
    client = await site.meet(site.worker())
    row = await row_of(site, client)
    elsewhere = MemorySessionStore("initiator")
    await elsewhere.create(row)
    with pytest.raises(KeyUnavailableError):
        await SessionManager(elsewhere, site.ring).open(client.seal(b""))
    same_name = KeyRing(KeyEncryptionKey("kek-1", os.urandom(32)))
    with pytest.raises(KeyUnavailableError):
        await site.worker(ring=same_name).open(client.seal(b""))
    other_name = KeyRing(KeyEncryptionKey("kek-9", bytes(32)))
    with pytest.raises(KeyUnavailableError, match="'kek-1' is not loaded; loaded are: kek-9"):
        await site.worker(ring=other_name).open(client.seal(b""))


async def test_one_row_that_does_not_open_makes_nothing_else_stale() -> None:
    """Its session is in use here; somebody edits its row so that it seems rekeyed."""
    site, failures = Site(), list[events.Event]()
    worker = site.worker()
    bad, good = await site.meet(worker), await site.meet(worker)
    await put(site, edited(await row_of(site, bad), epoch=3))
    await worker.open(bad.seal(b""))
    await worker.open(good.seal(b""))
    unsubscribe = events.subscribe(noting(failures))
    await worker.touch()
    unsubscribe()
    assert [event.operation for event in failures if isinstance(event, events.StoreFailed)] == [
        "load"
    ]
    assert (await worker.open(good.seal(b"well")))[1] == b"well"
    with pytest.raises(KeyUnavailableError):
        await worker.open(bad.seal(b""))


# Forgeries and floods.


@pytest.mark.parametrize("shared", [True, False])
async def test_forgeries_cost_at_most_one_read_each_and_touch_no_session(*, shared: bool) -> None:
    site = Site(windows=ReplayWindowTable(100) if shared else None)
    worker = site.worker()
    client = await site.meet(worker)
    session, _ = await worker.open(client.seal(b"hot"))
    genuine, request = client.seal(b"genuine"), client.rekey_request()
    site.store.calls.clear()
    forgeries = 0
    for epoch in (1, 2, 2**32 - 1):
        with pytest.raises(AuthenticationError):
            await worker.open(forged(genuine, epoch=epoch))
        with pytest.raises(AuthenticationError):
            await worker.rekey(request[:16] + epoch.to_bytes(4, "big") + request[20:])
        forgeries += 2
    assert site.store.calls == {"get": forgeries}
    for epoch in (0, 0, 0):
        with pytest.raises(AuthenticationError):
            await worker.open(forged(genuine, epoch=epoch))
        with pytest.raises(AuthenticationError):
            await worker.rekey(request[:-1] + bytes([request[-1] ^ 1]))
    assert site.store.calls == {"get": forgeries}
    assert await worker.get(client.session_id) is session
    assert await worker.open(genuine) == (session, b"genuine")
    with pytest.raises(ReplayDetectedError):
        await worker.open(genuine)


async def test_a_flood_of_unknown_sessions_is_bounded_and_harms_no_hot_one() -> None:
    site = Site()
    worker = site.worker(max_loads=8)
    client = await site.meet(worker)
    template = client.seal(b"")
    gate = site.store.before["get"] = Gate()
    flood = [
        asyncio.create_task(worker.open(forged(template, session_id=uuid.uuid4().bytes)))
        for _ in range(1000)
    ]
    await gate.reached()
    await asyncio.sleep(0)
    assert (await worker.open(client.seal(b"hot")))[1] == b"hot"
    assert site.store.calls["get"] == 8
    gate.open()
    results = await asyncio.gather(*flood, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert kinds.count(AuthenticationError) == 8
    assert kinds.count(OverloadedError) == 992
    assert len(worker) == 1
    assert not worker._loader._loads
    with pytest.raises(AuthenticationError):
        await worker.open(forged(template, session_id=uuid.uuid4().bytes))


async def test_a_flood_of_requests_to_rekey_leaves_nothing_behind() -> None:
    site = Site()
    worker = site.worker(max_loads=8)
    requests = [os.urandom(84) for _ in range(200)]
    results = await asyncio.gather(*map(worker.rekey, requests), return_exceptions=True)
    assert {type(result) for result in results} == {AuthenticationError, OverloadedError}
    assert len(worker._rekeyer.turns) == 0
    assert len(worker) == 0


async def test_a_full_table_refuses_and_evicts_nobody() -> None:
    site = Site(windows=ReplayWindowTable(100))
    maker, worker = site.worker(), site.worker(max_sessions=2)
    clients = [await site.meet(maker) for _ in range(3)]
    for client in clients[:2]:
        await worker.open(client.seal(b""))
    record = clients[2].seal(b"later")
    with pytest.raises(CapacityError):
        await worker.open(record)
    for client in clients[:2]:
        assert (await worker.open(client.seal(b"here")))[1] == b"here"
    await worker.close(clients[0].session_id)
    assert (await worker.open(record))[1] == b"later"


# Callers who give up.


async def test_who_is_cancelled_takes_no_answer_away_from_the_others() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    worker = site.worker()
    gate = site.store.before["get"] = Gate()
    opening = [asyncio.create_task(worker.open(client.seal(b"%d" % one))) for one in range(10)]
    await gate.reached()
    for task in opening[::2]:
        task.cancel()
    await asyncio.sleep(0)
    gate.open()
    results = await asyncio.gather(*opening, return_exceptions=True)
    assert [type(result) for result in results[::2]] == [asyncio.CancelledError] * 5
    assert [result[1] for result in results[1::2]] == [b"1", b"3", b"5", b"7", b"9"]  # type: ignore[index]
    assert site.store.calls["get"] == 1


async def test_when_all_are_cancelled_a_failure_is_nobodys() -> None:
    site = Site(windows=ReplayWindowTable(100))
    client = await site.meet(site.worker())
    worker = site.worker()
    gate = site.store.before["get"] = Gate()
    opening = [asyncio.create_task(worker.open(client.seal(b""))) for _ in range(3)]
    await gate.reached()
    for task in opening:
        task.cancel()
    await asyncio.gather(*opening, return_exceptions=True)
    site.store.down.add("get")
    gate.open()
    await eventually(lambda: not worker._loader._loads)
    site.store.down.clear()
    assert (await worker.open(client.seal(b"well")))[1] == b"well"


@pytest.mark.parametrize("outcome", ["stored", "down"])
async def test_a_cancelled_confirmation_is_finished_for_the_next(outcome: str) -> None:
    site = Site()
    worker = site.worker()
    client, m3, server = site.accept(worker)
    gate = site.store.before["create"] = Gate()
    confirming = asyncio.create_task(worker.confirm(m3))
    await gate.reached()
    confirming.cancel()
    await asyncio.gather(confirming, return_exceptions=True)
    again = asyncio.create_task(worker.confirm(m3))
    await asyncio.sleep(0)
    if outcome == "down":
        site.store.down.add("create")
    gate.open()
    if outcome == "down":
        with pytest.raises(StorageError):
            await again
        assert server.closed
    else:
        assert await again is server
        assert (await worker.open(client.seal(b"well")))[1] == b"well"
    assert site.store.calls["create"] == 1


async def test_draining_waits_for_what_is_being_stored() -> None:
    site = Site(windows=ReplayWindowTable(100))
    worker = site.worker()
    client, m3, server = site.accept(worker)
    other_client, _, other_server = site.accept(worker)
    gate = site.store.before["create"] = Gate()
    confirming = asyncio.create_task(worker.confirm(m3))
    await gate.reached()
    draining = asyncio.create_task(worker.drain())
    await asyncio.sleep(0)
    first = asyncio.create_task(worker.open(other_client.seal(b"while it drains")))
    await asyncio.sleep(0)
    assert not draining.done()
    gate.open()
    await draining
    assert await confirming is server
    assert (await first)[1] == b"while it drains"
    assert (server.closed, other_server.closed) == (True, True)
    assert await site.store.count() == 2
    beside = site.worker()
    assert (await beside.open(client.seal(b"goes on")))[1] == b"goes on"
    assert (await beside.open(other_client.seal(b"goes on")))[1] == b"goes on"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_draining_erases_what_is_being_loaded_created_and_rekeyed(moment: str) -> None:
    site = Site()
    maker, worker = site.worker(), site.worker()
    loaded, rekeyed = await site.meet(maker), await site.meet(worker)
    client, m3, _ = site.accept(maker)
    await maker.confirm(m3)
    home = SessionManager(site.store.__class__(MemorySessionStore("initiator")), site.ring)
    gate = Gate()
    for store in (site.store, home._store):
        getattr(store, moment).update(get=gate, create=gate, advance=gate)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(worker.open(loaded.seal(b""))),
        asyncio.create_task(worker.rekey(rekeyed.rekey_request())),
        asyncio.create_task(home.create(client)),
    ]
    await gate.reached()
    await asyncio.sleep(0)
    draining = [asyncio.create_task(one.drain()) for one in (worker, home)]
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(*draining)
    opened, answered, created = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(opened, StorageError)
    assert isinstance(answered, StorageError)
    assert created is None
    assert client.closed
    assert len(worker) == len(home) == 0
    for changes in (site.store.before, site.store.after):
        changes.clear()
    beside = site.worker()
    await rekey_at(beside, rekeyed)


async def test_draining_writes_nothing_twice() -> None:
    """A refresh that is under way is waited for, not cancelled: its outcome would be unknown."""
    site = Site()
    worker = await site.worker(refresh_interval_s=0.01).__aenter__()
    client = await site.meet(worker)
    gate = site.store.after["touch_many"] = Gate()
    await worker.open(client.seal(b""))
    await gate.reached()
    draining = asyncio.create_task(worker.drain())
    await asyncio.sleep(0.02)
    assert not draining.done()
    gate.open()
    await draining
    row = await row_of(site, client)
    assert row.messages == 1


async def test_draining_erases_keys_even_if_the_store_breaks() -> None:
    site = Site()
    async with site.worker(refresh_interval_s=100) as worker:
        client = await site.meet(worker)
        session, _ = await worker.open(client.seal(b""))
        site.store.down.add("*")
    assert session.closed
    site.store.down.clear()
    worker = site.worker()

    async def breaks(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it breaks on leaving
        async with worker:
            with pytest.raises(RekeyRequiredError):
                await worker.open(client.seal(b""))
            await rekey_at(worker, client)
            session, _ = await worker.open(client.seal(b""))
            site.store.touch_many = breaks  # type: ignore[method-assign, assignment]
    assert session.closed
    assert len(worker) == 0


async def test_an_unclosed_kek_is_needed_to_store() -> None:
    kek = KeyEncryptionKey("kek-1", bytes(range(32)))
    site = Site()
    worker = site.worker(ring=KeyRing(kek))
    _, m3, server = site.accept(worker)
    kek.close()
    with pytest.raises(Exception, match="closed"):
        await worker.confirm(m3)
    assert server.closed
    assert not KEK.closed
