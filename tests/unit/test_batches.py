"""A batch is its items, one by one; and a key may be closed while others use it."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_native import (
    AeadKey,
    AuthenticationError,
    EphemeralSecret,
    Prk,
    SessionStateError,
    SigningKey,
    StaticSecret,
    VerifyingKey,
    verify_many,
)
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNING_KEYS = [SigningKey(bytes([number]) * 32) for number in range(4)]
NONCES = st.binary(min_size=12, max_size=12)
MESSAGES = st.binary(max_size=200)


def single_verdict(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        return VerifyingKey(key).is_valid(signature, message)
    except UsageError:
        return False


def single_open(key: AeadKey, nonce: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    try:
        return key.open(nonce, sealed, aad)
    except AuthenticationError:
        return None


@given(st.lists(MESSAGES, max_size=8))
def test_sign_many_is_sign(messages: list[bytes]) -> None:
    key = SIGNING_KEYS[0]
    expected = [key.sign(message) for message in messages]
    assert [row.tobytes() for row in key.sign_many(messages)] == expected


@st.composite
def signed(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A signature that verifies, or one that is wrong in one of many ways."""
    key, other = draw(st.sampled_from(SIGNING_KEYS)), draw(st.sampled_from(SIGNING_KEYS))
    message = draw(MESSAGES)
    signature = draw(st.sampled_from([key.sign(message), other.sign(message), key.sign(b"")]))
    at = draw(st.integers(0, 63))
    flipped = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
    return (
        draw(st.sampled_from([key.verifying_key_bytes] * 3 + [bytes(32), b"\xff" * 32, b"short"])),
        draw(st.sampled_from([signature] * 3 + [flipped, signature[:-1], b""])),
        message,
    )


@given(st.lists(signed(), max_size=12))
@settings(deadline=None)
def test_verify_many_is_is_valid(cases: list[tuple[bytes, bytes, bytes]]) -> None:
    keys, signatures, messages = ([case[field] for case in cases] for field in range(3))
    expected = [single_verdict(*case) for case in cases]
    assert verify_many(keys, signatures, messages).tolist() == expected


@given(st.lists(st.tuples(NONCES, MESSAGES, MESSAGES), max_size=8))
def test_seal_many_is_seal(cases: list[tuple[bytes, bytes, bytes]]) -> None:
    key = AeadKey(bytes(32))
    nonces, plaintexts, aads = ([case[field] for case in cases] for field in range(3))
    assert key.seal_many(nonces, plaintexts, aads) == [key.seal(*case) for case in cases]


@given(st.lists(st.tuples(NONCES, MESSAGES, MESSAGES, st.booleans()), max_size=8))
def test_open_many_is_open(cases: list[tuple[bytes, bytes, bytes, bool]]) -> None:
    key = AeadKey(bytes(32))
    nonces, aads = [case[0] for case in cases], [case[2] for case in cases]
    sealed = [
        key.seal(nonce, plaintext, aad + (b"" if good else b"!"))
        for nonce, plaintext, aad, good in cases
    ]
    opened = key.open_many(nonces, sealed, aads)
    assert opened == [single_open(key, *case) for case in zip(nonces, sealed, aads, strict=True)]
    assert [item is not None for item in opened] == [case[3] for case in cases]


@given(st.data(), st.integers(0, 6), st.integers(0, 80))
def test_arrays_are_lists_of_equal_length(data: st.DataObject, count: int, length: int) -> None:
    key = AeadKey(bytes(32))
    nonces = data.draw(st.lists(NONCES, min_size=count, max_size=count))
    exact = st.binary(min_size=length, max_size=length)
    plaintexts = data.draw(st.lists(exact, min_size=count, max_size=count))
    good = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    sealed = key.seal_many(nonces, plaintexts)
    rows = key.seal_many(
        nonces, np.frombuffer(b"".join(plaintexts), np.uint8).reshape(count, length)
    )
    assert [row.tobytes() for row in rows] == sealed
    changed = rows.copy()
    changed[:, -1] ^= ~np.array(good, np.bool_)
    opened, verdicts = key.open_many(nonces, changed)
    assert verdicts.tolist() == good
    expected = [item if ok else bytes(length) for item, ok in zip(plaintexts, good, strict=True)]
    assert [row.tobytes() for row in opened] == expected


# Closing while in use.


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads change places as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def aead_uses(key: AeadKey) -> list[Callable[[], object]]:
    nonce, large = bytes(12), bytes(1 << 23)
    sealed = key.seal(nonce, b"message")
    out = [bytearray(1 << 24) for _ in range(2)]
    return [
        lambda: key.seal(nonce, b"message") == sealed,
        lambda: key.open(nonce, sealed) == b"message",
        lambda: key.seal_many([nonce] * 9, [b"message"] * 9) == [sealed] * 9,
        lambda: len(key.seal(nonce, large)) == len(large) + 16,
        lambda: key.seal_into(nonce, large, out[0]) == len(large) + 16,
        lambda: key.open_many([nonce] * 9, [sealed] * 9) == [b"message"] * 9,
    ]


def signing_uses(key: SigningKey) -> list[Callable[[], object]]:
    signature, seed = key.sign(b"message"), key.to_bytes()
    return [
        lambda: key.sign(b"message") == signature,
        lambda: key.sign_many([b"message"] * 40)[39].tobytes() == signature,
        lambda: key.to_bytes() == seed,
        lambda: len(key.sign(bytes(1 << 21))) == 64,
    ]


def static_uses(secret: StaticSecret) -> list[Callable[[], object]]:
    peer = StaticSecret().public_key
    shared, raw = secret.exchange(peer).danger_to_bytes(), secret.to_bytes()
    return [
        lambda: secret.exchange(peer).danger_to_bytes() == shared,
        lambda: secret.to_bytes() == raw,
    ]


def prk_uses(prk: Prk) -> list[Callable[[], object]]:
    okm = prk.expand(b"info", 8160)
    return [lambda: prk.expand(b"info", 8160) == okm, lambda: prk.expand(b"info", 9) == okm[:9]]


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("kind", ["aead", "signing", "static", "prk"])
def test_each_call_works_or_finds_the_key_closed(kind: str) -> None:
    for attempt in range(8):
        secret: AeadKey | SigningKey | StaticSecret | Prk
        if kind == "aead":
            secret = AeadKey()
            uses = aead_uses(secret)
        elif kind == "signing":
            secret = SigningKey()
            uses = signing_uses(secret)
        elif kind == "static":
            secret = StaticSecret()
            uses = static_uses(secret)
        else:
            secret = Prk.extract(b"ikm")
            uses = prk_uses(secret)
        assert hammer(uses, secret.close, attempt * 0.003) == {True, "closed"}
        assert secret.closed


def hammer(
    uses: list[Callable[[], object]], close: Callable[[], None], after_s: float
) -> set[object]:
    """Everything that the uses gave, each in its thread until it is refused."""
    results: set[object] = set()
    started = threading.Barrier(len(uses) + 1)

    def use_until_closed(use: Callable[[], object]) -> None:
        results.add(use())
        started.wait()
        while True:
            try:
                results.add(use())
            except SessionStateError:
                results.add("closed")
                return
            except BaseException as error:
                results.add(repr(error))
                raise

    threads = [threading.Thread(target=use_until_closed, args=(use,)) for use in uses]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(after_s)
    close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return results


@pytest.mark.usefixtures("eager_switching")
def test_an_ephemeral_secret_is_spent_exactly_once() -> None:
    peer = StaticSecret().public_key
    for _ in range(50):
        secret, outcomes, started = EphemeralSecret(), list[bool](), threading.Barrier(4)

        def spend(
            secret: EphemeralSecret = secret,
            outcomes: list[bool] = outcomes,
            started: threading.Barrier = started,
        ) -> None:
            started.wait()
            try:
                secret.exchange(peer)
            except SessionStateError:
                outcomes.append(False)
            else:
                outcomes.append(True)

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [False, False, False, True]


def test_rows_of_nothing_may_not_be_without_number() -> None:
    """An array (2^60, 0) takes no memory; believing its count would."""
    endless = np.empty((1 << 60, 0), np.uint8)
    key = SigningKey.generate()
    with pytest.raises(UsageError):
        key.sign_many(endless)
    with pytest.raises(UsageError):
        verify_many(key.verifying_key, endless, endless)
    with pytest.raises(UsageError):
        verify_many(endless, endless, endless)
