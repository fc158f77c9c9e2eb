"""A batch on several threads is the batch on one, wherever it is cut."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from sage_native import SessionStateError, SigningKey, UsageError, VerifyingKeyCache, verify_many

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = SigningKey(bytes(range(32)))
PUBLIC = KEY.verifying_key.expand()
# Of about 10 ms: five shares, were there as many threads.
COUNT = 336
MESSAGES = [number.to_bytes(2, "big") for number in range(COUNT)]
SIGNATURES = [row.tobytes() for row in KEY.sign_many(MESSAGES)]
ALL_THREADS = (2, 3, 5, 256, None)


@pytest.mark.parametrize("threads", ALL_THREADS)
def test_one_wrong_signature_at_each_place(threads: int | None) -> None:
    """The edges of shares are among the places, wherever they are."""
    for wrong in range(COUNT):
        signatures = SIGNATURES.copy()
        signatures[wrong] = SIGNATURES[wrong - 1]
        verdicts = verify_many(PUBLIC, signatures, MESSAGES, threads=threads)
        assert np.flatnonzero(~verdicts).tolist() == [wrong]


Batch: TypeAlias = tuple[list[bytes], list[bytes], list[bytes]]


def spoilt() -> tuple[Batch, list[bool]]:
    """Cold keys, of which some, and some signatures, are wrong or malformed; and the verdicts."""
    agents = [SigningKey(number.to_bytes(32, "big")) for number in range(1, COUNT + 1)]
    keys = [agent.verifying_key_bytes for agent in agents]
    signatures = [agent.sign(text) for agent, text in zip(agents, MESSAGES, strict=True)]
    wrong = range(0, COUNT, 7), range(3, COUNT, 50), range(5, COUNT, 60), range(11, COUNT, 70)
    for place in wrong[0]:
        signatures[place] = signatures[place - 1]
    for place in wrong[1]:
        keys[place] = bytes(32)
    for place in wrong[2]:
        keys[place] = b"short"
    for place in wrong[3]:
        signatures[place] = b""
    places = {place for places in wrong for place in places}
    return (keys, signatures, MESSAGES), [place not in places for place in range(COUNT)]


@pytest.mark.parametrize("threads", ALL_THREADS)
def test_every_form_gives_the_same_verdicts(threads: int | None) -> None:
    batch, expected = spoilt()
    assert verify_many(*batch).tolist() == expected
    assert verify_many(*batch, threads=threads).tolist() == expected
    whole = [at for at in range(COUNT) if len(batch[0][at]) == 32 and len(batch[1][at]) == 64]
    arrays = [np.array([[*items[at]] for at in whole], np.uint8) for items in batch]
    wanted = [expected[at] for at in whole]
    assert verify_many(*arrays, threads=threads).tolist() == wanted
    mixed = (arrays[0], [batch[1][at] for at in whole], arrays[2])
    assert verify_many(*mixed, threads=threads).tolist() == wanted


@pytest.mark.parametrize("threads", ALL_THREADS)
def test_a_cache_on_several_threads(threads: int | None) -> None:
    batch, expected = spoilt()
    cache = VerifyingKeyCache()
    for agent in (SigningKey(number.to_bytes(32, "big")) for number in range(1, COUNT + 1, 2)):
        cache.register(agent.verifying_key)
    for _ in range(4):
        assert cache.verify_many(*batch, threads=threads).tolist() == expected
    statistics = cache.statistics()
    promoted = sum(expected[::2])
    assert statistics.expanded == statistics.promotions == promoted
    assert statistics.hits == promoted


def test_one_key_that_many_shares_promote_gets_one_table() -> None:
    cache = VerifyingKeyCache()
    cache.register(KEY.verifying_key)
    keys = [KEY.verifying_key] * COUNT
    for _ in range(2):
        assert cache.verify_many(keys, SIGNATURES, MESSAGES, threads=5).all()
    assert (cache.statistics().expanded, cache.statistics().promotions) == (1, 1)


@pytest.mark.parametrize("threads", ALL_THREADS)
def test_signatures_are_the_same(threads: int | None) -> None:
    # Lengths that make shares of very different numbers, one longer than all others together.
    uneven = [bytes([1 + at % 9]) * (at * 37 % 9_000) for at in range(COUNT)]
    uneven[200] = bytes(8 << 20)
    for messages in (MESSAGES, uneven):
        expected = [KEY.sign(message) for message in messages]
        signatures = KEY.sign_many(messages, threads=threads)
        assert [row.tobytes() for row in signatures] == expected
        assert verify_many(PUBLIC, signatures, messages, threads=threads).all()
    rows = np.array([[*message] for message in MESSAGES], np.uint8)
    assert KEY.sign_many(rows, threads=threads).tobytes() == b"".join(SIGNATURES)


def test_nothing_is_signed_unless_everything_may_be() -> None:
    for place in (0, COUNT // 2, COUNT - 1):
        messages = MESSAGES.copy()
        messages[place] = b" " * 64
        with pytest.raises(UsageError, match="must not begin with 64 spaces"):
            KEY.sign_many(messages, threads=3)


def calls() -> list[Callable[..., Any]]:
    cache = VerifyingKeyCache()
    return [
        lambda **threads: KEY.sign_many([], **threads),
        lambda **threads: verify_many([], [], [], **threads),
        lambda **threads: cache.verify_many([], [], [], **threads),
    ]


@pytest.mark.parametrize("call", calls())
def test_numbers_of_threads(call: Callable[..., Any]) -> None:
    for threads in (1, 2, 256, None, np.int64(4)):
        assert len(call(threads=threads)) == 0
    for nonsense in (0, -1, 257, 1 << 64, -(1 << 70)):
        with pytest.raises(UsageError, match=rf"1 to 256, or None for one a .*, not {nonsense}\b"):
            call(threads=nonsense)
    for kind in ("2", 2.0, b"", [2]):
        with pytest.raises(TypeError):
            call(threads=kind)


def test_batches_on_threads_from_threads_while_the_key_is_closed() -> None:
    key = SigningKey()
    expected = key.sign_many(MESSAGES).tobytes()
    outcomes: list[bool | str] = []
    started = threading.Barrier(4, timeout=60)

    def work() -> None:
        assert key.sign_many(MESSAGES, threads=3).tobytes() == expected
        started.wait()
        try:
            while True:
                outcomes.append(key.sign_many(MESSAGES, threads=3).tobytes() == expected)
        except SessionStateError:
            outcomes.append("closed")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    started.wait()
    key.close()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    assert outcomes.count("closed") == 3
    assert False not in outcomes
