"""Token buckets with a clock that the test holds."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from sage_native.exceptions import UsageError
from sage_native.gateway.limits import TokenBuckets


def test_a_burst_then_the_rate() -> None:
    buckets = TokenBuckets(2, 3)
    assert [buckets.take("a", 100.0) for _ in range(3)] == [0.0] * 3
    assert buckets.take("a", 100.0) == pytest.approx(0.5, abs=0.001)
    assert buckets.take("a", 100.25) == pytest.approx(0.25, abs=0.001)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) > 0.0


def test_refusals_do_not_push_the_debt_further() -> None:
    buckets = TokenBuckets(1, 1)
    assert buckets.take("a", 0.0) == 0.0
    for _ in range(1000):
        assert buckets.take("a", 0.0) == pytest.approx(1.0, abs=0.002)
    assert buckets.take("a", 1.0) == 0.0


def test_the_wait_that_is_named_is_enough() -> None:
    buckets = TokenBuckets(7, 5)
    now_s = 1e6
    for _ in range(500):
        wait_s = buckets.take("a", now_s)
        if wait_s:
            now_s += wait_s
            assert buckets.take("a", now_s) == 0.0


def test_keys_do_not_share() -> None:
    buckets = TokenBuckets(1, 1)
    keys = [f"did:example:{number}" for number in range(100)]
    assert sum(buckets.take(key, 5.0) == 0.0 for key in keys) >= 99
    assert sum(buckets.take(key.encode(), 100.0) == 0.0 for key in keys) >= 99


def test_a_batch_costs_its_length() -> None:
    buckets = TokenBuckets(10, 100)
    assert buckets.take("a", 0.0, 60) == 0.0
    assert buckets.take("a", 0.0, 60) == pytest.approx(2.0, abs=0.001)
    assert buckets.take("a", 0.0, 40) == 0.0
    assert buckets.take("a", 0.0, 0) == 0.0


def test_a_batch_above_the_burst_needs_a_full_bucket_and_is_paid_back() -> None:
    buckets = TokenBuckets(10, 100)
    assert buckets.take("a", 0.0, 1) == 0.0
    assert buckets.take("a", 0.0, 1000) > 0.0
    assert buckets.take("a", 0.1, 1000) == 0.0
    assert buckets.take("a", 0.1) == pytest.approx(90.1, abs=0.01)


def test_strangers_in_both_slots_share_a_bucket_and_nobody_gets_more() -> None:
    buckets = TokenBuckets(1, 5, slots=1)
    granted = sum(buckets.take(f"{number}", 0.0) == 0.0 for number in range(50))
    assert granted == 5


def test_few_are_hurt_by_many_strangers() -> None:
    """With one slot a key about one in 16 would be, with two it is about one in 70."""
    buckets = TokenBuckets(0.001, 1, slots=8192)
    for number in range(512):
        buckets.take(f"busy {number}", 0.0)
    hurt = sum(_is_hurt(buckets, f"new {number}") for number in range(500))
    assert hurt < 500 / 16 / 2


def _is_hurt(buckets: TokenBuckets, key: str) -> bool:
    before = buckets._full_at
    buckets._full_at = before.copy()
    try:
        return buckets.take(key, 0.0) > 0.0
    finally:
        buckets._full_at = before


def test_text_and_its_bytes_are_hashed_with_the_salt() -> None:
    one, two = TokenBuckets(1, 1), TokenBuckets(1, 1)
    for buckets in (one, two):
        buckets.take("a", 1.0)
    filled = [
        {slot for slot, at_s in enumerate(buckets._full_at) if at_s} for buckets in (one, two)
    ]
    assert filled[0] != filled[1]


def test_the_slots_stay_secret_when_pythons_hash_is_not() -> None:
    script = (
        "from sage_native.gateway.limits import TokenBuckets as T\n"
        "t = T(1, 1); t.take('victim', 1.0)\n"
        "print([slot for slot, at in enumerate(t._full_at) if at])\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 2


def test_a_worn_clock_loses_no_token() -> None:
    """A machine that has been up for a year, and a rate that is no binary fraction."""
    buckets = TokenBuckets(3, 30)
    assert all(buckets.take("a", 3.2e7) == 0.0 for _ in range(30))
    assert buckets.take("a", 3.2e7) > 0.0


@pytest.mark.parametrize(
    ("rate", "burst", "slots"),
    [
        (0, 1, 1),
        (-1, 1, 1),
        (math.inf, 1, 1),
        (math.nan, 1, 1),
        (1, 0, 1),
        (1, 1, 0),
        (1, 1, 2**25),
    ],
)
def test_what_is_out_of_range(rate: float, burst: int, slots: int) -> None:
    with pytest.raises(UsageError):
        TokenBuckets(rate, burst, slots)
