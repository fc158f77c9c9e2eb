"""Which request of a connection is at work, so that what its task logs names it."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from sage_native.observability.context import ScopeSource, current_scope

if TYPE_CHECKING:
    from contextvars import Context

    from sage_native.gateway.cycle import Cycle
    from sage_native.gateway.watch import Watch

__all__ = ["AtWork"]


class AtWork(ScopeSource):
    """The latest request of a connection that has a task.

    Its tasks begin with copies of one context, in which this object stands. So nothing is set in a
    context for each of them, which would cost two microseconds.

    Args:
        watch: Who watches the requests of the connection.

    Attributes:
        watch: As handed in.
        cycle: That request; None before the first.
    """

    __slots__ = ("cycle", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.cycle: Cycle | None = None

    def context(self) -> Context:
        """Return a context of which tasks shall have copies."""
        context = copy_context()
        context.run(current_scope.set, self)
        return context

    def scope_here(self) -> dict[str, Any] | None:
        """Return the scope of the request, to its task.

        Threads and callbacks that tasks of the connection have started are taken for those of its
        latest request, until that is answered.
        """
        cycle = self.cycle
        if cycle is None:
            return None
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread without a loop
            task = None
        if cycle.task is task if task is not None else not cycle.response_started:
            return cycle.scope
        return None
