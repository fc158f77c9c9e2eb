"""Rotating the key that rows are sealed under, while sessions are in use."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from sage_native import KeyEncryptionKey, ReplayWindowTable
from sage_native.exceptions import KeyUnavailableError, StorageError
from sage_native.sessions import KeyRing, Rewrapped, rewrap
from tests.managers import KEK, Gate, Site, no_lost_errors, rekey_at

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")

NEXT = KeyEncryptionKey("kek-2", bytes(range(32, 64)))


async def kek_ids(site: Site) -> list[str]:
    return [row.session.kek_id for row in (await site.store.page(limit=1000)).rows]


async def test_every_row_is_under_the_current_key_afterwards() -> None:
    site, steps = Site(windows=ReplayWindowTable(100)), list[int]()
    site.policy = replace(site.policy, max_sessions_per_client=2000, max_epochs_per_client=2000)
    worker = site.worker()
    clients = [await site.meet(worker) for _ in range(1100)]
    await worker.open(clients[0].seal(b""))
    ring = KeyRing(NEXT, KEK)
    assert await rewrap(site.store, ring, progress=steps.append) == Rewrapped(1100, 0, ())
    assert steps == [500, 1000, 1100]
    assert set(await kek_ids(site)) == {"kek-2"}
    assert await rewrap(site.store, ring) == Rewrapped(0, 0, ())

    # Whoever has only the new key opens the rows, and the sessions go on without a rekey.
    new_worker = site.worker(ring=KeyRing(NEXT))
    assert (await new_worker.open(clients[7].seal(b"goes on")))[1] == b"goes on"
    assert (await worker.open(clients[0].seal(b"hot")))[1] == b"hot"
    with pytest.raises(KeyUnavailableError, match="'kek-2' is not loaded"):
        await site.worker().open(clients[1].seal(b""))


async def test_a_row_keeps_what_is_not_its_secret() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    await worker.describe(client.session_id, {"tenant": "one"})
    before = await site.store.get(client.session_id)
    assert before is not None
    await site.store.delete(client.session_id)
    await site.store.create(replace(before, restored=True))
    await rewrap(site.store, KeyRing(NEXT, KEK))
    after = await site.store.get(client.session_id)
    assert after is not None
    assert after == replace(before, session=after.session, restored=True)
    assert (after.session.epoch, after.session.kek_id) == (0, "kek-2")


async def test_rows_that_do_not_open_are_told_and_the_others_done() -> None:
    site = Site()
    worker = site.worker()
    clients = [await site.meet(worker) for _ in range(3)]
    stranger = KeyEncryptionKey("kek-1", os.urandom(32))
    foreign = Site()
    foreign.store = site.store
    bad = await foreign.meet(foreign.worker(ring=KeyRing(stranger)))
    result = await rewrap(site.store, KeyRing(NEXT, KEK))
    assert result == Rewrapped(3, 0, (bad.session_id,))
    assert sorted(await kek_ids(site)) == ["kek-1", "kek-2", "kek-2", "kek-2"]
    assert len(clients) == 3


async def test_a_rekey_in_between_wins_and_its_row_is_taken_by_the_next_run() -> None:
    """The worker still wraps under the older key, so the row has to be rotated once more."""
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    ring, gate = KeyRing(NEXT, KEK), Gate()
    site.store.after["page"] = gate
    rotating = asyncio.create_task(rewrap(site.store, ring))
    await gate.reached()
    await rekey_at(worker, client)
    gate.open()
    assert await rotating == Rewrapped(0, 1, ())
    assert await rewrap(site.store, ring) == Rewrapped(1, 0, ())
    assert (await worker.open(client.seal(b"goes on")))[1] == b"goes on"
    row = await site.store.get(client.session_id)
    assert row is not None
    assert (row.session.epoch, row.session.kek_id) == (1, "kek-2")


async def test_a_rotation_in_between_does_not_stop_a_rekey() -> None:
    site = Site()
    worker = site.worker()
    client = await site.meet(worker)
    await rewrap(site.store, KeyRing(NEXT, KEK))
    await rekey_at(worker, client)
    assert (await worker.open(client.seal(b"goes on")))[1] == b"goes on"
    assert await kek_ids(site) == ["kek-1"], "this worker knows no other key"


async def test_a_rotation_that_breaks_off_is_run_again() -> None:
    site = Site()
    worker = site.worker()
    for _ in range(5):
        await site.meet(worker)
    site.store.lost.add("advance")
    ring = KeyRing(NEXT, KEK)
    for done in range(1, 6):
        with pytest.raises(StorageError, match="lost"):
            await rewrap(site.store, ring)
        assert (await kek_ids(site)).count("kek-2") == done
    assert await rewrap(site.store, ring) == Rewrapped(0, 0, ())


async def test_a_row_that_is_deleted_meanwhile_is_nothing_to_do() -> None:
    site = Site()
    client = await site.meet(site.worker())
    gate = site.store.after["page"] = Gate()
    rotating = asyncio.create_task(rewrap(site.store, KeyRing(NEXT, KEK)))
    await gate.reached()
    await site.store.delete(client.session_id)
    gate.open()
    assert await rotating == Rewrapped(0, 1, ())
    assert await site.store.count() == 0
