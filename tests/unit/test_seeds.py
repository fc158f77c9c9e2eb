"""Seeds load, their sessions open from both ends, and they go where they belong only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sage_native import KeyEncryptionKey, SigningKey
from sage_native.dids import DidRegistry
from sage_native.exceptions import ConfigurationError, ConflictError, UsageError
from sage_native.storage.memory import MemoryStorage
from sage_native.storage.rows import DidRecord
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE, dev_signing_key, seed
from sage_native.storage.seeds.dev import INSECURE_PHRASE
from sage_native.storage.sqlite import SqliteStorage
from tests.seeded import converse, rows_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sage_native.storage import Storage
    from sage_native.storage.seeds import SeedName

DEV = [f"did:sage:dev-{name}" for name in ("alice", "bob", "carol", "gateway", "mallory")]


@pytest.fixture
def kek() -> KeyEncryptionKey:
    return KeyEncryptionKey("k1", os.urandom(32))


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    if request.param == "memory":
        async with MemoryStorage() as storage:
            yield storage
    else:
        async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
            yield storage


@pytest.mark.parametrize(("name", "dids", "sessions"), [("dev", 5, 5), ("staging", 102, 192)])
async def test_every_session_opens_from_both_ends(
    storage: Storage, kek: KeyEncryptionKey, name: SeedName, dids: int, sessions: int
) -> None:
    done = await seed(storage, name, kek, profile=None)
    assert (done.dids, done.kept, done.sessions) == (dids, 0, sessions)
    assert await storage.session_store_names() == [INITIATOR_STORE, RESPONDER_STORE]
    assert await converse(storage, kek) == sessions


async def test_dev_identities_are_those_that_everybody_can_compute() -> None:
    async with MemoryStorage() as storage:
        await seed(storage, "dev", KeyEncryptionKey("k1", os.urandom(32)), profile="dev")
        records, _ = await storage.dids.page()
        assert [record.did for record in records] == DEV
        registry = DidRegistry(storage.dids)
        for record in records:
            key = dev_signing_key(record.did.removeprefix("did:sage:dev-"))
            assert record.keys == (key.verifying_key.to_bytes(),)
            is_revoked = record.did.endswith("mallory")
            assert await registry.resolve(record.did) == (
                () if is_revoked else (key.verifying_key,)
            )
    assert b"insecure" in INSECURE_PHRASE


async def test_nothing_in_staging_can_be_foretold(kek: KeyEncryptionKey) -> None:
    keys: list[set[bytes]] = []
    names: list[set[str]] = []
    public = {dev_signing_key(did.rpartition("-")[2]).verifying_key.to_bytes() for did in DEV}
    for _ in range(2):
        async with MemoryStorage() as storage:
            await seed(storage, "staging", kek, profile="staging")
            records, _ = await storage.dids.page(limit=1000)
            keys.append({key for record in records for key in record.keys})
            names.append({record.did for record in records})
            revoked = [record.did for record in records if record.revoked_ms is not None]
            assert len(revoked) == 4
            rows = await rows_of(storage, RESPONDER_STORE)
            assert not {row.session.client_did for row in rows} & set(revoked)
    assert len(keys[0] | keys[1] | public) == 2 * 102 + 5
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("name", "profile", "is_taken"),
    [
        ("dev", None, True),
        ("dev", "local", True),
        ("dev", "dev", True),
        ("dev", "staging", False),
        ("dev", "production", False),
        ("dev", "prod", False),
        ("staging", None, True),
        ("staging", "staging", True),
        ("staging", "production", False),
        ("staging", "Production ", False),
    ],
)
async def test_a_seed_goes_into_its_own_profiles_only(
    kek: KeyEncryptionKey, name: SeedName, profile: str | None, *, is_taken: bool
) -> None:
    async with MemoryStorage() as storage:
        if is_taken:
            await seed(storage, name, kek, profile=profile)
            return
        with pytest.raises(ConfigurationError, match=f"SAGE_ENV is '{profile}'"):
            await seed(storage, name, kek, profile=profile, force=True)
        assert await storage.session_store_names() == []
        assert (await storage.dids.page())[0] == ()


async def test_a_database_that_is_not_empty_is_left_alone(kek: KeyEncryptionKey) -> None:
    async with MemoryStorage() as storage:
        await seed(storage, "dev", kek, profile=None)
        for name in ("dev", "staging"):
            with pytest.raises(UsageError, match="not empty: it holds sessions of 'initiator'"):
                await seed(storage, name, kek, profile=None)
        assert len(await rows_of(storage, RESPONDER_STORE)) == 5
        done = await seed(storage, "dev", kek, profile=None, force=True)
        assert (done.dids, done.kept, done.sessions) == (0, 5, 5)
        assert await converse(storage, kek) == 10


async def test_a_did_of_another_key_or_a_revoked_one_stops_it_first(kek: KeyEncryptionKey) -> None:
    async with MemoryStorage() as storage:
        stranger = SigningKey.generate().verifying_key.to_bytes()
        await storage.dids.put(DidRecord("did:sage:dev-carol", (stranger,), "", 1))
        with pytest.raises(ConflictError, match="dev-carol is registered with another key"):
            await seed(storage, "dev", kek, profile=None, force=True)
        assert len((await storage.dids.page())[0]) == 1
    async with MemoryStorage() as storage:
        await seed(storage, "dev", kek, profile=None)
        await storage.dids.revoke("did:sage:dev-carol")
        with pytest.raises(ConflictError, match="dev-carol was revoked"):
            await seed(storage, "dev", kek, profile=None, force=True)


async def test_stores_are_named_and_are_two(kek: KeyEncryptionKey) -> None:
    async with MemoryStorage() as storage:
        with pytest.raises(UsageError, match="cannot be in one store"):
            await seed(storage, "dev", kek, profile=None, responder_store=INITIATOR_STORE)
        await seed(storage, "dev", kek, profile=None, responder_store="gateway")
        assert await storage.session_store_names() == ["gateway", INITIATOR_STORE]
        with pytest.raises(UsageError, match="seed 'nope' is unknown"):
            await seed(storage, "nope", kek, profile=None)  # type: ignore[arg-type]
