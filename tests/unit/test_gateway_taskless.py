"""Coroutines without a task: they come as far as with one, and their end is told once."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING

import pytest

from sage_native.gateway.taskless import run_taskless

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    Done = tuple[Any, BaseException | None]


class Ends:
    """What was told of ends."""

    def __init__(self) -> None:
        self.told: list[Done] = []

    def __call__(self, result: object, error: BaseException | None) -> None:
        self.told.append((result, error))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def deep(waits: Awaitable[object], depth: int = 3) -> object:
    return await (deep(waits, depth - 1) if depth else waits)


def test_what_waits_for_nothing_is_done_before_this_returns() -> None:
    ends = Ends()

    async def answer() -> str:
        return "at once"

    run_taskless(answer(), ends)  # no loop runs
    assert ends.told == [("at once", None)]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
def test_what_is_raised_is_told(error: BaseException) -> None:
    ends = Ends()

    async def fail() -> None:
        raise error

    run_taskless(fail(), ends)
    assert ends.told == [(None, error)]


async def test_futures_are_waited_for_one_after_the_other() -> None:
    ends, loop = Ends(), asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]

    async def add() -> object:
        return [await deep(future) for future in futures]

    run_taskless(add(), ends)
    for number, future in enumerate(futures):
        assert not ends.told
        future.set_result(number)
        await settled()
    assert ends.told == [([0, 1, 2], None)]


async def test_the_error_of_a_future_is_raised_where_it_is_waited_for() -> None:
    ends, error = Ends(), ValueError("wrong")
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def catch() -> str:
        with pytest.raises(ValueError, match="wrong") as raised:
            await deep(future)
        return "caught" if raised.value is error else "another"

    run_taskless(catch(), ends)
    future.set_exception(error)
    await settled()
    assert ends.told == [("caught", None)]


async def test_a_future_that_is_cancelled_is_told_as_an_end() -> None:
    ends = Ends()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    run_taskless(deep(future), ends)
    future.cancel()
    await settled()
    ((result, error),) = ends.told
    assert result is None
    assert isinstance(error, asyncio.CancelledError)


@pytest.mark.parametrize(
    "waits",
    [
        lambda: asyncio.sleep(0, "turn"),
        lambda: asyncio.sleep(0.001, "time"),
        lambda: asyncio.get_running_loop().create_task(asyncio.sleep(0, "task")),
        lambda: asyncio.shield(asyncio.ensure_future(asyncio.sleep(0, "shielded"))),
        lambda: asyncio.gather(asyncio.sleep(0, "all"), asyncio.sleep(0.001)),
    ],
)
async def test_what_tasks_can_wait_for_it_can(
    waits: Callable[[], Coroutine[Any, Any, Any]],
) -> None:
    by_task = await asyncio.create_task(deep(waits()))
    ended: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
    run_taskless(deep(waits()), lambda *told: ended.set_result(told))
    assert await ended == (by_task, None)


async def test_it_goes_on_in_the_context_in_which_it_began() -> None:
    ends, variable = Ends(), ContextVar("variable", default="outside")
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def look() -> list[str]:
        before = variable.get()
        await future
        return [before, variable.get()]

    def begin() -> None:
        variable.set("inside")
        run_taskless(look(), ends)

    copy_context().run(begin)
    assert variable.get() == "outside"
    future.set_result(None)
    await settled()
    assert ends.told == [(["inside", "inside"], None)]
