"""When a client must bring a challenge."""

from __future__ import annotations

import time

import pytest

from sage_native.gateway.challenges import CLOCK_STEP_MS, ChallengePolicy
from sage_native.storage.base import DEFAULT_HORIZON_MS

NOON_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class World:
    """Two clocks, a memory and a load, as a test sets them."""

    def __init__(self, *, is_always: bool = False) -> None:
        self.steady_ms = 50_000
        self.offset_ms = NOON_MS
        self.is_complete = True
        self.is_loaded = False
        self.asked_at_ms: list[int] = []
        self.policy = ChallengePolicy(
            is_always=is_always,
            is_complete=self._complete,
            is_loaded=lambda: self.is_loaded,
            steady_ns=lambda: self.steady_ms * 1_000_000,
        )

    def _complete(self, now_ms: int) -> bool:
        self.asked_at_ms.append(now_ms)
        return self.is_complete

    def demands(self) -> bool:
        return self.policy.demands(self.steady_ms + self.offset_ms)


def test_nothing_is_demanded_while_all_is_well() -> None:
    world = World()
    for _ in range(3):
        assert not world.demands()
        world.steady_ms += 10_000
    assert world.asked_at_ms == [NOON_MS + steady for steady in (50_000, 60_000, 70_000)]


def test_always() -> None:
    world = World(is_always=True)
    assert world.demands()


def test_while_the_memory_is_not_whole() -> None:
    world = World()
    world.is_complete = False
    assert world.demands()
    world.is_complete = True
    assert not world.demands()


def test_while_there_is_much_to_do() -> None:
    world = World()
    world.is_loaded = True
    assert world.demands()
    world.is_loaded = False
    assert not world.demands()


@pytest.mark.parametrize("step_ms", [CLOCK_STEP_MS, -CLOCK_STEP_MS, HOUR_MS, -HOUR_MS])
def test_after_the_clock_was_set(step_ms: int) -> None:
    world = World()
    assert not world.demands()
    world.offset_ms += step_ms
    assert world.demands()
    world.steady_ms += DEFAULT_HORIZON_MS - 1
    assert world.demands(), "as long as nonces are remembered"
    world.steady_ms += 1
    assert not world.demands()
    world.steady_ms += HOUR_MS
    assert not world.demands(), "once is enough"


@pytest.mark.parametrize("step_ms", [CLOCK_STEP_MS - 1, 1 - CLOCK_STEP_MS, 0, 5])
def test_a_clock_that_is_slewed_was_not_set(step_ms: int) -> None:
    world = World()
    assert not world.demands()
    world.offset_ms += step_ms
    assert not world.demands()


def test_a_clock_that_is_set_back_again_was_set_twice() -> None:
    world = World()
    world.demands()
    world.offset_ms += HOUR_MS
    assert world.demands()
    world.steady_ms += DEFAULT_HORIZON_MS - 10
    world.offset_ms -= HOUR_MS
    assert world.demands()
    world.steady_ms += DEFAULT_HORIZON_MS - 1
    assert world.demands(), "counted from the second time"
    world.steady_ms += 1
    assert not world.demands()


def test_the_first_look_at_the_clock_is_no_step() -> None:
    world = World()
    world.offset_ms = 0
    assert not world.demands()


def test_the_clocks_of_the_system_agree() -> None:
    policy = ChallengePolicy(is_always=False, is_complete=lambda _: True, is_loaded=lambda: False)

    for _ in range(3):
        assert not policy.demands(time.time_ns() // 1_000_000)
