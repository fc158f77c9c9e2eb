"""Who the gateway is, before, during and after a rotation."""

from __future__ import annotations

import pytest

from sage_native import Initiator, SigningKey, resolve_did_key
from sage_native.exceptions import ConfigurationError, HandshakeError
from sage_native.gateway.identities import Identities
from tests.agents import NOW_MS

CHALLENGE_KEY = bytes(range(32))
DID = "did:example:gateway"


def identities(*keys: SigningKey, dids: tuple[str, ...] = (), signed: bool = False) -> Identities:
    return Identities(
        keys, dids=dids, challenge_key=CHALLENGE_KEY, require_signed_confirmation=signed
    )


def m1(key: SigningKey, *, server_did: str | None = None, challenge: bytes | None = None) -> bytes:
    initiator = Initiator(SigningKey.generate(), key.verifying_key, server_did=server_did)
    return initiator.initiate(challenge=challenge, now_ms=NOW_MS).message


def code_of_reading(ours: Identities, message: bytes, *, require_challenge: bool = False) -> str:
    with pytest.raises(HandshakeError) as caught:
        ours.read(message, require_challenge=require_challenge, now_ms=NOW_MS)
    return caught.value.code


def test_it_answers_to_the_identity_that_is_meant() -> None:
    keys = [SigningKey.generate() for _ in range(3)]
    ours = identities(*keys)
    for key in keys:
        request = ours.read(m1(key), require_challenge=False, now_ms=NOW_MS)
        assert request.server_did == key.did
        request.authenticate(resolve_did_key(request.client_did))
        message, _ = request.accept(now_ms=NOW_MS)
        assert message
    assert code_of_reading(ours, m1(SigningKey.generate())) == "misdirected"


def test_names_go_with_every_key() -> None:
    keys = [SigningKey.generate() for _ in range(2)]
    ours = identities(*keys, dids=(DID,))
    for key in keys:
        request = ours.read(m1(key, server_did=DID), require_challenge=False, now_ms=NOW_MS)
        assert request.server_did == DID
    foreign = m1(keys[0], server_did=keys[1].did)
    assert code_of_reading(ours, foreign) == "misdirected", "one key under the name of another"
    assert [name for name, _ in ours.announced()].count(DID) == 2


def test_the_first_is_announced_first() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    ours = identities(first, second)
    assert ours.announced() == [
        (first.did, first.verifying_key_bytes),
        (second.did, second.verifying_key_bytes),
    ]
    ours.replace([second])
    assert ours.announced() == [(second.did, second.verifying_key_bytes)]
    assert code_of_reading(ours, m1(first)) == "misdirected"


def test_a_request_that_was_read_is_finished_under_its_key() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    ours = identities(first)
    attempt = Initiator(SigningKey.generate(), first.verifying_key).initiate(now_ms=NOW_MS)
    request = ours.read(attempt.message, require_challenge=False, now_ms=NOW_MS)
    ours.replace([second])
    request.authenticate(resolve_did_key(request.client_did))
    message, _ = request.accept(now_ms=NOW_MS)
    attempt.finish(message, now_ms=NOW_MS)


def test_challenges_are_good_at_every_worker_of_one_key() -> None:
    key = SigningKey.generate()
    here, there = identities(key), identities(key)
    initiator = Initiator(SigningKey.generate(), key.verifying_key)
    with pytest.raises(HandshakeError) as caught:
        here.read(initiator.initiate(now_ms=NOW_MS).message, require_challenge=True, now_ms=NOW_MS)
    assert caught.value.code == "challenge_required"
    brought = initiator.initiate(challenge=caught.value.challenge, now_ms=NOW_MS).message
    for one in (here, there):
        one.read(brought, require_challenge=True, now_ms=NOW_MS)
        one.read(brought, require_challenge=False, now_ms=NOW_MS)
    stranger = Identities(
        [key], dids=(), challenge_key=bytes(32), require_signed_confirmation=False
    )
    assert code_of_reading(stranger, brought) == "challenge_required", "checked, though not asked"


def test_other_refusals_are_not_hidden_by_further_identities() -> None:
    keys = [SigningKey.generate() for _ in range(2)]
    ours = identities(*keys)
    for key in keys:
        late = m1(key)
        with pytest.raises(HandshakeError) as caught:
            ours.read(late, require_challenge=False, now_ms=NOW_MS + 60_001)
        assert caught.value.code == "stale_timestamp"
        assert code_of_reading(ours, m1(key), require_challenge=True) == "challenge_required"
    assert code_of_reading(ours, b"\2") == "unsupported_version"
    assert code_of_reading(ours, b"\1") == "malformed_request"


def test_what_cannot_be_an_identity_changes_nothing() -> None:
    key = SigningKey.generate()
    ours = identities(key)
    before = ours.announced()
    for keys, text in (([], "needs a signing key"), ([key, key], "named twice")):
        with pytest.raises(ConfigurationError, match=text):
            ours.replace(keys)
    assert ours.announced() == before
    for did in ("did:Example:a", "nonsense", "did:example:a#b", ""):
        with pytest.raises(ConfigurationError, match=r"identity\.dids"):
            identities(key, dids=(did,))
