"""Expanded verifying keys, and the cache that expands them."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sage_native import (
    AuthenticationError,
    SigningKey,
    UsageError,
    VerifyingKey,
    VerifyingKeyCache,
    verify_many,
)

MESSAGE = b"message"


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(bytes(range(32)))


@pytest.fixture
def cache() -> VerifyingKeyCache:
    return VerifyingKeyCache(budget_bytes=1 << 20)


# Expanded keys.


def test_an_expanded_key_is_the_same_key(key: SigningKey) -> None:
    plain = key.verifying_key
    expanded = plain.expand()
    assert type(expanded) is VerifyingKey
    assert (expanded.is_expanded, plain.is_expanded) == (True, False)
    assert expanded == plain
    assert hash(expanded) == hash(plain)
    assert expanded.to_bytes() == plain.to_bytes()
    assert VerifyingKey(expanded).is_expanded
    assert expanded.expand().is_expanded
    assert not pickle.loads(pickle.dumps(expanded)).is_expanded  # noqa: S301 - our own


def test_a_subclass_expands_to_itself(key: SigningKey) -> None:
    class Known(VerifyingKey):
        __slots__ = ()

    assert type(Known(key.verifying_key_bytes).expand()) is Known


def test_a_key_off_the_curve_has_no_table(cache: VerifyingKeyCache) -> None:
    off = VerifyingKey(bytes([2]) + bytes(31))
    with pytest.raises(UsageError, match="not a point of the curve"):
        off.expand()
    with pytest.raises(UsageError, match="not a point of the curve"):
        cache.register(off)
    assert cache.is_valid(off, bytes(64), MESSAGE) is False


def test_an_expanded_key_verifies(key: SigningKey) -> None:
    expanded, signature = key.verifying_key.expand(), key.sign(MESSAGE)
    expanded.verify(signature, MESSAGE)
    assert expanded.is_valid(bytearray(signature), memoryview(MESSAGE))
    assert not expanded.is_valid(signature[:63], MESSAGE)
    with pytest.raises(AuthenticationError, match=r"^signature does not verify$"):
        expanded.verify(signature, b"massage")


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 65, 200])
def test_batches_of_expanded_and_plain_keys(count: int) -> None:
    keys = [SigningKey(number.to_bytes(32, "big")) for number in range(1, count + 1)]
    messages = [bytes([number % 256]) * number for number in range(count)]
    signatures = [one.sign(text) for one, text in zip(keys, messages, strict=True)]
    mixed = [
        one.verifying_key.expand() if at % 5 else one.verifying_key for at, one in enumerate(keys)
    ]
    for bad in {0, count // 2, count - 1} & set(range(count)):
        signatures[bad] = bytes(32) + signatures[bad][32:]
    expected = [one.is_valid(*rest) for one, *rest in zip(mixed, signatures, messages, strict=True)]
    assert expected.count(False) == len({0, count // 2, count - 1} & set(range(count)))
    assert verify_many(mixed, signatures, messages).tolist() == expected


# The cache.


def test_three_valid_signatures_promote(cache: VerifyingKeyCache, key: SigningKey) -> None:
    known, signature = key.verifying_key, key.sign(MESSAGE)
    assert cache.register(known) is True
    assert cache.register(known) is False
    for _ in range(3):
        assert cache.statistics().expanded == 0
        assert not cache.is_valid(known, signature, b"massage")
        cache.verify(known, signature, MESSAGE)
    cache.verify(known, signature, MESSAGE)
    statistics = cache.statistics()
    assert (statistics.registered, statistics.expanded, statistics.promotions) == (1, 1, 1)
    assert (statistics.decoded_hits, statistics.hits, statistics.misses) == (6, 1, 0)
    assert 24 << 10 <= statistics.used_bytes <= 25 << 10
    assert statistics.budget_bytes == cache.budget_bytes == 1 << 20
    with pytest.raises(AuthenticationError, match=r"^signature does not verify$"):
        cache.verify(known, signature, b"massage")
    with pytest.raises(AuthenticationError):
        cache.verify(known, signature[:63], MESSAGE)


def test_made_up_keys_leave_nothing(cache: VerifyingKeyCache) -> None:
    for _ in range(50):
        stranger = SigningKey()
        signature = stranger.sign(MESSAGE)
        for _ in range(4):
            cache.verify(stranger.verifying_key, signature, MESSAGE)
    statistics = cache.statistics()
    assert (statistics.registered, statistics.used_bytes, statistics.promotions) == (0, 0, 0)
    assert statistics.misses == 200


def test_revoking_is_immediate(cache: VerifyingKeyCache, key: SigningKey) -> None:
    known, signature = key.verifying_key, key.sign(MESSAGE)
    cache.register(known)
    for _ in range(5):
        cache.verify(known, signature, MESSAGE)
    assert cache.revoke(known) is True
    assert cache.revoke(known) is False
    assert cache.statistics().used_bytes == 0
    hits = cache.statistics().hits
    assert cache.is_valid(known, signature, MESSAGE)
    assert cache.statistics().hits == hits


def test_the_budget_holds(key: SigningKey) -> None:
    cache = VerifyingKeyCache(budget_bytes=60_000)
    for _ in range(40):
        agent = SigningKey()
        cache.register(agent.verifying_key)
        for _ in range(3):
            cache.verify(agent.verifying_key, agent.sign(MESSAGE), MESSAGE)
        assert cache.statistics().used_bytes <= 60_000
    # Room for keys alone: a table that was not used again went.
    assert (cache.statistics().expanded, cache.statistics().evictions) == (1, 1)
    small = VerifyingKeyCache(budget_bytes=10)
    with pytest.raises(UsageError, match="less than one key"):
        small.register(key.verifying_key)


def test_batches_go_through_the_cache(cache: VerifyingKeyCache) -> None:
    agents = [SigningKey() for _ in range(20)]
    for agent in agents[::2]:
        cache.register(agent.verifying_key)
    raw = [agent.verifying_key_bytes for agent in agents]
    signatures = [agent.sign(MESSAGE) for agent in agents]
    signatures[3], signatures[4], signatures[5] = bytes(64), bytes(64), b""
    expected = [at not in {3, 4, 5} for at in range(20)]
    for form in (
        raw,
        [agent.verifying_key for agent in agents],
        np.array([[*one] for one in raw], np.uint8),
    ):
        assert cache.verify_many(form, signatures, [MESSAGE] * 20).tolist() == expected
    assert cache.statistics().expanded == 9
    assert cache.verify_many(raw, signatures, [MESSAGE] * 20).tolist() == expected
    one = agents[0]
    many = cache.verify_many(one.verifying_key, [one.sign(MESSAGE)] * 9, [MESSAGE] * 9)
    assert many.all()
    assert not many.flags.writeable
    with pytest.raises(UsageError, match="must be as many as"):
        cache.verify_many(raw, signatures, [MESSAGE])


def test_threads_share_it(cache: VerifyingKeyCache) -> None:
    agents = [SigningKey() for _ in range(8)]
    signatures = [agent.sign(MESSAGE) for agent in agents]

    def work(first: int) -> bool:
        verdicts = []
        for at in range(first, first + 80):
            agent = agents[at % 8]
            cache.register(agent.verifying_key)
            verdicts.append(cache.is_valid(agent.verifying_key, signatures[at % 8], MESSAGE))
            verdicts.append(
                not cache.is_valid(agent.verifying_key, signatures[at % 8 - 1], MESSAGE)
            )
            if at % 11 == 0:
                cache.revoke(agent.verifying_key)
        return all(verdicts)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    for agent in agents:
        cache.revoke(agent.verifying_key)
    assert cache.statistics().used_bytes == 0


def test_it_is_not_copied(cache: VerifyingKeyCache) -> None:
    assert repr(cache) == "VerifyingKeyCache(budget_bytes=1048576)"
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(cache)
    with pytest.raises(TypeError):
        cache.register(b"not a key")  # type: ignore[arg-type]
