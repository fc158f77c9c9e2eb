"""The same bytes again, until something answers them.

Only for what the server takes once at most, however often it comes: records (the replay window
refuses the second), M3, and the R1 of an epoch. An M1 is never repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_client.commands import Call, Reply, Steps, exchange
from sage_client.errors import ExchangeError
from sage_client.problems import error_of

if TYPE_CHECKING:
    from sage_client.backoff import Budget

__all__ = ["call_once", "repeat"]

OK = frozenset((200,))


def call_once(call: Call, *, statuses: frozenset[int] = OK) -> Steps[Reply]:
    """Make one call and return its reply of such a status. Raises ExchangeError for others."""
    reply = yield from exchange(call)
    if reply.status not in statuses:
        raise error_of(reply)
    return reply


def repeat(call: Call, budget: Budget, *, statuses: frozenset[int] = OK) -> Steps[Reply]:
    """Make the same call until a reply of such a status comes.

    Raises:
        ExchangeError: The last failure, when it is final or no try is left. Its ``sent`` says
            whether any of the tries may have arrived.
    """
    sent = False
    while True:
        try:
            return (yield from call_once(call, statuses=statuses))
        except ExchangeError as error:
            sent = error.sent = sent or error.sent
            pause = budget.pause(error) if error.retriable else None
            if pause is None:
                raise
        yield pause
