"""The memory before a provider: bounded life, one flight, and how long trouble is outlived."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import SageError, UsageError
from sage_native.config.secrets import (
    CachedProvider,
    SecretNotFoundError,
    SecretProvider,
    SecretRefusedError,
    SecretUnavailableError,
)
from sage_native.events import StoreFailed, subscribe
from sage_native.exceptions import ConflictError
from tests.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.events import Event

CANARY = b"canary-0123456789-of-the-cache-tests"
DOWN = SecretUnavailableError("it is down", reason="unreachable")


class Shelf(SecretProvider):
    """A back end on a shelf: counts reads, waits when told, fails when told."""

    name = "shelf"

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {"kek": CANARY}
        self.reads: list[str] = []
        self.failure: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()
        self.is_closed = False

    def place(self, name: str) -> str:
        return f"shelf '{name}'"

    async def aclose(self) -> None:
        self.is_closed = True

    async def _read(self, name: str) -> bytes:
        self.reads.append(name)
        value = self.values.get(name)  # as it was when the question arrived
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        if value is None:
            raise SecretNotFoundError(f"secret '{name}' is not there")
        return value

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:
        if only_new and name in self.values:
            raise ConflictError("is there already")
        self.values[name] = value


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cached(shelf: Shelf, clock: Clock) -> CachedProvider:
    return CachedProvider(shelf, cache_s=60, stale_s=600, retry_s=1, clock=clock)


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    events: list[Event] = []
    unsubscribe = subscribe(events.append)
    yield events
    unsubscribe()


async def test_a_value_is_fresh_for_a_while(
    cached: CachedProvider, shelf: Shelf, clock: Clock
) -> None:
    assert (cached.name, cached.place("kek")) == ("shelf", "shelf 'kek'")
    for _ in range(3):
        assert await cached.get("kek") == CANARY
    clock.now_s += 59.9
    assert await cached.get("kek") == CANARY
    assert shelf.reads == ["kek"]
    shelf.values["kek"] = b"rotated"
    clock.now_s += 0.1
    assert await cached.get("kek") == b"rotated"
    assert shelf.reads == ["kek", "kek"]


async def test_without_a_life_every_get_asks(shelf: Shelf, clock: Clock) -> None:
    cached = CachedProvider(shelf, cache_s=0, clock=clock)
    await cached.get("kek")
    await cached.get("kek")
    assert len(shelf.reads) == 2


async def test_one_flight_for_all_who_wait(cached: CachedProvider, shelf: Shelf) -> None:
    shelf.go.clear()
    waiting = [asyncio.create_task(cached.get("kek")) for _ in range(50)]
    other = asyncio.create_task(cached.get("other"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shelf.go.set()
    assert await asyncio.gather(*waiting) == [CANARY] * 50
    with pytest.raises(SecretNotFoundError):
        await other
    assert sorted(shelf.reads) == ["kek", "other"]


async def test_who_gives_up_takes_nobody_along(cached: CachedProvider, shelf: Shelf) -> None:
    shelf.go.clear()
    first, second = (asyncio.create_task(cached.get("kek")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    shelf.go.set()
    assert await second == CANARY
    assert shelf.reads == ["kek"]


async def test_all_who_wait_hear_of_the_failure_each_for_itself(
    cached: CachedProvider, shelf: Shelf
) -> None:
    shelf.failure = DOWN
    errors = await asyncio.gather(*(cached.get("kek") for _ in range(5)), return_exceptions=True)
    assert [str(error) for error in errors] == ["it is down"] * 5
    assert len(set(map(id, errors))) == 5
    assert all(isinstance(one, SecretUnavailableError) for one in errors)
    assert shelf.reads == ["kek"]


@pytest.mark.parametrize(
    "failure", [DOWN, SecretRefusedError("no"), SecretNotFoundError("not there")]
)
async def test_a_first_read_fails_closed(
    cached: CachedProvider, shelf: Shelf, failure: SageError
) -> None:
    shelf.failure = failure
    with pytest.raises(type(failure), match=str(failure)):
        await cached.get("kek")


async def test_the_last_value_outlives_trouble_for_a_stated_time(
    cached: CachedProvider, shelf: Shelf, clock: Clock, heard: list[Event]
) -> None:
    await cached.get("kek")
    shelf.failure = DOWN
    clock.now_s += 60
    assert await cached.get("kek") == CANARY
    clock.now_s += 539.9  # a moment before 600 s after the read
    assert await cached.get("kek") == CANARY
    clock.now_s += 0.1
    # Also within the time in which nobody asks again.
    with pytest.raises(SecretUnavailableError, match="it is down") as failed:
        await cached.get("kek")
    assert failed.value.reason == "unreachable"
    assert CANARY.decode() not in repr([(one.value, one.told) for one in cached._entries.values()])
    clock.now_s += 10
    with pytest.raises(SecretUnavailableError):
        await cached.get("kek")
    assert [type(one) for one in heard] == [StoreFailed] * 3
    assert isinstance(heard[0], StoreFailed)
    assert (heard[0].store, heard[0].operation) == ("secrets shelf", "get kek")
    shelf.failure = None
    clock.now_s += 1
    assert await cached.get("kek") == CANARY


async def test_a_back_end_in_trouble_is_asked_once_a_second(
    cached: CachedProvider, shelf: Shelf, clock: Clock
) -> None:
    shelf.failure = DOWN
    for _ in range(100):
        with pytest.raises(SecretUnavailableError):
            await cached.get("kek")
    assert len(shelf.reads) == 1
    clock.now_s += 1
    shelf.failure = None
    assert await cached.get("kek") == CANARY
    shelf.failure = DOWN
    clock.now_s += 60
    for _ in range(100):
        assert await cached.get("kek") == CANARY
    assert len(shelf.reads) == 3


@pytest.mark.parametrize("decision", [SecretRefusedError("no"), SecretNotFoundError("not there")])
async def test_a_decision_holds_at_once(
    cached: CachedProvider, shelf: Shelf, clock: Clock, decision: SageError
) -> None:
    await cached.get("kek")
    shelf.failure = decision
    clock.now_s += 60
    with pytest.raises(type(decision)):
        await cached.get("kek")
    assert CANARY.decode() not in repr([(one.value, one.told) for one in cached._entries.values()])
    # And trouble afterwards does not bring it back.
    shelf.failure = DOWN
    with pytest.raises(SecretUnavailableError):
        await cached.get("kek")


async def test_nothing_stale_if_that_is_asked(shelf: Shelf, clock: Clock) -> None:
    cached = CachedProvider(shelf, cache_s=60, stale_s=0, clock=clock)
    await cached.get("kek")
    shelf.failure = DOWN
    clock.now_s += 59
    await cached.refresh()
    assert await cached.get("kek") == CANARY
    clock.now_s += 1
    with pytest.raises(SecretUnavailableError):
        await cached.get("kek")


async def test_refresh_tells_what_has_changed(
    cached: CachedProvider, shelf: Shelf, clock: Clock
) -> None:
    shelf.values |= {"signing-key": b"s1", "token": b"t1"}
    for name in ("kek", "signing-key", "token"):
        await cached.get(name)
    assert (await cached.refresh()).changed == frozenset()
    shelf.values["kek"] = b"k2"
    refreshed = await cached.refresh()
    assert refreshed.changed == {"kek"}
    assert not refreshed.stale
    assert not refreshed.lost
    assert await cached.get("kek") == b"k2"
    # A get that met the new value first does not hide it.
    shelf.values["token"] = b"t2"
    clock.now_s += 60
    assert await cached.get("token") == b"t2"
    assert (await cached.refresh()).changed == {"token"}
    # Nor does a set from here.
    await cached.set("signing-key", b"s2")
    assert (await cached.refresh()).changed == {"signing-key"}
    assert (await cached.refresh()).changed == frozenset()


async def test_refresh_asks_for_known_names_at_once(cached: CachedProvider, shelf: Shelf) -> None:
    shelf.values["signing-key"] = b"s"
    assert (await cached.refresh()).changed == frozenset()
    assert shelf.reads == []
    await cached.get("kek")
    await cached.get("signing-key")
    shelf.reads.clear()
    shelf.go.clear()
    refreshing = asyncio.create_task(cached.refresh())
    for _ in range(3):
        await asyncio.sleep(0)
    assert sorted(shelf.reads) == ["kek", "signing-key"]
    assert await cached.get("kek") == CANARY  # what is fresh is served meanwhile
    shelf.go.set()
    await refreshing


async def test_refresh_tells_what_is_stale_lost_and_back(
    cached: CachedProvider, shelf: Shelf, clock: Clock
) -> None:
    await cached.get("kek")
    shelf.failure = DOWN
    clock.now_s += 599
    refreshed = await cached.refresh()
    assert refreshed.stale == {"kek"}
    assert not refreshed.changed
    assert not refreshed.lost
    clock.now_s += 1
    refreshed = await cached.refresh()
    assert (refreshed.changed, refreshed.stale) == (frozenset(), frozenset())
    assert isinstance(refreshed.lost["kek"], SecretUnavailableError)
    shelf.failure = SecretNotFoundError("not there")
    assert isinstance((await cached.refresh()).lost["kek"], SecretNotFoundError)
    shelf.failure = None
    assert (await cached.refresh()).changed == {"kek"}
    assert await cached.get("kek") == CANARY


async def test_set_is_seen_at_once(cached: CachedProvider, shelf: Shelf) -> None:
    await cached.get("kek")
    await cached.set("kek", b"new")
    assert await cached.get("kek") == b"new"
    with pytest.raises(ConflictError):
        await cached.set("kek", b"newer", only_new=True)
    shelf.values["kek"] = b"of somebody else"
    with pytest.raises(ConflictError):
        await cached.set("kek", b"newer", only_new=True)
    assert await cached.get("kek") == b"of somebody else"


async def test_a_read_from_before_a_set_is_not_kept(cached: CachedProvider, shelf: Shelf) -> None:
    shelf.go.clear()
    early = asyncio.create_task(cached.get("kek"))
    for _ in range(3):
        await asyncio.sleep(0)
    await cached.set("kek", b"new")
    shelf.go.set()
    assert await early == CANARY
    assert await cached.get("kek") == b"new"


async def test_a_fault_of_the_provider_reaches_who_asked(
    cached: CachedProvider, shelf: Shelf
) -> None:
    shelf.failure = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await cached.get("kek")
    shelf.failure = None
    assert await cached.get("kek") == CANARY


async def test_closing_ends_flights_and_forgets(cached: CachedProvider, shelf: Shelf) -> None:
    await cached.get("kek")
    shelf.go.clear()
    waiting = asyncio.create_task(cached.get("other"))
    await asyncio.sleep(0)
    await cached.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert shelf.is_closed
    assert CANARY not in repr(vars(cached)).encode()


@pytest.mark.parametrize("times", [{"cache_s": -1}, {"stale_s": -1}, {"retry_s": -1}])
def test_times_are_not_negative(shelf: Shelf, times: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="times are not negative"):
        CachedProvider(shelf, **times)


async def test_what_it_remembers_is_not_shown(
    cached: CachedProvider, shelf: Shelf, clock: Clock
) -> None:
    with Watch(CANARY) as watch:
        await cached.get("kek")
        watch.text(repr(cached), repr(vars(cached)), str(cached))
        shelf.failure = DOWN
        clock.now_s += 60
        watch.text(repr(await cached.refresh()), repr(vars(cached)))
        clock.now_s += 600
        with pytest.raises(SecretUnavailableError) as failed:
            await cached.get("kek")
        watch.error(failed.value)
