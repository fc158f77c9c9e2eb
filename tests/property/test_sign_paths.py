"""Batches of signatures on every path that this processor has, against one by one and PyNaCl."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from sage_native import SigningKey, verify_many
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _take_curve25519_path,
)
from tests.published import files

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTHS = (0, 1, 63, 64, 65, 111, 112, 127, 128, 129, 1000, 100_000)


@pytest.fixture(params=_curve25519_paths(), autouse=True)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """A path that is taken; the fastest again afterwards."""
    _take_curve25519_path(request.param)
    yield request.param
    _take_curve25519_path(None)


def signatures_of(seed: bytes, messages: list[bytes]) -> list[bytes]:
    """Sign with PyNaCl."""
    _, secret = crypto_sign_seed_keypair(seed)
    return [crypto_sign(message, secret)[:64] for message in messages]


@pytest.mark.parametrize("seed", [bytes(32), bytes(range(32)), b"\xff" * 32])
def test_batches_of_every_length(seed: bytes) -> None:
    """Lanes that are full, lanes that are not, and what is left beside them."""
    draw = random.Random(seed)
    messages = [draw.randbytes(draw.choice(LENGTHS[:-1])) for _ in range(70)]
    expected = signatures_of(seed, messages)
    key = SigningKey(seed)
    for count in range(len(messages) + 1):
        signatures = key.sign_many(messages[:count])
        assert [row.tobytes() for row in signatures] == expected[:count]
    assert [key.sign(message) for message in messages] == expected


def test_messages_of_every_length_in_every_lane() -> None:
    key = SigningKey(b"L" * 32)
    for length in LENGTHS:
        message = b"m" * length
        signatures = key.sign_many([message] * 9)
        assert signatures.tobytes() == key.sign(message) * 9
    mixed = [bytes([100 + lane]) * length for lane in range(8) for length in LENGTHS]
    expected = signatures_of(b"L" * 32, mixed)
    assert [row.tobytes() for row in key.sign_many(mixed)] == expected
    assert [row.tobytes() for row in key.sign_many(mixed * 8, threads=3)] == expected * 8


def test_many_keys_and_nonces() -> None:
    """Two thousand nonces, each another."""
    draw = random.Random(8032)
    for _ in range(25):
        seed = draw.randbytes(32)
        messages = np.frombuffer(draw.randbytes(80 * 40), np.uint8).reshape(80, 40)
        key = SigningKey(seed)
        signatures = key.sign_many(messages)
        expected = signatures_of(seed, [row.tobytes() for row in messages])
        assert [row.tobytes() for row in signatures] == expected
        assert verify_many(key.verifying_key, signatures, messages).all()


def test_published_signatures_in_lanes() -> None:
    """djb's 1,024, each with a key of its own, in a batch that fills lanes and leaves one over."""
    lines = files.text("asymmetric/Ed25519/sign.input").splitlines()
    assert len(lines) == 1024
    for line in lines:
        secret, _, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        signatures = SigningKey(secret[:32]).sign_many([message] * 9)
        assert signatures.tobytes() == signed[:64] * 9
