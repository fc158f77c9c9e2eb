"""Places for requests: counted, refused beyond the limit, empty before the end."""

from __future__ import annotations

import asyncio

import pytest

from sage_native.exceptions import OverloadedError, UsageError
from sage_native.gateway.limits import InFlight


def test_one_more_than_the_limit_is_refused_and_told_when_to_come_back() -> None:
    places = InFlight(2, retry_after_s=3)
    places.enter()
    places.enter()
    with pytest.raises(OverloadedError, match="all 2 places") as refused:
        places.enter()
    assert refused.value.retry_after_s == 3
    assert refused.value.code == "overloaded"
    assert (places.count, places.refused_count) == (2, 1)
    places.leave()
    places.enter()
    assert (places.count, places.refused_count) == (2, 1)


def test_with_leaves_whatever_happens() -> None:
    places = InFlight(1)
    with places:
        assert places.count == 1
        with pytest.raises(OverloadedError):
            places.__enter__()
    with pytest.raises(KeyError), places:
        raise KeyError
    assert places.count == 0


def test_busy_begins_above_its_line() -> None:
    places = InFlight(8, busy_above=2)
    seen = []
    for _ in range(4):
        places.enter()
        seen.append(places.busy)
    assert seen == [False, False, True, True]
    places.leave()
    places.leave()
    assert not places.busy
    never = InFlight(1)
    never.enter()
    assert not never.busy


async def test_a_drain_refuses_the_new_and_waits_for_the_old() -> None:
    places = InFlight(4)
    places.enter()
    places.enter()
    drained = asyncio.create_task(places.drained(60))
    await asyncio.sleep(0)
    assert places.draining
    with pytest.raises(OverloadedError, match="stopping"):
        places.enter()
    places.leave()
    await asyncio.sleep(0)
    assert not drained.done()
    places.leave()
    assert await drained
    assert places.count == 0


async def test_a_drain_of_nobody_is_done_and_one_of_the_stuck_gives_up() -> None:
    assert await InFlight(1).drained(0)
    stuck = InFlight(1)
    stuck.enter()
    assert not await stuck.drained(0.01)
    assert stuck.count == 1
    stuck.leave()
    assert await stuck.drained(0.01)


@pytest.mark.parametrize(("limit", "retry_after_s"), [(0, 1), (-1, 1), (1, 0)])
def test_no_place_at_all_is_a_mistake(limit: int, retry_after_s: int) -> None:
    with pytest.raises(UsageError):
        InFlight(limit, retry_after_s=retry_after_s)
