"""What comes in one turn of the loop is worked on together, and each thing for itself."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

from sage_native.gateway.together import MAX_COUNT, Together

_WHOSE: ContextVar[int] = ContextVar("whose", default=-1)


class Item:
    def __init__(self, number: int) -> None:
        self.number = number
        self.errors: list[BaseException] = []
        _WHOSE.set(number)
        self.context = copy_context()

    def refuse(self, error: BaseException) -> None:
        self.errors.append(error)


async def turn() -> None:
    await asyncio.sleep(0)


def numbers(batches: list[list[Item]]) -> list[list[int]]:
    return [[item.number for item in batch] for batch in batches]


async def test_a_turn_is_worked_on_once_it_is_over() -> None:
    batches: list[list[Item]] = []
    together, loop = Together(batches.append), asyncio.get_running_loop()
    for number in range(3):
        together.add(Item(number), loop)
    assert not batches
    await turn()
    assert numbers(batches) == [[0, 1, 2]]
    together.add(Item(3), loop)
    await turn()
    await turn()
    assert numbers(batches) == [[0, 1, 2], [3]]


async def test_a_long_turn_is_worked_on_in_parts_in_order() -> None:
    batches: list[list[Item]] = []
    together, loop = Together(batches.append), asyncio.get_running_loop()
    for number in range(2 * MAX_COUNT + 1):
        together.add(Item(number), loop)
    await turn()
    assert [len(batch) for batch in batches] == [MAX_COUNT, MAX_COUNT, 1]
    assert [one for batch in numbers(batches) for one in batch] == list(range(2 * MAX_COUNT + 1))


async def test_what_comes_while_others_are_worked_on_is_not_lost() -> None:
    batches: list[list[int]] = []
    loop = asyncio.get_running_loop()

    def work(batch: list[Item]) -> None:
        batches.append([item.number for item in batch])
        if batch[0].number == 0:
            together.add(Item(1), loop)

    together = Together(work)
    together.add(Item(0), loop)
    await turn()
    await turn()
    assert batches == [[0], [1]]


async def test_a_fault_is_told_to_all_and_the_next_turn_is_worked_on() -> None:
    error, worked = RuntimeError("a fault of ours"), []

    def work(batch: list[Item]) -> None:
        if len(batch) > 1:
            raise error
        worked.append(batch[0].number)

    together, loop = Together(work), asyncio.get_running_loop()
    items = [Item(0), Item(1)]
    for item in items:
        together.add(item, loop)
    await turn()
    assert [item.errors for item in items] == [[error], [error]]
    together.add(Item(2), loop)
    await turn()
    assert worked == [2]


async def test_what_has_to_wait_is_done_in_the_context_of_whoever_asked() -> None:
    seen = []
    go = asyncio.Event()

    async def wait(item: Item) -> None:
        await go.wait()
        seen.append((item.number, _WHOSE.get()))
        item.context.run(seen.append, (item.number, _WHOSE.get()))

    def work(batch: list[Item]) -> None:
        for item in batch:
            together.do_later(item, wait(item))

    together = Together(work)
    loop = asyncio.get_running_loop()
    for number in range(2):
        together.add(Item(number), loop)
    await turn()
    go.set()
    for _ in range(3):
        await turn()
    assert seen == [(0, 0), (0, 0), (1, 1), (1, 1)]


async def test_what_fails_later_is_told_to_whoever_asked_alone() -> None:
    error = ValueError("wrong")

    async def fail() -> None:
        raise error

    together: Together[Item] = Together(lambda batch: together.do_later(batch[0], fail()))
    items = [Item(0), Item(1)]
    for item in items:
        together.add(item, asyncio.get_running_loop())
    for _ in range(3):
        await turn()
    assert [item.errors for item in items] == [[error], []]
