"""Stores tell what became of each call, once, whichever way it is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sage_native import events
from sage_native.exceptions import ConflictError, StorageError
from sage_native.storage.memory import MemoryDidStore, MemorySessionStore
from sage_native.storage.timing import tell_failure, tell_times

if TYPE_CHECKING:
    from collections.abc import Iterator

DOWN = "down"


class Store:
    """A store whose calls fail as they are told to."""

    kind = "sqlite"
    name = "redis-like"

    async def get(self, error: Exception | None) -> str:
        if error is not None:
            raise error
        return "row"

    def begin_create(self, error: Exception | None) -> asyncio.Future[str]:
        future = asyncio.get_running_loop().create_future()
        if error is None:
            future.set_result("row")
        else:
            future.set_exception(error)
        return future

    def count(self, error: Exception) -> asyncio.Future[str]:
        raise error


tell_times(Store, ("get", "begin_create", "count"))


@pytest.fixture
def told() -> Iterator[list[events.Event]]:
    told: list[events.Event] = []
    unsubscribe = events.subscribe(told.append)
    yield told
    unsubscribe()


@pytest.mark.parametrize("operation", ["get", "begin_create", "count"])
async def test_a_call_that_fails_is_told_once(operation: str, told: list[events.Event]) -> None:
    error = StorageError(DOWN)
    with pytest.raises(StorageError, match=DOWN):
        await getattr(Store(), operation)(error)
    name = {"begin_create": "create"}.get(operation, operation)
    assert told == [events.StoreFailed("sqlite redis-like", name, error)]
    # Who does something with a store tells nothing more of it.
    tell_failure("sessions", "refresh", error)
    assert len(told) == 1
    tell_failure("sessions", "refresh", other := StorageError("another"))
    assert told[1:] == [events.StoreFailed("sessions", "refresh", other)]


@pytest.mark.parametrize("operation", ["get", "begin_create"])
async def test_an_answer_is_no_failure_whether_or_not_it_is_hoped_for(
    operation: str, told: list[events.Event]
) -> None:
    ask = getattr(Store(), operation)
    assert await ask(None) == "row"
    with pytest.raises(ConflictError):
        await ask(ConflictError("there is one"))
    assert [type(one) for one in told] == [events.StoreAnswered] * 2


async def test_stores_of_dids_and_sessions_tell(told: list[events.Event]) -> None:
    class Sessions(MemorySessionStore):
        async def count(self, *, client_did: str | None = None) -> int:  # noqa: ARG002
            raise StorageError(DOWN)

    class Dids(MemoryDidStore):
        async def get(self, did: str) -> None:
            raise StorageError(did)

    with pytest.raises(StorageError):
        await Sessions("gateway").count()
    with pytest.raises(StorageError):
        await Dids().get("did:example:alice")
    failed = [one for one in told if isinstance(one, events.StoreFailed)]
    assert [(one.store, one.operation) for one in failed] == [
        ("memory gateway", "count"),
        ("memory", "get"),
    ]
