"""How many epochs a client may begin."""

from __future__ import annotations

import pytest

from sage_native.exceptions import RateLimitedError
from sage_native.sessions.pace import Pace


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_and_then_one_at_a_time() -> None:
    clock = Clock()
    pace = Pace(3, 30.0, clock=clock)
    for _ in range(3):
        pace.spend("a")
    for _ in range(2):
        with pytest.raises(RateLimitedError, match="has begun 3 epochs") as refused:
            pace.spend("a")
    assert refused.value.code == "rate_limited"
    pace.spend("b")
    clock.now_s += 9.99
    with pytest.raises(RateLimitedError):
        pace.spend("a")
    clock.now_s += 0.01
    pace.spend("a")
    with pytest.raises(RateLimitedError):
        pace.spend("a")
    clock.now_s += 25
    pace.spend("a")
    pace.spend("a")
    with pytest.raises(RateLimitedError):
        pace.spend("a")


def test_who_began_none_lately_takes_no_memory() -> None:
    clock = Clock()
    pace = Pace(3, 30.0, clock=clock)
    for number in range(1000):
        pace.spend(f"client {number}")
    assert len(pace) == 1000
    clock.now_s += 10
    pace.spend("another")
    assert len(pace) == 1
