"""How often and after which wait."""

from __future__ import annotations

from sage_client import ClientSettings
from sage_client.backoff import Budget
from sage_client.errors import AnswerLostError, ExchangeError


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def waits(budget: Budget, error: ExchangeError, count: int = 10) -> list[float]:
    found = []
    for _ in range(count):
        pause = budget.pause(error)
        if pause is None:
            break
        found.append(pause.wait_s)
    return found


LOST = AnswerLostError("lost")


def test_waits_double_up_to_a_bound() -> None:
    settings = ClientSettings(attempts=6, backoff_s=1, max_wait_s=5)
    assert waits(Budget(settings, draw=lambda: 1.0), LOST) == [1, 2, 4, 5, 5]
    assert waits(Budget(settings, draw=lambda: 0.0), LOST) == [0.5, 1, 2, 2.5, 2.5]


def test_what_the_server_asks_for_is_waited_out_in_full() -> None:
    settings = ClientSettings(attempts=3, backoff_s=1, max_wait_s=5)
    asked = ExchangeError("busy", retry_after_s=4)
    assert waits(Budget(settings, draw=lambda: 0.0), asked) == [4, 4]
    assert waits(Budget(settings, draw=lambda: 0.5), asked) == [4.5, 5]
    assert waits(Budget(settings), ExchangeError("busy", retry_after_s=5.1)) == []


def test_the_whole_is_bounded_in_time() -> None:
    clock = Clock()
    settings = ClientSettings(attempts=100, backoff_s=1, total_s=10)
    budget = Budget(settings, clock=clock, draw=lambda: 1.0)
    assert len(waits(budget, LOST, 2)) == 2
    clock.now_s += 7
    assert budget.pause(LOST) is None
    assert budget.again()
    clock.now_s += 4
    assert not budget.again()


def test_one_try_is_no_second() -> None:
    budget = Budget(ClientSettings(attempts=1))
    assert budget.pause(LOST) is None
    assert not budget.again()


def test_two_clients_do_not_come_back_together() -> None:
    settings = ClientSettings(backoff_s=1)
    assert waits(Budget(settings), LOST) != waits(Budget(settings), LOST)
