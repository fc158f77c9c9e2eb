"""Which keys a DID lists: remembered for a while, asked for once, and never more than was said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native import SigningKey
from sage_native.dids import DidRegistry
from sage_native.exceptions import (
    CapacityError,
    ConflictError,
    OverloadedError,
    StorageError,
    UsageError,
)
from sage_native.storage.memory import MemoryDidStore
from sage_native.storage.rows import DidRecord
from tests.managers import Gate, no_lost_errors
from tests.reference.dids import key_to_did
from tests.reference.edwards import IDENTITY, ORDER, P, add, decode, encode, is_equal, multiply

if TYPE_CHECKING:
    from sage_native.storage.base import DidStore

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")

ALICE = "did:sage:alice"
BOB = "did:sage:bob"
NOW_MS = 1_800_000_000_000


class WatchedDids(MemoryDidStore):
    """A DID store that counts, fails, and takes its time.

    Attributes:
        asked: The DIDs that it was asked for.
        down: Every call fails.
        before: A gate that look-ups wait at before they read.
        after: A gate that their answers wait at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.down = False
        self.before: Gate | None = None
        self.after: Gate | None = None

    async def get(self, did: str) -> DidRecord | None:
        self.asked.append(did)
        if self.before is not None:
            await self.before.pass_through()
        if self.down:
            raise StorageError("the DID store is down")
        record = await super().get(did)
        if self.after is not None:
            await self.after.pass_through()
        return record

    async def put(self, record: DidRecord) -> None:
        if self.down:
            raise StorageError("the DID store is down")
        await super().put(record)


class Clock:
    """Seconds that go as they are told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def key() -> bytes:
    return SigningKey.generate().verifying_key_bytes


async def listed(registry: DidRegistry, did: str) -> list[bytes]:
    return [one.to_bytes() for one in await registry.resolve(did)]


# What is remembered, and how long.


async def test_a_registered_did_lists_its_keys() -> None:
    store, keys = WatchedDids(), [key(), key()]
    registry = DidRegistry(store)
    record = await registry.register(ALICE, keys, owner="0x12", now_ms=NOW_MS)
    assert record == DidRecord(ALICE, tuple(keys), "0x12", NOW_MS)
    assert await listed(registry, ALICE) == keys
    assert await listed(registry, BOB) == []
    assert await store.get(ALICE) == record


async def test_an_answer_is_remembered_for_its_life() -> None:
    store, clock = WatchedDids(), Clock()
    registry = DidRegistry(store, life_s=60, negative_life_s=5, clock=clock)
    await registry.register(ALICE, [key()])
    for now_s, asked in ((100, 1), (159.9, 1), (160, 2), (219, 2), (220, 3)):
        clock.now_s = now_s
        assert await listed(registry, ALICE)
        assert store.asked.count(ALICE) == asked
    for now_s, asked in ((300, 1), (304.9, 1), (305, 2)):
        clock.now_s = now_s
        assert not await listed(registry, BOB)
        assert store.asked.count(BOB) == asked


async def test_use_does_not_lengthen_a_life() -> None:
    """A revocation elsewhere is seen after life_s, however often the DID is asked for."""
    store, clock = WatchedDids(), Clock()
    registry = DidRegistry(store, life_s=60, clock=clock)
    await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE)
    await store.revoke(ALICE)
    for now_s in range(101, 160):
        clock.now_s = now_s
        assert await listed(registry, ALICE)
    clock.now_s = 160
    assert await listed(registry, ALICE) == []


async def test_registering_is_seen_at_once_by_who_registers() -> None:
    registry = DidRegistry(WatchedDids())
    assert await listed(registry, ALICE) == []
    keys = [key()]
    await registry.register(ALICE, keys)
    assert await listed(registry, ALICE) == keys


async def test_a_fresh_look_up_asks_past_what_is_remembered() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE)
    await store.revoke(ALICE)
    assert await listed(registry, ALICE)
    assert await registry.resolve(ALICE, fresh=True) == ()
    assert await listed(registry, ALICE) == [], "and what it found is remembered"


async def test_a_flood_of_unknown_dids_drives_no_real_one_out() -> None:
    store = WatchedDids()
    registry = DidRegistry(store, capacity=10)
    names = [f"did:sage:real-{number}" for number in range(10)]
    for name in names:
        await registry.register(name, [key()])
        assert await listed(registry, name)
    for number in range(500):
        assert not await listed(registry, f"did:sage:made-up-{number}")
    store.asked.clear()
    for name in names:
        assert await listed(registry, name)
    assert store.asked == []
    assert len(registry._known._answers) == 10
    assert len(registry._unknown._answers) == 10


async def test_the_least_used_is_forgotten_first() -> None:
    store = WatchedDids()
    registry = DidRegistry(store, capacity=2)
    for name in (ALICE, BOB, "did:sage:carol"):
        await registry.register(name, [key()])
    for name in (ALICE, BOB, ALICE, "did:sage:carol", ALICE):
        await listed(registry, name)
    assert store.asked == [ALICE, BOB, "did:sage:carol"]
    await listed(registry, BOB)
    assert store.asked[3:] == [BOB]


# One look-up each.


async def test_however_many_ask_the_store_is_asked_once() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    store.before = gate = Gate()
    asking = [asyncio.create_task(registry.resolve(ALICE)) for _ in range(50)]
    await gate.reached()
    for task in asking[::3]:
        task.cancel()
    gate.open()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert store.asked == [ALICE]
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::3])
    answers = [result for number, result in enumerate(results) if number % 3]
    assert all(isinstance(answer, tuple) and len(answer) == 1 for answer in answers)


async def test_a_failure_is_shared_and_never_remembered() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    store.down, store.before = True, (gate := Gate())
    asking = [asyncio.create_task(registry.resolve(ALICE)) for _ in range(5)]
    await gate.reached()
    asking[0].cancel()
    gate.open()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results[1:]] == [StorageError] * 4
    with pytest.raises(StorageError):
        await registry.resolve(BOB)
    store.down = False
    assert await listed(registry, ALICE)
    assert not await listed(registry, BOB)


async def test_what_is_remembered_outlives_a_store_that_is_down() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE)
    store.down = True
    assert await listed(registry, ALICE)
    with pytest.raises(StorageError):
        await registry.resolve(ALICE, fresh=True)


async def test_look_ups_are_bounded() -> None:
    store = WatchedDids()
    registry = DidRegistry(store, max_lookups=4)
    await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE)
    store.before = gate = Gate()
    names = [f"did:sage:made-up-{number}" for number in range(20)]
    asking = [asyncio.create_task(registry.resolve(name)) for name in names]
    await gate.reached()
    assert await listed(registry, ALICE), "who is remembered is not concerned"
    gate.open()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert results.count(()) == 4
    assert sum(isinstance(result, CapacityError) for result in results) == 16
    assert not registry._lookups
    assert await registry.resolve(names[7]) == ()


async def test_fresh_look_ups_of_one_turn_are_one() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    answers = await asyncio.gather(*(registry.resolve(ALICE, fresh=True) for _ in range(20)))
    assert {len(answer) for answer in answers} == {1}
    assert store.asked == [ALICE]


async def test_fresh_look_ups_of_one_did_are_bounded_too() -> None:
    """None of them may take the answer of one that had asked the store before."""
    store = WatchedDids()
    registry = DidRegistry(store, max_lookups=4)
    store.before = gate = Gate()
    asking = []
    for _ in range(20):
        asking.append(asyncio.create_task(registry.resolve(ALICE, fresh=True)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert store.asked == [ALICE] * 4
    gate.open()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert results[:4] == [()] * 4
    assert {type(result) for result in results[4:]} == {OverloadedError}
    assert await registry.resolve(ALICE, fresh=True) == ()
    assert not registry._under_way
    assert not registry._unbegun


# Revocation.


async def test_a_revocation_is_seen_at_once_and_for_ever() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE)
    assert await registry.revoke(ALICE, now_ms=NOW_MS)
    assert await listed(registry, ALICE) == []
    assert await registry.revoke(ALICE, now_ms=NOW_MS + 1)
    record = await store.get(ALICE)
    assert record is not None
    assert record.revoked_ms == NOW_MS
    with pytest.raises(ConflictError):
        await registry.register(ALICE, [key()])
    assert await listed(registry, ALICE) == []
    assert not await registry.revoke(BOB)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_answer_from_before_a_revocation_is_not_remembered(moment: str) -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    gate = Gate()
    setattr(store, moment, gate)
    asking = asyncio.create_task(registry.resolve(ALICE))
    await gate.reached()
    await registry.revoke(ALICE)
    setattr(store, moment, None)
    fresh = await listed(registry, ALICE)
    gate.open()
    await asking
    assert fresh == []
    assert await listed(registry, ALICE) == []


async def test_an_older_answer_does_not_replace_a_fresh_one() -> None:
    store = WatchedDids()
    registry = DidRegistry(store)
    await registry.register(ALICE, [key()])
    store.after = gate = Gate()
    asking = asyncio.create_task(registry.resolve(ALICE))
    await gate.reached()
    await store.revoke(ALICE)  # by another worker
    store.after = None
    assert await registry.resolve(ALICE, fresh=True) == ()
    gate.open()
    assert len(await asking) == 1
    assert await listed(registry, ALICE) == []


async def test_what_is_remembered_is_said_without_the_store() -> None:
    store, clock = WatchedDids(), Clock()
    registry = DidRegistry(store, life_s=60, clock=clock)
    assert registry.store is store
    keys = [key(), key()]
    await registry.register(ALICE, keys)
    assert not registry.remembers(ALICE, keys[0]), "nobody has looked yet"
    await registry.resolve(ALICE)
    store.asked.clear()
    assert [registry.remembers(ALICE, one) for one in (*keys, key())] == [True, True, False]
    assert not registry.remembers(BOB, keys[0])
    clock.now_s += 60
    assert not registry.remembers(ALICE, keys[0])
    await registry.resolve(ALICE)
    await registry.revoke(ALICE)
    assert not registry.remembers(ALICE, keys[0])
    assert store.asked == [ALICE]


async def test_keys_that_were_checked_are_not_checked_again_and_others_are() -> None:
    store, one = MemoryDidStore(), key()
    registry = DidRegistry(store)
    await store.put(DidRecord(ALICE, (one,), "", NOW_MS))
    first = await registry.resolve(ALICE)
    assert await registry.resolve(ALICE, fresh=True) is first
    store._records[ALICE] = DidRecord(ALICE, (one, BAD_KEYS["order 8"]), "", NOW_MS)
    with pytest.raises(StorageError, match="must not be listed"):
        await registry.resolve(ALICE, fresh=True)
    store._records[ALICE] = DidRecord(ALICE, (key(),), "", NOW_MS)
    assert await registry.resolve(ALICE, fresh=True) != first


# did:key.


async def test_a_did_key_resolves_from_itself_only_where_everybody_is_admitted() -> None:
    did = SigningKey.generate().did
    assert await DidRegistry(None).resolve(did) == ()
    assert await DidRegistry(MemoryDidStore()).resolve(did) == ()
    for registry in (
        DidRegistry(None, any_did_key=True),
        DidRegistry(MemoryDidStore(), any_did_key=True),
    ):
        (found,) = await registry.resolve(did)
        assert found.did == did
        assert await registry.resolve("did:key:z6Mk") == ()
        assert await registry.resolve(ALICE) == ()


async def test_a_did_key_can_be_registered_and_revoked() -> None:
    registry = DidRegistry(MemoryDidStore())
    signing_key = SigningKey.generate()
    did, verifying_key = signing_key.did, signing_key.verifying_key_bytes
    for keys in ([key()], [verifying_key, key()]):
        with pytest.raises(UsageError, match="the one Ed25519 key that it spells"):
            await registry.register(did, keys)
    await registry.register(did, [verifying_key])
    assert await listed(registry, did) == [verifying_key]
    await registry.revoke(did)
    assert await listed(registry, did) == []


async def test_a_did_key_that_nobody_registered_can_be_revoked() -> None:
    store = MemoryDidStore()
    registry, did = DidRegistry(store, any_did_key=True), SigningKey.generate().did
    assert await registry.resolve(did)
    assert await registry.revoke(did, now_ms=NOW_MS)
    assert await registry.resolve(did) == ()
    for any_did_key in (True, False):
        assert await DidRegistry(store, any_did_key=any_did_key).resolve(did) == ()
    assert not await registry.revoke("did:key:z6Mk")


async def test_revoking_a_did_key_admits_it_in_no_instant() -> None:
    """Where did:key must be registered, its revocation must not pass through a registration."""
    did, seen = SigningKey.generate().did, list[DidRecord | None]()

    class Spied(MemoryDidStore):
        async def put(self, record: DidRecord) -> None:
            await super().put(record)
            seen.append(await self.get(did))

        async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
            revoked = await super().revoke(did, now_ms=now_ms)
            seen.append(await self.get(did))
            return revoked

    assert await DidRegistry(Spied()).revoke(did)
    assert seen[0] is None
    assert all(record is not None and record.revoked_ms is not None for record in seen[1:])


async def test_a_registration_that_comes_first_is_revoked_all_the_same() -> None:
    signing_key = SigningKey.generate()
    did = signing_key.did

    class Raced(MemoryDidStore):
        async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
            revoked = await super().revoke(did, now_ms=now_ms)
            if not revoked:  # somebody else registers it now
                await self.put(DidRecord(did, (signing_key.verifying_key_bytes,), "", NOW_MS))
            return revoked

    store = Raced()
    registry = DidRegistry(store)
    assert await registry.revoke(did, now_ms=NOW_MS)
    assert await registry.resolve(did) == ()
    record = await store.get(did)
    assert record is not None
    assert record.revoked_ms == NOW_MS


async def test_without_a_store_nothing_is_written() -> None:
    registry = DidRegistry(None, any_did_key=True)
    for refused in (registry.register(ALICE, [key()]), registry.revoke(ALICE)):
        with pytest.raises(UsageError, match="no store"):
            await refused


# Keys that must not be listed.


def of_order(order: int) -> tuple[int, int, int, int]:
    """Return a point of order 2, 4 or 8."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        y += 1
        if point is None:
            continue
        torsion = multiply(ORDER, point)
        if is_equal(multiply(order, torsion), IDENTITY) and not is_equal(
            multiply(order // 2, torsion), IDENTITY
        ):
            return torsion


def mixed(order: int) -> bytes:
    """Return an honest key with a torsion part: most signatures by it verify."""
    honest = decode(key())
    assert honest is not None
    return encode(add(honest, of_order(order)))


BAD_KEYS = {
    "short": bytes(31),
    "long": key() + b"\0",
    "identity": encode(IDENTITY),
    "order 2": encode(of_order(2)),
    "order 4": encode(of_order(4)),
    "order 8": encode(of_order(8)),
    "zero": bytes(32),
    "negative zero": (1 | 1 << 255).to_bytes(32, "little"),
    "p": P.to_bytes(32, "little"),
    "p + 1": (P + 1).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
    "no point": (2).to_bytes(32, "little"),
    "mixed with order 2": mixed(2),
    "mixed with order 4": mixed(4),
    "mixed with order 8": mixed(8),
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_keys_are_checked_strictly_at_registration(name: str) -> None:
    store, bad = WatchedDids(), BAD_KEYS[name]
    registry = DidRegistry(store)
    for keys in ([bad], [key(), bad]):
        with pytest.raises(UsageError):
            await registry.register(ALICE, keys)
    assert await store.get(ALICE) is None


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_a_did_key_that_spells_a_bad_key_lists_none(name: str) -> None:
    did = key_to_did(BAD_KEYS[name])
    assert await DidRegistry(None, any_did_key=True).resolve(did) == ()


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_a_bad_key_that_somebody_put_into_the_store_is_never_listed(name: str) -> None:
    store = MemoryDidStore()
    await store.put(DidRecord(ALICE, (key(), BAD_KEYS[name]), "", NOW_MS))
    with pytest.raises(StorageError, match="must not be listed"):
        await DidRegistry(store).resolve(ALICE)


async def test_registrations_that_make_no_sense() -> None:
    store, one = WatchedDids(), key()
    registry = DidRegistry(store)
    for keys in ([], [key() for _ in range(17)], [one, one]):
        with pytest.raises(UsageError):
            await registry.register(ALICE, keys)
    for did in (
        "",
        "alice",
        "did:SAGE:alice",
        "did:sage:a|b",
        "did:sage:a%00",
        "did:sage:" + "a" * 250,
    ):
        with pytest.raises(UsageError):
            await registry.register(did, [key()])
        with pytest.raises(UsageError):
            await registry.resolve(did)
        with pytest.raises(UsageError):
            await registry.revoke(did)
    assert store.asked == []
    await registry.register(ALICE, [key() for _ in range(16)])


async def test_an_unknown_outcome_of_a_registration_is_asked_for_again() -> None:
    store = WatchedDids()
    registry: DidRegistry = DidRegistry(store)
    assert not await listed(registry, ALICE)
    store.down = True
    with pytest.raises(StorageError):
        await registry.register(ALICE, [key()])
    store.down = False
    store.asked.clear()
    await listed(registry, ALICE)
    assert store.asked == [ALICE], "what was remembered may be outdated"


def test_the_store_is_the_port() -> None:
    store: DidStore = WatchedDids()
    assert DidRegistry(store)
