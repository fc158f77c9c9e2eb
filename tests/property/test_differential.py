"""Against pyca ``cryptography`` and PyNaCl, on random inputs of many lengths and kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import nacl.bindings
import nacl.signing
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey as PycaShare
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sage_native import (
    AeadKey,
    AuthenticationError,
    EphemeralSecret,
    SigningKey,
    StaticSecret,
    X25519PublicKey,
    hkdf_sha256,
)
from tests.doors.agreement import exchange
from tests.doors.derivation import hkdf
from tests.doors.sealing import open_sealed, seal
from tests.doors.signatures import sign, verdict
from tests.reference import ed25519 as reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]

KEYS = st.binary(min_size=32, max_size=32)
NONCES = st.binary(min_size=12, max_size=12)
# Lengths first, so that long ones are as likely as short ones; contents repeat a short pattern.
LENGTHS = st.integers(0, 5000) | st.sampled_from([0, 1, 15, 16, 17, 63, 64, 65, 512, 3584, 5000])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    length = draw(LENGTHS)
    pattern = draw(st.binary(min_size=1, max_size=40))
    return (pattern * (length // len(pattern) + 1))[:length]


def as_array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def as_part(data: bytes) -> memoryview:
    """Not at the start of its memory, and seldom aligned."""
    return memoryview(b"x" + data + b"y")[1:-1]


KINDS = st.sampled_from([bytes, bytearray, memoryview, as_array, as_part])


@given(KEYS, texts(), KINDS)
@settings(deadline=None)
def test_signatures(seed: bytes, message: bytes, kind: Callable[[bytes], Buffer]) -> None:
    assume(not message.startswith(b" " * 64))
    key = SigningKey(kind(seed))
    signature = sign(key, message)
    assert key.sign(kind(message)) == signature
    assert Ed25519PrivateKey.from_private_bytes(seed).sign(message) == signature
    assert nacl.signing.SigningKey(seed).sign(message).signature == signature
    assert key.verifying_key_bytes == nacl.signing.SigningKey(seed).verify_key.encode()
    assert verdict(key.verifying_key_bytes, signature, message)
    assert key.verifying_key.is_valid(kind(signature), kind(message))


@given(KEYS, texts(), st.integers(0, 511), st.integers(0, 2))
@settings(deadline=None)
def test_one_bit_of_key_signature_or_message(
    seed: bytes, message: bytes, bit: int, which: int
) -> None:
    assume(not message.startswith(b" " * 64))
    key = SigningKey(seed)
    case = [key.verifying_key_bytes, key.sign(message), message or b"\0"]
    bit %= len(case[which]) * 8
    changed = bytearray(case[which])
    changed[bit // 8] ^= 1 << bit % 8
    case[which] = bytes(changed)
    verifying_key, signature, said = case
    assert verdict(verifying_key, signature, said) is reference.verify(
        verifying_key, said, signature
    )


@given(KEYS, KEYS, KINDS)
def test_agreement(secret: bytes, u: bytes, kind: Callable[[bytes], Buffer]) -> None:
    """Any 32 bytes are a share: half of them lie on the twist."""
    ours = exchange(StaticSecret(kind(secret)), X25519PublicKey(kind(u)))
    theirs = X25519PrivateKey.from_private_bytes(secret)
    assert StaticSecret(secret).public_key_bytes == theirs.public_key().public_bytes_raw()
    if ours is not None:
        assert ours == theirs.exchange(PycaShare.from_public_bytes(u))
        assert ours == nacl.bindings.crypto_scalarmult(secret, u)


@given(KEYS)
def test_ephemeral_agreement(secret: bytes) -> None:
    ours, theirs = EphemeralSecret(), X25519PrivateKey.from_private_bytes(secret)
    share = ours.public_key_bytes
    shared = ours.exchange(X25519PublicKey(theirs.public_key().public_bytes_raw()))
    assert shared.danger_to_bytes() == theirs.exchange(PycaShare.from_public_bytes(share))


@given(KEYS, NONCES, texts(), texts(), KINDS)
@settings(deadline=None)
def test_aead(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, kind: Callable[[bytes], Buffer]
) -> None:
    ours, theirs = AeadKey(kind(key)), AESGCM(key)
    sealed = seal(ours, nonce, plaintext, aad)
    assert sealed == theirs.encrypt(nonce, plaintext, aad)
    assert ours.seal(kind(nonce), kind(plaintext), kind(aad)) == sealed
    assert ours.open(kind(nonce), kind(sealed), kind(aad)) == plaintext
    assert open_sealed(ours, nonce, sealed, aad) == plaintext


@given(KEYS, NONCES, st.binary(min_size=16, max_size=600), st.binary(max_size=40))
def test_random_bytes_do_not_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> None:
    assert open_sealed(AeadKey(key), nonce, sealed, aad) is None
    try:
        AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        return
    raise AssertionError("pyca opens what we refuse")


@given(KEYS, NONCES, texts(), texts(), st.integers(0))
@settings(deadline=None)
def test_one_bit_of_a_sealed_text(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, bit: int
) -> None:
    ours = AeadKey(key)
    sealed = bytearray(ours.seal(nonce, plaintext, aad))
    bit %= len(sealed) * 8
    sealed[bit // 8] ^= 1 << bit % 8
    assert open_sealed(ours, nonce, bytes(sealed), aad) is None


@given(KEYS, NONCES, texts(), st.binary(max_size=80))
def test_out_at_any_place(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
    ours = AeadKey(key)
    memory = np.full(len(plaintext) + 16 + 7, 0xEE, np.uint8)
    for start in range(7):
        memory[:] = 0xEE
        length = ours.seal_into(nonce, plaintext, memory[start:], aad)
        sealed = memory[start : start + length].tobytes()
        assert sealed == AESGCM(key).encrypt(nonce, plaintext, aad)
        assert (memory[:start] == 0xEE).all()
        assert (memory[start + length :] == 0xEE).all()


@given(texts(), texts(), texts(), st.integers(0, 8160), KINDS)
@settings(deadline=None)
def test_derivation(
    ikm: bytes, salt: bytes, info: bytes, length: int, kind: Callable[[bytes], Buffer]
) -> None:
    okm = hkdf(ikm, salt, info, length)
    whole = hkdf_sha256(kind(ikm), salt=kind(salt), info=kind(info), length=length)
    assert whole == okm
    if length:
        assert HKDF(SHA256(), length, salt, info).derive(ikm) == okm


@given(KEYS, texts())
@settings(deadline=None)
def test_what_others_sign_we_accept(seed: bytes, message: bytes) -> None:
    signature = nacl.signing.SigningKey(seed).sign(message).signature
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert verdict(key, signature, message)
    try:
        assert SigningKey(seed).sign(message) == signature
    except ValueError:
        assert message.startswith(b" " * 64)


@given(KEYS, NONCES, texts(), texts())
@settings(deadline=None)
def test_aad_is_told_from_plaintext(key: bytes, nonce: bytes, one: bytes, two: bytes) -> None:
    assume(one != two)
    ours = AeadKey(key)
    sealed = ours.seal(nonce, one, two)
    try:
        ours.open(nonce, sealed, one)
    except AuthenticationError:
        return
    raise AssertionError("opened under other associated data")
