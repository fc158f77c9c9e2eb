"""What comes in one turn of the loop is worked on together, and each thing for itself."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING

from sage_native.gateway.answers import NO_CONTENT
from sage_native.gateway.together import MAX_COUNT, Asked, Together

if TYPE_CHECKING:
    import pytest

    from sage_native.gateway.answers import Answer

_WHOSE: ContextVar[int] = ContextVar("whose", default=-1)


class Item(Asked):
    def __init__(self, number: int) -> None:
        self.number = number
        self.told: list[tuple[Answer | None, BaseException | None, int]] = []
        _WHOSE.set(number)
        super().__init__(self._note, copy_context())

    def _note(self, answer: Answer | None, error: BaseException | None) -> None:
        self.told.append((answer, error, _WHOSE.get()))


async def turn() -> None:
    await asyncio.sleep(0)


def numbers(batches: list[list[Item]]) -> list[list[int]]:
    return [[item.number for item in batch] for batch in batches]


async def test_a_turn_is_worked_on_once_it_is_over() -> None:
    batches: list[list[Item]] = []
    together = Together(batches.append)
    for number in range(3):
        together.add(Item(number))
    assert not batches
    await turn()
    assert numbers(batches) == [[0, 1, 2]]
    together.add(Item(3))
    await turn()
    await turn()
    assert numbers(batches) == [[0, 1, 2], [3]]


async def test_a_long_turn_is_worked_on_in_parts_in_order() -> None:
    batches: list[list[Item]] = []
    together = Together(batches.append)
    for number in range(2 * MAX_COUNT + 1):
        together.add(Item(number))
    await turn()
    assert [len(batch) for batch in batches] == [MAX_COUNT, MAX_COUNT, 1]
    assert [one for batch in numbers(batches) for one in batch] == list(range(2 * MAX_COUNT + 1))


async def test_what_comes_while_others_are_worked_on_is_not_lost() -> None:
    batches: list[list[int]] = []

    def work(batch: list[Item]) -> None:
        batches.append([item.number for item in batch])
        if batch[0].number == 0:
            together.add(Item(1))

    together = Together(work)
    together.add(Item(0))
    await turn()
    await turn()
    assert batches == [[0], [1]]


async def test_a_fault_is_told_to_all_and_the_next_turn_is_worked_on() -> None:
    error, worked = RuntimeError("a fault of ours"), []

    def work(batch: list[Item]) -> None:
        if len(batch) > 1:
            raise error
        worked.append(batch[0].number)

    together = Together(work)
    items = [Item(0), Item(1)]
    for item in items:
        together.add(item)
    await turn()
    assert [item.told for item in items] == [[(None, error, 0)], [(None, error, 1)]]
    together.add(Item(2))
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
    for number in range(2):
        together.add(Item(number))
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
        together.add(item)
    for _ in range(3):
        await turn()
    assert [item.told for item in items] == [[(None, error, 0)], []]


async def test_whoever_waits_is_told_once() -> None:
    answered, refused = Item(0), Item(1)
    answered.answer(NO_CONTENT)
    refused.refuse(ValueError("wrong"))
    for item in (answered, refused):
        item.answer(NO_CONTENT)
        item.refuse(ValueError("too late"))
        item.context.run(item.refuse, ValueError("too late"))
    assert answered.told == [(NO_CONTENT, None, 0)]
    ((answer, error, whose),) = refused.told
    assert (answer, f"{error}", whose) == (None, "wrong", 1)


async def test_a_refusal_may_come_out_of_the_context_itself() -> None:
    item = Item(7)
    item.context.run(item.refuse, ValueError("wrong"))
    assert [whose for _, _, whose in item.told] == [7]


async def test_an_answer_that_cannot_be_given_does_not_disturb_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(batch: list[Item]) -> None:
        for item in batch:
            item.answer(NO_CONTENT)

    together = Together(work)
    items = [Item(0), Item(1), Item(2)]

    def fail(*_: object) -> None:
        raise RuntimeError("the connection is closed")

    items[1]._done = fail
    for item in items:
        together.add(item)
    await turn()
    assert [len(item.told) for item in items] == [1, 0, 1]
    assert "the connection is closed" in caplog.text


async def test_what_is_no_exception_leaves_nobody_waiting() -> None:
    class Panic(BaseException):
        pass

    def work(batch: list[Item]) -> None:
        batch[0].answer(NO_CONTENT)
        raise Panic

    loop = asyncio.get_running_loop()
    raised: list[object] = []
    loop.set_exception_handler(lambda _, context: raised.append(context.get("exception")))
    together = Together(work)
    items = [Item(0), Item(1)]
    for item in items:
        together.add(item)
    try:
        await turn()
    except Panic as error:
        raised.append(error)
    loop.set_exception_handler(None)
    assert [len(item.told) for item in items] == [1, 1]
    assert isinstance(items[1].told[0][1], Panic)


async def test_what_concerns_all_is_done_in_the_context_of_none() -> None:
    seen: list[int] = []
    together: Together[Item] = Together(lambda _: seen.append(_WHOSE.get()))
    together.add(Item(5))
    await turn()
    assert seen == [-1]
