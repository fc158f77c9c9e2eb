"""Turns: shared, alone, in order, and none lost."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from sage_client.gate import Gate

if TYPE_CHECKING:
    from concurrent.futures import Future


def waiting(ticket: Future[None] | None) -> Future[None]:
    assert ticket is not None
    assert not ticket.done()
    return ticket


def test_many_share_and_one_is_alone() -> None:
    gate = Gate()
    assert gate.ask(alone=False) is None
    assert gate.ask(alone=False) is None
    alone = waiting(gate.ask(alone=True))
    gate.release()
    assert not alone.done()
    gate.release()
    assert alone.done()
    shared = [waiting(gate.ask(alone=False)) for _ in range(2)]
    gate.release()
    assert all(ticket.done() for ticket in shared)


def test_later_ones_do_not_overtake() -> None:
    gate = Gate()
    assert gate.ask(alone=False) is None
    alone = waiting(gate.ask(alone=True))
    late = waiting(gate.ask(alone=False))
    gate.release()
    assert alone.done()
    assert not late.done()
    gate.release()
    assert late.done()


def test_who_gives_up_lets_others_pass() -> None:
    gate = Gate()
    assert gate.ask(alone=False) is None
    alone = waiting(gate.ask(alone=True))
    late = waiting(gate.ask(alone=False))
    gate.withdraw(alone)
    assert late.done()


def test_a_turn_given_too_late_is_given_back() -> None:
    gate = Gate()
    assert gate.ask(alone=True) is None
    ticket = waiting(gate.ask(alone=True))
    gate.release()
    gate.withdraw(ticket)
    assert gate.ask(alone=True) is None


async def test_event_loops_that_give_up_lose_no_turn() -> None:
    gate = Gate()
    for _ in range(50):
        assert gate.ask(alone=True) is None
        tickets = [waiting(gate.ask(alone=bool(number % 2))) for number in range(6)]

        async def pass_through(ticket: Future[None]) -> None:
            try:
                await asyncio.wrap_future(ticket)
            except asyncio.CancelledError:
                gate.withdraw(ticket)
                raise
            await asyncio.sleep(0)
            gate.release()

        tasks = [asyncio.create_task(pass_through(ticket)) for ticket in tickets]
        await asyncio.sleep(0)
        tasks[1].cancel()
        gate.release()
        tasks[2].cancel()
        await asyncio.sleep(0)
        tasks[4].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.ask(alone=True) is None


def test_threads_never_meet_who_is_alone() -> None:
    gate, lock, trouble = Gate(), threading.Lock(), []
    inside = {True: 0, False: 0}

    def visit(number: int) -> None:
        for round_number in range(200):
            alone = (number + round_number) % 4 == 0
            ticket = gate.ask(alone=alone)
            if ticket is not None:
                ticket.result(20)
            with lock:
                inside[alone] += 1
                if inside[True] and inside != {True: 1, False: 0}:
                    trouble.append(dict(inside))
            with lock:
                inside[alone] -= 1
            gate.release()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert trouble == []
    assert gate.ask(alone=True) is None
