"""Endpoints without a task: a request is begun where it arrives, and answered where its answer is.

A task of its own costs a request some microseconds: it is made, put into the event loop's queue,
entered in the list of all tasks and taken out again. Where there is nothing to wait for but the end
of a turn, or the store, that buys nothing.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from sage_native.gateway.endpoint import answer_of
from sage_native.gateway.problems import problem
from sage_native.observability.middleware import route_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from starlette.types import Scope

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway
    from sage_native.gateway.limits import InFlight

    Done: TypeAlias = Callable[[Answer | None, BaseException | None], None]
    Reply: TypeAlias = Callable[[Answer | None], None]
    Begin: TypeAlias = Callable[[Gateway, Scope, Done], None]

__all__ = ["TasklessEndpoint", "placed"]

_logger = logging.getLogger("sage_native.gateway")


def placed(in_flight: InFlight, done: Done) -> Done:
    """Take a place among the requests at work.

    Returns:
        ``done``, which gives the place back first.

    Raises:
        OverloadedError: There is none.
    """
    in_flight.enter()
    return partial(_leave, in_flight, done)


def _leave(
    in_flight: InFlight, done: Done, answer: Answer | None, error: BaseException | None
) -> None:
    in_flight.leave()
    done(answer, error)


class TasklessEndpoint:
    """What `Endpoint` is with a task: the bucket of the address, the work, and its answer.

    Args:
        gateway: What it works with.
        begin: Begins the endpoint's own work on a request whose body is in the scope. It calls what
            it is given once, with the answer or with what was raised, now or later, in the context
            of the request.
    """

    def __init__(self, gateway: Gateway, begin: Begin) -> None:
        self._gateway = gateway
        self._begin = begin

    def begin(self, scope: Scope, reply: Reply) -> None:
        """Begin to answer one request.

        Args:
            scope: Of the request, which came whole.
            reply: Called once with the answer; None if the client is gone.
        """
        done = partial(self._done, scope, reply)
        try:
            self._gateway.pacing.request(scope)
        except Exception as error:  # noqa: BLE001 - what it is decides what is said
            done(None, error)
        else:
            self._begin(self._gateway, scope, done)

    def _done(
        self, scope: Scope, reply: Reply, answer: Answer | None, error: BaseException | None
    ) -> None:
        if isinstance(error, Exception):
            answer = answer_of(error, self._gateway, scope)
        elif error is not None:  # what was waited for was cancelled, or the native module panicked
            _logger.error("%s failed", route_of(scope), exc_info=error)
            answer = problem("internal_error")
        reply(answer)
