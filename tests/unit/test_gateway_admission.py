"""Which clients may begin a session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from sage_native import SigningKey
from sage_native.config.settings import AdmissionSettings
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.admission import ClientAdmission
from sage_native.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from sage_native.storage.base import Storage

NAMED = "did:example:named"


def admission(storage: Storage, policy: str, *listed: str) -> ClientAdmission:
    settings = AdmissionSettings(policy=cast("Any", policy), allow_list=listed)
    return ClientAdmission(settings, storage)


async def keys_of(admitted: ClientAdmission, did: str) -> list[bytes]:
    return [key.to_bytes() for key in await admitted.keys_of(did)]


async def test_registered() -> None:
    key, stranger = SigningKey.generate(), SigningKey.generate()
    admitted = admission(MemoryStorage(), "registered")
    for did in (key.did, NAMED):
        assert await keys_of(admitted, did) == []
        await admitted.registry.register(did, [key.verifying_key_bytes])
        assert await keys_of(admitted, did) == [key.verifying_key_bytes]
    assert await keys_of(admitted, stranger.did) == []
    await admitted.registry.revoke(NAMED)
    assert await keys_of(admitted, NAMED) == []


async def test_allow_list() -> None:
    key, registered, stranger = (SigningKey.generate() for _ in range(3))
    admitted = admission(MemoryStorage(), "allow_list", key.did, NAMED)
    assert await keys_of(admitted, key.did) == [key.verifying_key_bytes]
    assert await keys_of(admitted, NAMED) == [], "listed, and nobody knows its key"
    for did in (NAMED, "did:example:other", registered.did):
        owner = registered if did == registered.did else key
        await admitted.registry.register(did, [owner.verifying_key_bytes])
    assert await keys_of(admitted, NAMED) == [key.verifying_key_bytes]
    for did in ("did:example:other", registered.did, stranger.did):
        assert await keys_of(admitted, did) == [], "not listed"
    await admitted.registry.revoke(key.did)
    assert await keys_of(admitted, key.did) == [], "revoked, though listed"


async def test_any_did_key() -> None:
    key = SigningKey.generate()
    admitted = admission(MemoryStorage(), "any_did_key")
    assert await keys_of(admitted, key.did) == [key.verifying_key_bytes]
    assert await keys_of(admitted, NAMED) == []
    await admitted.registry.revoke(key.did)
    assert await keys_of(admitted, key.did) == []


async def test_a_store_without_registry() -> None:
    store = cast("Storage", SimpleNamespace(dids=None, label="redis at 127.0.0.1"))
    with pytest.raises(
        ConfigurationError, match=r"redis at 127\.0\.0\.1 keeps none: choose sqlite"
    ):
        admission(store, "registered")
    key = SigningKey.generate()
    assert await keys_of(admission(store, "any_did_key"), key.did) == [key.verifying_key_bytes]
    listed = admission(store, "allow_list", key.did)
    assert await keys_of(listed, key.did) == [key.verifying_key_bytes]
    assert await keys_of(listed, SigningKey.generate().did) == []
