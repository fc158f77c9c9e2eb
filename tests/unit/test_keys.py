"""Ed25519 identities: making, comparing, signing, verifying, closing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sage_native import (
    AeadKey,
    AuthenticationError,
    SessionStateError,
    SigningKey,
    StaticSecret,
    UsageError,
    VerifyingKey,
    resolve_did_key,
    verify_many,
)
from tests.reference import edwards

SEED = bytes(range(32))
PAD = b" " * 64


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(SEED)


# Making.


def test_a_seed_comes_back(key: SigningKey) -> None:
    assert key.to_bytes() == SEED
    assert SigningKey.from_bytes(SEED).did == key.did


@pytest.mark.parametrize(
    "kind", [bytearray, memoryview, lambda seed: np.frombuffer(seed, np.uint8)]
)
def test_a_seed_may_be_any_buffer(kind: type[bytearray], key: SigningKey) -> None:
    assert SigningKey(kind(SEED)).did == key.did


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(length: int) -> None:
    with pytest.raises(UsageError, match=f"Ed25519 seed must be 32 bytes long, not {length}"):
        SigningKey(bytes(length))


def test_generated_keys_differ() -> None:
    keys = [SigningKey(), SigningKey.generate(), SigningKey.generate()]
    assert len({key.did for key in keys}) == 3
    assert all(type(key) is SigningKey for key in keys)


def test_subclasses_make_themselves() -> None:
    class Agent(SigningKey):
        __slots__ = ()

    assert type(Agent.generate()) is Agent
    assert type(Agent.from_bytes(SEED)) is Agent
    assert type(Agent.from_pem(SigningKey(SEED).to_pem())) is Agent


@pytest.mark.parametrize("argument", ["00" * 32, 32, [0] * 32, object()])
def test_a_key_is_made_of_bytes(argument: object) -> None:
    with pytest.raises(TypeError, match="expected bytes"):
        SigningKey(argument)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected bytes"):
        VerifyingKey(argument)  # type: ignore[arg-type]


# Verifying keys.


def test_verifying_keys_compare_by_value(key: SigningKey) -> None:
    same, other = VerifyingKey(key.verifying_key_bytes), SigningKey().verifying_key
    assert key.verifying_key == same
    assert hash(key.verifying_key) == hash(same)
    assert key.verifying_key != other
    assert key.verifying_key != object()
    assert len({key.verifying_key, same, other}) == 2


def test_verifying_keys_can_be_pickled(key: SigningKey) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(key.verifying_key, protocol))  # noqa: S301 - our own
        assert copy == key.verifying_key
        assert type(copy) is VerifyingKey


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_verifying_key_has_32_bytes(length: int) -> None:
    with pytest.raises(UsageError, match=f"must be 32 bytes long, not {length}"):
        VerifyingKey(bytes(length))


def test_small_order_keys_are_refused() -> None:
    assert len(edwards.SMALL_ORDER_ENCODINGS) == 8
    for encoding in edwards.SMALL_ORDER_ENCODINGS:
        with pytest.raises(UsageError, match="small order"):
            VerifyingKey(encoding)


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("excess", range(19))
def test_second_spellings_are_refused(excess: int, sign: int) -> None:
    encoding = bytearray((2**255 - 19 + excess).to_bytes(32, "little"))
    encoding[31] |= sign
    with pytest.raises(UsageError, match=r"canonically encoded|small order"):
        VerifyingKey(encoding)


def test_check_refuses_mixed_order_and_points_off_the_curve(key: SigningKey) -> None:
    key.verifying_key.check()
    point = edwards.decode(key.verifying_key_bytes)
    assert point is not None
    mixed = edwards.encode(edwards.add(point, edwards.torsion_generator()))
    with pytest.raises(UsageError, match="small-order component"):
        VerifyingKey(mixed).check()
    with pytest.raises(UsageError, match="not a point of the curve"):
        VerifyingKey(bytes([2]) + bytes(31)).check()


def test_dids(key: SigningKey) -> None:
    assert key.did.startswith("did:key:z6Mk")
    assert list(resolve_did_key(key.did)) == [key.verifying_key]
    assert list(resolve_did_key("did:web:example.com")) == []
    with pytest.raises(UsageError, match="does not spell an Ed25519 key"):
        VerifyingKey.from_did("did:web:example.com")
    with pytest.raises(UsageError, match="must begin with 'did:'"):
        VerifyingKey.from_did("not a did")


# Signing and verifying.


def test_verify_raises_and_is_valid_answers(key: SigningKey) -> None:
    signature = key.sign(b"message")
    assert key.verifying_key.verify(signature, b"message") is None  # type: ignore[func-returns-value]
    assert key.verifying_key.is_valid(signature, b"message") is True
    assert key.verifying_key.is_valid(signature, b"massage") is False
    with pytest.raises(AuthenticationError, match=r"^signature does not verify$"):
        key.verifying_key.verify(signature, b"massage")


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_signatures_of_other_lengths_do_not_verify(length: int, key: SigningKey) -> None:
    signature = (key.sign(b"") * 2)[:length]
    assert not key.verifying_key.is_valid(signature, b"")
    with pytest.raises(AuthenticationError):
        key.verifying_key.verify(signature, b"")


def test_every_bit_of_a_signature_counts(key: SigningKey) -> None:
    signature = key.sign(b"message")
    flipped = []
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(changed))
    assert not verify_many(key.verifying_key, flipped, [b"message"] * 512).any()


def test_signatures_are_deterministic(key: SigningKey) -> None:
    assert key.sign(b"message") == SigningKey(SEED).sign(b"message")


def test_the_mark_of_handshake_signatures_is_refused(key: SigningKey) -> None:
    for message in (PAD, PAD + b"SAGE-HS/1 client"):
        with pytest.raises(UsageError, match="must not begin with 64 spaces"):
            key.sign(message)
        with pytest.raises(UsageError, match="must not begin with 64 spaces"):
            key.sign_many([b"harmless", message])
        with pytest.raises(UsageError, match="must not begin with 64 spaces"):
            key.sign_many(np.frombuffer(message, np.uint8).reshape(1, -1))
    for message in (PAD[:63], b"x" + PAD, PAD[:63] + b"\n"):
        assert key.verifying_key.is_valid(key.sign(message), message)


def test_long_messages(key: SigningKey) -> None:
    message = bytes(8 << 20)
    signature = key.sign(message)
    assert key.verifying_key.is_valid(signature, message)
    assert not key.verifying_key.is_valid(signature, message[:-1])


# Closing.


def test_closing(key: SigningKey) -> None:
    public, did = key.verifying_key, key.did
    key.close()
    key.close()
    assert key.closed
    for use in (key.to_bytes, lambda: key.sign(b""), lambda: key.sign_many([b""])):
        with pytest.raises(SessionStateError, match="this SigningKey is closed or spent"):
            use()
    assert key.verifying_key == public
    assert key.did == did


def test_leaving_the_block_closes() -> None:
    with SigningKey(SEED) as key:
        key.sign(b"")
    assert key.closed

    with pytest.raises(ZeroDivisionError), SigningKey(SEED) as key:
        _ = 1 // 0
    assert key.closed


@pytest.mark.parametrize("kind", [SigningKey, StaticSecret, AeadKey])
def test_a_missing_secret_is_not_a_fresh_one(
    kind: type[SigningKey] | type[StaticSecret] | type[AeadKey],
) -> None:
    for make in (kind, kind.from_bytes):
        with pytest.raises(TypeError, match="NoneType"):
            make(None)  # type: ignore[arg-type]
