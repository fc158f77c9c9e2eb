"""X25519 shares and secrets: small order, one use, closing. Bytes: ``tests/published``."""

from __future__ import annotations

import pickle

import pytest

from sage_native import (
    AuthenticationError,
    EphemeralSecret,
    SessionStateError,
    StaticSecret,
    UsageError,
    X25519PublicKey,
)
from sage_native.keys import SharedSecret

P = 2**255 - 19
# u of the points of order 1, 2, 4 and 8 on the curve and its twist (RFC 7748 §6.1 asks to refuse
# what they give); each has a second spelling above p where it fits, and any top bit.
SMALL_ORDER_U = [
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P,
    P + 1,
]
SMALL_ORDER = [(u | top).to_bytes(32, "little") for u in SMALL_ORDER_U for top in (0, 1 << 255)]


@pytest.mark.parametrize("share", SMALL_ORDER)
def test_small_order_shares_are_refused(share: bytes) -> None:
    for secret in (StaticSecret(), EphemeralSecret()):
        with pytest.raises(AuthenticationError, match="small order"):
            secret.exchange(X25519PublicKey(share))


@pytest.mark.parametrize("share", SMALL_ORDER[:2])
def test_a_static_secret_outlives_a_refusal_and_an_ephemeral_one_does_not(share: bytes) -> None:
    static, ephemeral = StaticSecret(), EphemeralSecret()
    peer = StaticSecret().public_key
    for secret in (static, ephemeral):
        with pytest.raises(AuthenticationError):
            secret.exchange(X25519PublicKey(share))
    assert static.exchange(peer).danger_to_bytes()
    with pytest.raises(SessionStateError, match="this EphemeralSecret is closed or spent"):
        ephemeral.exchange(peer)


@pytest.mark.parametrize(
    "share", [bytes([9]) + bytes(31), b"\xff" * 32, (P + 9).to_bytes(32, "little")]
)
def test_odd_shares_that_contribute_are_accepted(share: bytes) -> None:
    assert any(StaticSecret().exchange(X25519PublicKey(share)).danger_to_bytes())


def test_both_sides_agree() -> None:
    static, ephemeral = StaticSecret(), EphemeralSecret.generate()
    here = static.exchange(ephemeral.public_key)
    there = ephemeral.exchange(static.public_key)
    assert here.danger_to_bytes() == there.danger_to_bytes()
    assert here.extract(b"salt").expand(b"", 32) == there.extract(b"salt").expand(b"", 32)


def test_an_ephemeral_secret_is_spent_by_use() -> None:
    secret, peer = EphemeralSecret(), StaticSecret().public_key
    share = secret.public_key
    secret.exchange(peer)
    assert secret.closed
    with pytest.raises(SessionStateError, match="this EphemeralSecret is closed or spent"):
        secret.exchange(peer)
    assert secret.public_key == share


def test_an_ephemeral_secret_has_no_way_in_or_out() -> None:
    assert not {"from_bytes", "to_bytes", "from_pem", "to_pem"} & set(dir(EphemeralSecret))
    with pytest.raises(TypeError):
        EphemeralSecret(bytes(32))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="cannot create"):
        SharedSecret()


def test_clamping_happens_in_use_not_in_storage() -> None:
    low, high = (
        StaticSecret(b"\xf8" + bytes(30) + b"\x40"),
        StaticSecret(b"\xff" + bytes(30) + b"\x40"),
    )
    assert low.public_key == high.public_key
    assert low.to_bytes() != high.to_bytes()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_lengths(length: int) -> None:
    with pytest.raises(UsageError, match=f"X25519 public key must be 32 bytes long, not {length}"):
        X25519PublicKey(bytes(length))
    with pytest.raises(UsageError, match=f"X25519 secret must be 32 bytes long, not {length}"):
        StaticSecret(bytes(length))


def test_shares_compare_by_value() -> None:
    share = StaticSecret().public_key
    same = X25519PublicKey.from_bytes(share.to_bytes())
    assert (share == same, hash(share) == hash(same)) == (True, True)
    assert share != StaticSecret().public_key
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(share, protocol))  # noqa: S301 - our own
        assert copy == share
        assert type(copy) is X25519PublicKey


def test_secrets_agree_with_shares_alone() -> None:
    with pytest.raises(TypeError):
        StaticSecret().exchange(bytes(32))  # type: ignore[arg-type]


def test_closing() -> None:
    static, peer = StaticSecret(), StaticSecret().public_key
    share = static.public_key
    with static:
        static.exchange(peer)
    assert static.closed
    assert static.public_key == share
    for use in (static.to_bytes, lambda: static.exchange(peer)):
        with pytest.raises(SessionStateError, match="this StaticSecret is closed or spent"):
            use()
