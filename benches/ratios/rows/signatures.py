"""Rows 1 to 6: Ed25519 over 256 bytes.

In rows 2 and 4 verification is of keys not seen before: both sides start from the 32 raw bytes of
the key and take the next of `KEY_COUNT` keys each time. In rows 3 and 5 keys are hot: both sides
keep their key objects, and our cache has their tables. The signing key is kept by both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import nacl.signing
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from benches.ratios.sides import Row, Side, always, in_turn
from sage_native.keys import SigningKey, VerifyingKey, VerifyingKeyCache, verify_many

if TYPE_CHECKING:
    from benches.ratios.sides import Prepare, Standing

SEED = bytes(range(32))
MESSAGE = bytes(range(256))
KEY_COUNT = 1024
SIGN_BATCH_LEN = 64
HOT_BATCH_LEN = 64
MANY_HOT_COUNT = 1024
# Valid signatures after which the cache builds a table.
PROMOTED_AFTER = 3
TABLE = "24 KiB a key"
"""What the table of a hot key takes; what it costs to build stands beside, as a row."""


@dataclass(frozen=True)
class Signed:
    """One signature that verifies under a key of its own."""

    key: bytes
    signature: bytes
    message: bytes


@cache
def signed_messages() -> tuple[Signed, ...]:
    """Return `KEY_COUNT` signed messages of 256 bytes, every key and message another."""
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, KEY_COUNT + 1)]
    messages = [number.to_bytes(2, "big") + MESSAGE[2:] for number in range(KEY_COUNT)]
    return tuple(
        Signed(key.verifying_key_bytes, key.sign(message), message)
        for key, message in zip(keys, messages, strict=True)
    )


def our_sign() -> Side:
    """Sign with a kept key."""
    return Side(SigningKey(SEED).sign, always(MESSAGE))


def _pyca_sign() -> Side:
    return Side(Ed25519PrivateKey.from_private_bytes(SEED).sign, always(MESSAGE))


def _nacl_sign() -> Side:
    sign = nacl.signing.SigningKey(SEED).sign

    def call(message: bytes) -> bytes:
        return sign(message).signature

    return Side(call, always(MESSAGE))


def _our_verify() -> Side:
    def call(key: bytes, signature: bytes, message: bytes) -> None:
        VerifyingKey(key).verify(signature, message)

    return Side(call, _next_signed())


def _pyca_verify() -> Side:
    load = Ed25519PublicKey.from_public_bytes

    def call(key: bytes, signature: bytes, message: bytes) -> None:
        load(key).verify(signature, message)

    return Side(call, _next_signed())


def _nacl_verify() -> Side:
    load = nacl.signing.VerifyKey

    def call(key: bytes, signature: bytes, message: bytes) -> None:
        load(key).verify(message, signature)

    return Side(call, _next_signed())


def _our_verify_many() -> Side:
    cases = signed_messages()
    return Side(
        verify_many,
        always(
            [one.key for one in cases],
            [one.signature for one in cases],
            [one.message for one in cases],
        ),
        operation_count=len(cases),
        seen=lambda verdicts: None if verdicts.all() else verdicts.tolist(),
    )


def _hot(count: int) -> tuple[VerifyingKeyCache, tuple[Signed, ...], list[VerifyingKey]]:
    """Return a cache that has tables for so many keys."""
    cases = signed_messages()[:count]
    keys = [VerifyingKey(one.key) for one in cases]
    cache = VerifyingKeyCache()
    for key, one in zip(keys, cases, strict=True):
        cache.register(key)
        for _ in range(PROMOTED_AFTER):
            cache.verify(key, one.signature, one.message)
    assert cache.statistics().expanded == count
    return cache, cases, keys


def _our_verify_hot() -> Side:
    cache, (one,), (key,) = _hot(1)
    return Side(cache.verify, always(key, one.signature, one.message))


def _pyca_verify_hot() -> Side:
    one = signed_messages()[0]
    verify = Ed25519PublicKey.from_public_bytes(one.key).verify
    return Side(verify, always(one.signature, one.message))


def _nacl_verify_hot() -> Side:
    one = signed_messages()[0]
    verify = nacl.signing.VerifyKey(one.key).verify
    return Side(
        verify,
        always(one.message, one.signature),
        seen=lambda message: None if message else message,
    )


def _our_expand() -> Side:
    key = VerifyingKey(signed_messages()[0].key)
    return Side(key.expand, always(), seen=lambda key: None if key.is_expanded else key)


def _our_verify_many_hot(count: int) -> Side:
    cache, cases, keys = _hot(count)
    return Side(
        cache.verify_many,
        always(keys, [one.signature for one in cases], [one.message for one in cases]),
        operation_count=count,
        seen=lambda verdicts: None if verdicts.all() else verdicts.tolist(),
    )


def _pyca_verify_kept(count: int) -> Side:
    cases = signed_messages()[:count]
    keys = [Ed25519PublicKey.from_public_bytes(one.key) for one in cases]

    def call(key: Ed25519PublicKey, signature: bytes, message: bytes) -> None:
        key.verify(signature, message)

    choices = [(key, one.signature, one.message) for key, one in zip(keys, cases, strict=True)]
    return Side(call, in_turn(choices))


def _our_sign_many() -> Side:
    messages = [one.message for one in signed_messages()[:SIGN_BATCH_LEN]]
    return Side(
        SigningKey(SEED).sign_many,
        always(messages),
        operation_count=len(messages),
        seen=lambda signatures: signatures[0].tobytes(),
    )


def _pyca_sign_in_turn() -> Side:
    messages = [(one.message,) for one in signed_messages()[:SIGN_BATCH_LEN]]
    return Side(Ed25519PrivateKey.from_private_bytes(SEED).sign, in_turn(messages))


def _next_signed() -> Prepare:
    return in_turn([(one.key, one.signature, one.message) for one in signed_messages()])


_SIGN, _VERIFY = "Ed25519 sign, 256 B", "Ed25519 verify, key not seen before"
_HOT = f"Ed25519 verify, hot key (table cached, {TABLE})"
_EXPAND = f"Ed25519 table of a hot key, built once ({TABLE}), against one verification"


def _hot_batch(count: int, *, standing: Standing = "due") -> Row:
    return Row(
        5,
        f"Ed25519 verify, batch of {count:,}, distinct hot keys (tables cached, {TABLE})",
        "pyca",
        lambda: (_our_verify_many_hot(count), _pyca_verify_kept(count)),
        12 if standing == "due" else None,
        30 if standing == "due" else None,
        standing,
    )


ROWS = (
    Row(1, _SIGN, "pyca", lambda: (our_sign(), _pyca_sign()), 3.5, 4.5),
    Row(1, _SIGN, "PyNaCl", lambda: (our_sign(), _nacl_sign()), standing="beside"),
    Row(2, _VERIFY, "pyca", lambda: (_our_verify(), _pyca_verify()), 2.8, 4.2),
    Row(2, _VERIFY, "PyNaCl", lambda: (_our_verify(), _nacl_verify()), standing="beside"),
    Row(3, _HOT, "pyca", lambda: (_our_verify_hot(), _pyca_verify_hot()), 8, 15),
    Row(3, _HOT, "PyNaCl", lambda: (_our_verify_hot(), _nacl_verify_hot()), standing="beside"),
    Row(3, _EXPAND, "pyca", lambda: (_our_expand(), _pyca_verify_hot()), standing="beside"),
    Row(
        4,
        f"Ed25519 verify, batch of {KEY_COUNT:,}, distinct cold keys",
        "pyca",
        lambda: (_our_verify_many(), _pyca_verify()),
        4,
        13,
        "next",
    ),
    _hot_batch(HOT_BATCH_LEN),
    _hot_batch(MANY_HOT_COUNT, standing="beside"),
    Row(
        6,
        f"Ed25519 sign, batch of {SIGN_BATCH_LEN}",
        "pyca",
        lambda: (_our_sign_many(), _pyca_sign_in_turn()),
        3.9,
        9,
        "next",
    ),
)
