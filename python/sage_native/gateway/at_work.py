"""Which request of a connection is at work, so that what its task logs names it."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from sage_native.gateway.cycle import cycle_of
from sage_native.observability.context import ScopeSource, current_scope

if TYPE_CHECKING:
    from contextvars import Context

    from sage_native.gateway.connections import SweptProtocol
    from sage_native.gateway.cycle import Cycle

__all__ = ["AtWork"]


class AtWork(ScopeSource):
    """Tells which request of a connection is answered by a task.

    Its tasks begin with copies of one context, in which this object stands. So nothing is set in a
    context for each of them, which would cost two microseconds.

    Args:
        connection: The connection.
    """

    __slots__ = ("_connection", "_left")

    def __init__(self, connection: SweptProtocol) -> None:
        self._connection = connection
        self._left: Cycle | None = None

    def context(self) -> Context:
        """Return a context of which tasks shall have copies."""
        context = copy_context()
        context.run(current_scope.set, self)
        return context

    def leave(self) -> None:
        """Keep the request that is at work when the connection ends, which then forgets it."""
        self._left = self._connection.at_work

    def scope_here(self) -> dict[str, Any] | None:
        """Return the scope of the request, to its task.

        Threads and callbacks that tasks of the connection have started are taken for those of its
        latest request, if that has a task, until it is answered.
        """
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread without a loop
            task = None
        if task is not None:
            cycle = cycle_of(task)
            return cycle.scope if cycle is not None and cycle.is_of(self._connection) else None
        cycle = self._left or self._connection.at_work
        if cycle is None or cycle.response_started or not cycle.has_task:
            return None
        return cycle.scope
