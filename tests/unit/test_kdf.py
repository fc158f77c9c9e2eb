"""HKDF-SHA256: its limits and its kept PRK. Bytes: ``tests/published``."""

from __future__ import annotations

import numpy as np
import pytest

from sage_native import Prk, SessionStateError, StaticSecret, UsageError, hkdf_sha256
from tests.doors.derivation import hkdf
from tests.reference.primitives import hmac_sha256

IKM, SALT, INFO = b"input keying material", b"salt", b"info"
MAX_LEN = 255 * 32


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, MAX_LEN - 1, MAX_LEN])
def test_output_of_every_length_is_a_prefix_of_the_longest(length: int) -> None:
    okm = hkdf(IKM, SALT, INFO, length)
    assert len(okm) == length
    assert hkdf_sha256(IKM, salt=SALT, info=INFO, length=MAX_LEN).startswith(okm)


def test_the_last_block_is_that_of_rfc_5869() -> None:
    prk = hmac_sha256(SALT, IKM)
    block = b""
    for counter in range(1, 256):
        block = hmac_sha256(prk, block, INFO, bytes([counter]))
    assert hkdf_sha256(IKM, salt=SALT, info=INFO, length=MAX_LEN).endswith(block)


@pytest.mark.parametrize("length", [MAX_LEN + 1, 2**31, 2**63])
def test_too_long(length: int) -> None:
    match = f"HKDF output may be at most 8160 bytes long, not {length}"
    with pytest.raises(UsageError, match=match):
        hkdf_sha256(IKM, length=length)
    with pytest.raises(UsageError, match=match):
        Prk.extract(IKM).expand(INFO, length)


@pytest.mark.parametrize("length", [-1, 2**64, 2**200])
def test_lengths_beyond_the_machine_s(length: int) -> None:
    with pytest.raises((UsageError, OverflowError)):
        hkdf_sha256(IKM, length=length)
    with pytest.raises((UsageError, OverflowError)):
        Prk.extract(IKM).expand(INFO, length)


def test_no_salt_is_32_zeros() -> None:
    okm = hkdf_sha256(IKM, length=32)
    assert hkdf_sha256(IKM, salt=None, info=None, length=32) == okm
    assert hkdf_sha256(IKM, salt=b"", info=b"", length=32) == okm
    assert hkdf_sha256(IKM, salt=bytes(32), length=32) == okm


@pytest.mark.parametrize("length", [63, 64, 65, 1000])
def test_salts_around_the_block(length: int) -> None:
    salt = bytes(range(256)) * 4
    prk = Prk.from_bytes(hmac_sha256(salt[:length], IKM))
    assert hkdf(IKM, salt[:length], INFO, 32) == prk.expand(INFO, 32)


@pytest.mark.parametrize(
    "kind", [bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)]
)
def test_any_buffer(kind: type[bytearray]) -> None:
    expected = hkdf_sha256(IKM, salt=SALT, info=INFO, length=40)
    assert hkdf_sha256(kind(IKM), salt=kind(SALT), info=kind(INFO), length=40) == expected
    assert Prk.extract(kind(IKM), salt=kind(SALT)).expand(kind(INFO), 40) == expected


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_prk_has_32_bytes(length: int) -> None:
    with pytest.raises(UsageError, match=f"PRK must be 32 bytes long, not {length}"):
        Prk.from_bytes(bytes(length))


def test_prks_have_no_other_constructor() -> None:
    with pytest.raises(TypeError, match="cannot create"):
        Prk()


def test_arguments_have_names() -> None:
    with pytest.raises(TypeError):
        hkdf_sha256(IKM, 32)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Prk.extract(IKM, SALT)  # type: ignore[call-arg]


def test_closing() -> None:
    shared = StaticSecret().exchange(StaticSecret().public_key)
    prk = shared.extract(SALT)
    for secret in (prk, shared):
        secret.close()
        secret.close()
        assert secret.closed
    for use in (
        lambda: prk.expand(INFO, 32),
        lambda: prk.expand(INFO, MAX_LEN + 1),
        shared.extract,
        shared.danger_to_bytes,
    ):
        with pytest.raises(SessionStateError, match="is closed or spent"):
            use()
