"""Rows 1, 2, 4 and 6: Ed25519 over 256 bytes.

Verification is of keys not seen before: both sides start from the 32 raw bytes of the key and take
the next of `KEY_COUNT` keys each time. The signing key is kept by both.
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
from sage_native.keys import SigningKey, VerifyingKey, verify_many

if TYPE_CHECKING:
    from benches.ratios.sides import Prepare

SEED = bytes(range(32))
MESSAGE = bytes(range(256))
KEY_COUNT = 1024
SIGN_BATCH_LEN = 64


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

ROWS = (
    Row(1, _SIGN, "pyca", lambda: (our_sign(), _pyca_sign()), 3.5, 4.5),
    Row(1, _SIGN, "PyNaCl", lambda: (our_sign(), _nacl_sign()), standing="beside"),
    Row(2, _VERIFY, "pyca", lambda: (_our_verify(), _pyca_verify()), 2.8, 4.2),
    Row(2, _VERIFY, "PyNaCl", lambda: (_our_verify(), _nacl_verify()), standing="beside"),
    Row(
        4,
        f"Ed25519 verify, batch of {KEY_COUNT:,}, distinct cold keys",
        "pyca",
        lambda: (_our_verify_many(), _pyca_verify()),
        4,
        13,
        "next",
    ),
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
