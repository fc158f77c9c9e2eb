"""One worker in fair weather: sessions made, found, used, listed and ended."""

from __future__ import annotations

import time

import pytest

from sage_native import ReplayWindowTable, events
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConfigurationError,
    ConflictError,
    ExpiredError,
    HandshakeError,
    ReplayDetectedError,
    SessionStateError,
    StorageError,
    UsageError,
)
from sage_native.sessions import SessionManager, SessionPolicy
from sage_native.storage.memory import MemorySessionStore
from tests.deeds import noting
from tests.managers import Site, no_lost_errors, rekey_at

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


async def test_m3_makes_a_session_last() -> None:
    site, started = Site(), list[events.Event]()
    worker = site.worker()
    client, m3, server = site.accept(worker)
    assert await site.store.count() == 0
    unsubscribe = events.subscribe(noting(started))
    assert await worker.confirm(m3) is server
    unsubscribe()
    assert started == [events.SessionStarted("responder")]
    row = await site.store.get(client.session_id)
    assert row is not None
    assert (row.session.client_did, row.session.epoch) == (site.alice, 0)
    assert (await worker.open(client.seal(b"hello"))) == (server, b"hello")
    assert await worker.confirm(m3) is server, "the right M3 may come again"
    assert site.store.calls["create"] == 1


async def test_the_first_record_makes_a_session_last_as_well() -> None:
    site = Site()
    worker = site.worker()
    client, _, server = site.accept(worker)
    assert await worker.open(client.seal(b"hello")) == (server, b"hello")
    assert await site.store.count() == 1
    assert client.open(server.seal(b"answer")) == b"answer"


async def test_a_signed_confirmation_is_waited_for() -> None:
    site = Site(signed=True)
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    record = client.seal(b"early")
    with pytest.raises(SessionStateError):
        await worker.open(record)
    assert await site.store.count() == 0
    await worker.confirm(m3)
    assert (await worker.open(record))[1] == b"early"


async def test_confirmations_that_are_none() -> None:
    site = Site()
    worker = site.worker()
    client, m3, _ = site.accept(worker)
    with pytest.raises(HandshakeError):
        await worker.confirm(m3[:-1])
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3[:-1] + bytes([m3[-1] ^ 1]))
    with pytest.raises(AuthenticationError):
        await worker.confirm(bytes(48))
    assert await site.store.count() == 0
    await worker.confirm(m3)
    assert (await worker.open(client.seal(b"x")))[1] == b"x"


async def test_an_initiators_session_is_created_and_restored() -> None:
    site, store = Site(), MemorySessionStore("initiator")
    worker = site.worker()
    home = SessionManager(store, site.ring)
    client, m3, server = site.accept(worker)
    await worker.confirm(m3)
    await home.create(client, metadata={"peer": "bob"})
    assert await home.get(client.session_id) is client
    opened = await home.open(server.seal(b"from bob"))
    assert opened == (client, b"from bob")
    row = await store.get(client.session_id)
    assert row is not None
    assert row.metadata == {"peer": "bob"}
    with pytest.raises(UsageError, match="served already"):
        await home.create(client)
    with pytest.raises(ConflictError):
        await SessionManager(store, site.ring).create(client)

    # After a restart it rekeys, and stores the epoch before it goes on.
    restarted = SessionManager(store, site.ring)
    restored = await restarted.get(client.session_id)
    assert restored is not None
    assert restored.role == "initiator"
    assert restored.rekey_wanted
    await rekey_at(worker, restored)
    await restarted.save(restored)
    await restarted.save(restored)  # after an answer that was lost
    stored = await store.get(client.session_id)
    assert stored is not None
    assert stored.session.epoch == 1
    assert (await worker.open(restored.seal(b"again")))[1] == b"again"


async def test_what_another_has_stored_is_not_saved_over() -> None:
    site, store = Site(), MemorySessionStore("initiator")
    worker, home = site.worker(), SessionManager(MemorySessionStore("other"), site.ring)
    client = await site.meet(worker)
    await home.create(client)
    for _ in range(2):
        await rekey_at(worker, client)
        await worker.open(client.seal(b""))
    with pytest.raises(ConflictError):
        await home.save(client)  # epoch 1 was never saved
    gone = SessionManager(store, site.ring)
    with pytest.raises(ConflictError):
        await gone.save(client)


async def test_no_session_that_is_half_open_is_created() -> None:
    site = Site()
    _, _, server = site.accept(site.worker())
    with pytest.raises(SessionStateError):
        await site.worker().create(server)
    assert await site.store.count() == 0


async def test_a_hot_session_is_opened_without_the_store() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    site.store.calls.clear()
    site.store.down.add("*")
    for number in range(3):
        session, plaintext = await worker.open(client.seal(b"%d" % number), aad=None)
        assert plaintext == b"%d" % number
    assert await worker.get(client.session_id) is session
    record = client.seal(b"once")
    await worker.open(record)
    with pytest.raises(ReplayDetectedError):
        await worker.open(record)
    with pytest.raises(AuthenticationError):
        await worker.open(record[:-1] + bytes([record[-1] ^ 1]))
    assert not site.store.calls


async def test_use_is_written_behind() -> None:
    site = Site()
    async with site.worker(refresh_interval_s=200) as worker:
        client = await site.meet(worker)
        before = await site.store.get(client.session_id)
        assert before is not None
        later_ms = before.last_activity_ms + 5000
        session, _ = await worker.open(client.seal(b"1", now_ms=later_ms), now_ms=later_ms)
        session.seal(b"2", now_ms=later_ms + 1)
        unwritten = await site.store.get(client.session_id)
        assert unwritten == before
        await worker.touch()
        written = await site.store.get(client.session_id)
        assert written is not None
        assert (written.last_activity_ms, written.messages) == (later_ms + 1, 2)
        await worker.touch()
        assert await site.store.get(client.session_id) == written
        await worker.open(client.seal(b"3", now_ms=later_ms + 2), now_ms=later_ms + 2)
    drained = await site.store.get(client.session_id)
    assert drained is not None
    assert (drained.last_activity_ms, drained.messages) == (later_ms + 2, 3)


async def test_the_record_that_confirms_is_counted_too() -> None:
    site = Site()
    worker = site.worker()
    client, _, _ = site.accept(worker)
    await worker.open(client.seal(b""))
    await worker.touch()
    row = await site.store.get(client.session_id)
    assert row is not None
    assert row.messages == 1


async def test_close_ends_a_session_here_and_in_the_store() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    session = await worker.get(client.session_id)
    assert session is not None
    assert await worker.close(client.session_id)
    assert session.closed
    assert await site.store.count() == 0
    assert await worker.get(client.session_id) is None
    with pytest.raises(AuthenticationError):
        await worker.open(client.seal(b"late"))
    assert not await worker.close(client.session_id)
    assert not await worker.close(UNKNOWN_ID)


async def test_a_close_record_ends_a_session() -> None:
    site, ended = Site(), list[events.Event]()
    worker = site.worker()
    client = await site.meet(worker)
    unsubscribe = events.subscribe(noting(ended))
    session, plaintext = await worker.open(client.seal_close())
    unsubscribe()
    assert (plaintext, session.closed) == (b"", True)
    assert ended == [events.SessionsEnded("closed by peer", 1)]
    assert await site.store.count() == 0
    assert len(worker) == 0


async def test_a_close_record_may_be_the_first() -> None:
    site = Site()
    worker = site.worker()
    client, _, server = site.accept(worker)
    assert await worker.open(client.seal_close()) == (server, b"")
    assert server.closed
    assert await site.store.count() == 0
    assert len(worker) == 0


async def test_an_empty_record_ends_nothing() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    for _ in range(2):
        session, plaintext = await worker.open(client.seal(b""))
        assert (plaintext, session.closed) == (b"", False)


@pytest.mark.parametrize("how", ["seal_close", "close"])
@pytest.mark.parametrize("shared", [True, False])
async def test_what_this_side_closed_does_not_come_back(how: str, *, shared: bool) -> None:
    """Whoever closes the object and forgets the manager gets no second session out of the row."""
    site = Site(windows=ReplayWindowTable(100) if shared else None)
    worker = site.worker()
    client = await site.meet(worker)
    session, _ = await worker.open(client.seal(b"hello"))
    if how == "seal_close":
        session.seal_close()
    else:
        session.close()
    with pytest.raises(SessionStateError):
        await worker.open(client.seal(b"still there?"))
    assert await worker.get(client.session_id) is None
    with pytest.raises(AuthenticationError):
        await worker.rekey(client.rekey_request())
    await worker.touch()
    assert await site.store.count() == 0


async def test_sealing_the_close_record_deletes_the_row_by_itself() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    session = await worker.get(client.session_id)
    assert session is not None
    session.seal_close()
    await worker.touch()
    assert await site.store.count() == 0
    assert len(worker) == 0


async def test_pages_list_what_is_stored_and_nothing_half_open() -> None:
    site, other = Site(), Site()
    other.store, worker = site.store, site.worker()
    mine = sorted([(await site.meet(worker)).session_id for _ in range(5)])
    await other.meet(worker)
    site.accept(worker)
    assert await site.store.count() == 6
    found: list[str] = []
    after = None
    while True:
        page = await worker.page(site.alice, after=after, limit=2)
        found += [row.session.session_id for row in page.rows]
        after = page.next_cursor
        if after is None:
            break
    assert found == mine
    assert len((await worker.page()).rows) == 6
    assert "wrapped_secret" not in repr(page.rows)
    with pytest.raises(UsageError):
        await worker.page(limit=1001)
    with pytest.raises(UsageError):
        await worker.page(after="'; --")


async def test_notes_are_kept_with_a_session() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    assert await worker.describe(client.session_id, {"tenant": "ö"})
    assert not await worker.describe(UNKNOWN_ID, {"tenant": "ö"})
    (row,) = (await worker.page(site.alice)).rows
    assert row.metadata == {"tenant": "ö"}


async def test_draining_erases_all_keys_and_leaves_all_rows() -> None:
    site = Site()
    worker = site.worker()
    client, m3, half_open = site.accept(worker)
    open_client = await site.meet(worker)
    session = await worker.get(open_client.session_id)
    assert session is not None
    await worker.drain()
    assert (session.closed, half_open.closed) == (True, True)
    assert len(worker) == 0
    assert await site.store.count() == 1
    with pytest.raises(CapacityError, match="about to end"):
        site.accept(worker)
    with pytest.raises(AuthenticationError):
        await worker.confirm(m3)
    for refused in (
        worker.open(open_client.seal(b"late")),
        worker.get(open_client.session_id),
        worker.rekey(open_client.rekey_request()),
    ):
        with pytest.raises(StorageError, match="about to end"):
            await refused
    assert len(worker) == 0, "nothing came back out of the store"
    await worker.drain()
    assert client.session_id != open_client.session_id


async def test_nonsense_is_refused_before_anything_is_looked_up() -> None:
    site = Site()
    worker = site.worker()
    for record in (b"", bytes(63), bytes(100)):
        with pytest.raises(HandshakeError):
            await worker.open(record)
    for request in (b"", bytes(83), bytes(85)):
        with pytest.raises(HandshakeError):
            await worker.rekey(request)
    assert not site.store.calls


async def test_windows_look_further_ahead_than_sessions_live() -> None:
    with pytest.raises(ConfigurationError, match="3600 s, and a clock may be set back"):
        Site(windows=ReplayWindowTable(100, horizon_ms=7_199_999)).worker()
    site = Site(windows=ReplayWindowTable(100, horizon_ms=7_200_000))
    worker, now_ms = site.worker(), time.time_ns() // 1_000_000
    client = await site.meet(worker, now_ms)
    back_ms = now_ms - 3_600_000
    assert (await worker.open(client.seal(b"x", now_ms=now_ms), now_ms=back_ms))[1] == b"x"


@pytest.mark.parametrize(
    "setting",
    [{"lifetime_s": 0}, {"max_messages": 0}, {"max_loads": -1}, {"refresh_interval_s": 0}],
)
def test_limits_are_positive(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        SessionPolicy(**setting)


def test_silence_is_told_from_use_that_is_not_written_yet() -> None:
    with pytest.raises(ConfigurationError, match="would seem silent"):
        SessionPolicy(idle_timeout_s=9, refresh_interval_s=5)
    assert SessionPolicy(idle_timeout_s=10, refresh_interval_s=5).grace_ms == 10_000


async def test_terms_are_the_policys() -> None:
    site = Site(policy=SessionPolicy(lifetime_s=77, idle_timeout_s=33))
    client = await site.meet(site.worker())
    assert client.idle_timeout_s == 33
    assert 0 < client.expires_ms - time.time_ns() // 1_000_000 <= 77_000
    with pytest.raises(ExpiredError):
        client.seal(b"", now_ms=client.expires_ms)
