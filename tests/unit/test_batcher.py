"""Joining calls into batches: each caller gets its own answer, or is told that there is none."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ConflictError, StorageError
from sage_native.storage.batcher import Batcher
from tests.managers import Gate, no_lost_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["no_lost_errors"]

pytestmark = pytest.mark.usefixtures("no_lost_errors")


class Backend:
    """Answers a number with its square.

    Attributes:
        batches: What was asked, batch by batch.
        most_in_flight: The most batches that were under way at a time.
        gate: What batches wait at.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.in_flight = self.most_in_flight = 0
        self.gate: Gate | None = None
        self.error: BaseException | None = None
        self.surplus = 0

    async def send(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(numbers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.gate is not None:
                await self.gate.pass_through()
            if self.error is not None:
                raise self.error
            answers = [number**2 for number in numbers]
            return answers[: self.surplus] if self.surplus < 0 else [*answers, *[0] * self.surplus]
        finally:
            self.in_flight -= 1


async def answers_of(asking: Sequence[asyncio.Task[int]]) -> list[object]:
    return list(await asyncio.gather(*asking, return_exceptions=True))


def ask(batcher: Batcher[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.ask(number)) for number in numbers]


async def test_calls_of_one_turn_travel_together() -> None:
    backend = Backend()
    batcher = Batcher(backend.send, label="store")
    assert await answers_of(ask(batcher, range(100))) == [number**2 for number in range(100)]
    assert backend.batches == [list(range(100))]


async def test_one_call_alone_does_not_wait_for_company() -> None:
    backend = Backend()
    batcher = Batcher(backend.send, label="store", max_wait_s=60)
    async with asyncio.timeout(5):
        assert await batcher.ask(7) == 49
        assert await batcher.ask(8) == 64
    assert backend.batches == [[7], [8]]


async def test_batches_have_their_most_items_in_order() -> None:
    backend = Backend()
    batcher = Batcher(backend.send, label="store", max_len=10)
    assert await answers_of(ask(batcher, range(35))) == [number**2 for number in range(35)]
    assert [len(batch) for batch in backend.batches] == [10, 10, 10, 5]
    assert [number for batch in backend.batches for number in batch] == list(range(35))


async def test_no_more_batches_than_allowed_are_under_way() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(backend.send, label="store", max_len=5, max_in_flight=3, timeout_s=5)
    asking = ask(batcher, range(100))
    await gate.reached()
    await asyncio.sleep(0.01)
    assert len(backend.batches) == 3
    gate.open()
    assert await answers_of(asking) == [number**2 for number in range(100)]
    assert backend.most_in_flight == 3


async def test_while_batches_are_under_way_calls_gather_for_a_while() -> None:
    backend = Backend()
    backend.gate = first = Gate()
    batcher = Batcher(backend.send, label="store", max_wait_s=0.05, timeout_s=5)
    asking = ask(batcher, [1])
    await first.reached()
    backend.gate = second = Gate()
    for number in range(2, 12):
        asking += ask(batcher, [number])
        await asyncio.sleep(0)
    assert backend.batches == [[1]]
    await second.reached()
    assert backend.batches == [[1], list(range(2, 12))]
    first.open()
    second.open()
    assert await answers_of(asking) == [number**2 for number in range(1, 12)]


async def test_the_end_of_a_batch_lets_the_next_go_at_once() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(backend.send, label="store", max_in_flight=1, max_wait_s=60, timeout_s=50)
    asking = ask(batcher, [1])
    await gate.reached()
    asking += ask(batcher, [2, 3])
    await asyncio.sleep(0)
    gate.open()
    async with asyncio.timeout(5):
        assert await answers_of(asking) == [1, 4, 9]


async def test_who_is_cancelled_moves_nobody_up() -> None:
    backend, chance = Backend(), random.Random(3)
    batcher = Batcher(backend.send, label="store", max_len=7, timeout_s=5)
    backend.gate = gate = Gate()
    asking = ask(batcher, range(200))
    await gate.reached()
    gone = set(chance.sample(range(200), 90))
    for number in gone:
        asking[number].cancel()
    await asyncio.sleep(0)
    gate.open()
    for number, answer in enumerate(await answers_of(asking)):
        if number in gone:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert answer == number**2
    asked = {number for batch in backend.batches[2:] for number in batch}
    assert not asked & gone, "who gave up before a batch left is not asked for"


async def test_a_batch_that_everybody_left_is_not_sent() -> None:
    backend = Backend()
    batcher = Batcher(backend.send, label="store")
    asking = ask(batcher, range(5))
    await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    await answers_of(asking)
    await asyncio.sleep(0.01)
    assert backend.batches == []
    assert await batcher.ask(3) == 9


@pytest.mark.parametrize(
    "error", [OSError("broken pipe"), StorageError("down"), ConflictError("taken"), ValueError()]
)
async def test_a_failure_is_everybodys_each_with_an_exception_of_its_own(error: Exception) -> None:
    backend = Backend()
    backend.error = error
    batcher = Batcher(backend.send, label="the store")
    failures = await answers_of(ask(batcher, range(5)))
    assert [type(failure) for failure in failures] == [StorageError] * 5
    assert len({id(failure) for failure in failures}) == 5
    assert {str(failure) for failure in failures} == {str(error) or "the store failed"}
    causes = {getattr(failure, "__cause__", None) for failure in failures}
    assert causes == ({None} if isinstance(error, StorageError) else {error})
    backend.error = None
    assert await batcher.ask(3) == 9


async def test_the_backends_own_error_stays_the_cause() -> None:
    backend = Backend()
    backend.error = StorageError("the store is down")
    backend.error.__cause__ = cause = OSError("refused")
    (failure,) = await answers_of(ask(Batcher(backend.send, label="store"), [1]))
    assert isinstance(failure, StorageError)
    assert failure.__cause__ is cause


@pytest.mark.parametrize("surplus", [-1, 1, -3])
async def test_a_wrong_number_of_answers_is_no_answer_at_all(surplus: int) -> None:
    backend = Backend()
    backend.surplus = surplus
    batcher = Batcher(backend.send, label="store")
    failures = await answers_of(ask(batcher, range(3)))
    assert [type(failure) for failure in failures] == [StorageError] * 3
    assert f"{3 + surplus} answers to 3 questions" in str(failures[0])


async def test_who_waits_too_long_gives_up_and_the_others_do_not() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(backend.send, label="store", timeout_s=0.05)
    with pytest.raises(StorageError, match=r"no answer in 0\.05 s"):
        await batcher.ask(1)
    backend.gate = None
    assert await batcher.ask(2) == 4
    gate.open()
    await asyncio.sleep(0.01)
    assert await batcher.ask(3) == 9


async def test_those_who_wait_behind_a_backend_that_hangs_are_told_in_time() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(
        backend.send, label="store", max_len=1, max_in_flight=1, max_waiting=3, timeout_s=0.05
    )
    asking = ask(batcher, range(10))
    failures = [str(failure) for failure in await answers_of(asking)]
    assert sum("no answer" in failure for failure in failures) == 4
    assert sum("too slow: 3 calls wait" in failure for failure in failures) == 6
    gate.open()
    backend.gate = None
    await asyncio.sleep(0.01)
    assert backend.batches == [[0]]
    assert await batcher.ask(5) == 25


async def test_too_many_are_refused_and_those_who_wait_are_served() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(
        backend.send, label="store", max_len=2, max_in_flight=1, max_waiting=4, timeout_s=5
    )
    asking = ask(batcher, [0, 1])
    await gate.reached()
    asking += ask(batcher, range(2, 8))
    await asyncio.sleep(0)
    gate.open()
    answers = await answers_of(asking)
    assert answers[:6] == [0, 1, 4, 9, 16, 25]
    assert [type(answer) for answer in answers[6:]] == [StorageError] * 2


async def test_closing_finishes_what_was_asked_and_refuses_the_rest() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(backend.send, label="store", max_len=2, max_in_flight=1, timeout_s=5)
    asking = ask(batcher, range(7))
    await gate.reached()
    closing = asyncio.create_task(batcher.aclose())
    await asyncio.sleep(0)
    with pytest.raises(StorageError, match="store is closed"):
        await batcher.ask(9)
    assert not closing.done()
    gate.open()
    await closing
    assert await answers_of(asking) == [number**2 for number in range(7)]
    await batcher.aclose()
    with pytest.raises(StorageError, match="store is closed"):
        await batcher.ask(9)


async def test_closing_before_the_first_turn_still_asks() -> None:
    backend = Backend()
    batcher = Batcher(backend.send, label="store")
    asking = ask(batcher, [4])
    await asyncio.sleep(0)
    await batcher.aclose()
    assert await answers_of(asking) == [16]


async def test_a_batch_that_is_stopped_tells_its_callers() -> None:
    backend = Backend()
    backend.gate = gate = Gate()
    batcher = Batcher(backend.send, label="store", timeout_s=5)
    asking = ask(batcher, [1, 2])
    await gate.reached()
    for task in batcher._under_way:
        task.cancel()
    failures = await answers_of(asking)
    assert {str(failure) for failure in failures} == {"store was stopped"}
    assert not batcher._under_way


async def test_a_failure_that_meets_a_cancellation_is_lost_without_a_word() -> None:
    """The batch fails, and in the same turn its caller gives up."""
    asking: list[asyncio.Task[int]] = []

    async def fails(_: Sequence[int]) -> Sequence[int]:
        asyncio.get_running_loop().call_soon(asking[0].cancel)
        raise OSError

    asking += ask(Batcher(fails, label="store"), [1])
    (failure,) = await answers_of(asking)
    assert isinstance(failure, asyncio.CancelledError)


async def test_a_storm_crosses_no_answers() -> None:
    chance, backend = random.Random(9), Backend()

    async def slowly(numbers: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(chance.uniform(0, 0.004))
        if chance.random() < 0.1:
            raise OSError
        return await backend.send(numbers)

    batcher = Batcher(slowly, label="store", max_len=20, max_wait_s=0.001, timeout_s=5)

    async def caller(number: int) -> str:
        await asyncio.sleep(chance.uniform(0, 0.05))
        try:
            assert await batcher.ask(number) == number**2
        except StorageError:
            return "failed"
        return "answered"

    callers = [asyncio.create_task(caller(number)) for number in range(1500)]
    await asyncio.sleep(0.02)
    for task in chance.sample(callers, 300):
        task.cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert not [result for result in results if isinstance(result, AssertionError)]
    assert results.count("answered") > 500
    assert results.count("failed") > 10
    assert not batcher._waiting
    assert not batcher._under_way
    await batcher.aclose()
