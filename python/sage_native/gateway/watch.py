"""Who watches the requests of a worker's own server, at the least cost to those who wait.

An answer costs a worker some thirty microseconds, and a coroutine around the application, with two
calls for each observer, would be a fifth of that. So the server notes what a request was, in one
tuple, and observers are told of all that ended in the last hundredth of a second, one after the
other: what is done many times in a row is done in half the time. Only a request whose trace is
sampled goes through a `RequestMiddleware`, since what happens inside it must know of its span.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sage_native.events import report
from sage_native.observability.context import current_scope
from sage_native.observability.middleware import ObservedRequest, RequestMiddleware, name_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Scope

    from sage_native.observability.middleware import Ended, LateObserver, RequestObserver
    from sage_native.observability.tracing import TracingObserver

__all__ = ["Watch"]

LATE_S: Final = 0.01
"""How much later than its end observers are told of a request."""


class Watch:
    """Notes requests, and tells observers of them.

    Args:
        app: What the server serves.
        observers: Who is told of requests when they are over.
        tracing: Who must be asked before they begin; nobody if traces are switched off.
        trusts: As of `RequestMiddleware`.

    Attributes:
        note: Takes a request that is over.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[RequestObserver | LateObserver],
        *,
        tracing: TracingObserver | None = None,
        trusts: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._tell = [(one, _telling(one)) for one in observers]
        self._tracing = tracing
        self._traced = None if tracing is None else RequestMiddleware(app, tracing)
        self._selects = None if tracing is None else tracing.selects
        self._trusts = trusts
        self._ended: list[Ended] = []
        self.begun_count = 0
        self._told_count = 0

    @property
    def in_flight_count(self) -> int:
        """Return how many requests have begun and are not over, or were a moment ago."""
        return self.begun_count - self._told_count - len(self._ended)

    def begin(self, scope: Scope) -> ASGIApp | None:
        """Begin to watch a request, in the task that answers it.

        Returns:
            What shall answer it in place of the application; None for the application itself.
        """
        self.begun_count += 1
        current_scope.set(scope)
        if self._trusts is not None:
            name_request(scope, self._trusts)
        if self._selects is not None and self._selects(scope):
            return self._traced
        return None

    def note(self, ended: Ended) -> None:
        """Take a request that is over."""
        self._ended.append(ended)
        if len(self._ended) == 1:
            asyncio.get_running_loop().call_later(LATE_S, self.tell)

    def tell(self) -> None:
        """Tell the observers of what has ended since the last time."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        self._told_count += len(ended)
        for observer, tell in self._tell:
            try:
                tell(ended)
            except Exception as error:  # noqa: BLE001 - not the trouble of those who were answered
                report(observer, error, "Exception ignored in the request observer")
        # What was raised holds the frames that hold it.
        ended.clear()


def _telling(observer: RequestObserver | LateObserver) -> Callable[[Sequence[Ended]], None]:
    many: Callable[[Sequence[Ended]], None] | None = getattr(observer, "finish_many", None)
    if many is not None:
        return many

    def each(ended: Sequence[Ended]) -> None:
        for one in ended:
            request = ObservedRequest.of(one)
            observer.finish(request, observer.begin(request))

    return each
