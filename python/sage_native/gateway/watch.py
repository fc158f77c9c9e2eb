"""Who watches the requests of a worker's own server, at the least cost to those who wait.

An answer costs a worker some thirty microseconds, and a coroutine around the application, with two
calls for each observer, would be a fifth of that. So the server notes what a request was, in one
tuple, and observers are told of all that ended in the last hundredth of a second, one after the
other: what is done many times in a row is done in half the time. Records that were answered are
noted in a smaller tuple, without their scope (`AnsweredRecord`). Only a request whose trace is
sampled goes through a `RequestMiddleware`, since what happens inside it must know of its span.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sage_native.events import report
from sage_native.observability.answered import RECORD_STATUS
from sage_native.observability.context import current_scope
from sage_native.observability.middleware import (
    REQUEST_ID_KEY,
    SESSION_KEY,
    SPAN_KEY,
    RequestMiddleware,
    name_request,
)
from sage_native.observability.tracing.current import TRACE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from starlette.types import ASGIApp, Scope

    from sage_native.observability.answered import AnsweredRecord
    from sage_native.observability.middleware import Ended, LateObserver
    from sage_native.observability.tracing import TracingObserver

    _T = TypeVar("_T")

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
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[LateObserver],
        *,
        tracing: TracingObserver | None = None,
        trusts: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._observers = tuple(observers)
        self._tracing = tracing
        self._traced = None if tracing is None else RequestMiddleware(app, tracing)
        # The number of the request about which tracing is asked next.
        self._asks_at = 0 if tracing is None else tracing.gap()
        self._trusts = trusts
        self._ended: list[Ended] = []
        self._records: list[AnsweredRecord] = []
        self._is_due = False
        self.begun_count = 0
        self._told_count = 0

    @property
    def in_flight_count(self) -> int:
        """Return how many requests have begun and are not over, or were a moment ago."""
        over_count = self._told_count + len(self._ended) + len(self._records)
        return self.begun_count - over_count

    def begin(self, scope: Scope) -> ASGIApp | None:
        """Begin to watch a request, in the task that answers it.

        Returns:
            What shall answer it in place of the application; None for the application itself.
        """
        self.begun_count += 1
        current_scope.set(scope)
        if self._trusts is not None:
            name_request(scope, self._trusts)
        if self._tracing is not None:
            if self.begun_count == self._asks_at:
                self._asks_at += self._tracing.gap()
                if self._tracing.selects(scope):
                    return self._traced
            scope[TRACE_KEY] = None  # of its own; whoever asks for it names it
        return None

    def note(self, ended: Ended) -> None:
        """Take a request that is over."""
        scope, status, sent_len, started_s, ended_s, error = ended
        session_id = scope.get(SESSION_KEY)
        if (
            session_id is not None
            and status == RECORD_STATUS
            and sent_len is not None
            and error is None
        ):
            name, span = scope.get(REQUEST_ID_KEY), scope.get(SPAN_KEY)
            self._records.append((session_id, sent_len, started_s, ended_s, name, span))
        else:
            self._ended.append(ended)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(LATE_S, self.tell)

    def tell(self) -> None:
        """Tell the observers of what has ended since the last time."""
        self._is_due = False
        ended, self._ended = self._ended, []
        records, self._records = self._records, []
        self._told_count += len(ended) + len(records)
        for observer in self._observers:
            _tell(observer, observer.finish_many, ended)
            _tell(observer, observer.finish_records, records)
        # What was raised holds the frames that hold it.
        ended.clear()


def _tell(observer: LateObserver, tell: Callable[[list[_T]], None], of: list[_T]) -> None:
    if of:
        try:
            tell(of)
        except Exception as error:  # noqa: BLE001 - not the trouble of those who were answered
            report(observer, error, "Exception ignored in the request observer")
