"""Who watches the requests of a worker's own server, at the least cost to those who wait.

An answer costs a worker some thirty microseconds, and a coroutine around the application, with two
calls for each observer, would be a fifth of that. So the server notes what a request was, in one
tuple, and observers are told of all that ended in the last twentieth of a second, one after the
other: what is done many times in a row is done in half the time. Records that were answered are
noted natively, without their scope (`AnsweredRecords`). A request whose trace is sampled
has a span that is current until its task ends, of a record from when somebody needs it; only one
that has to do with somebody else's trace goes through a `RequestMiddleware`.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from time import time_ns
from typing import TYPE_CHECKING, Final

from sage_native.events import report
from sage_native.observability.answered import RECORD_STATUS, AnsweredRecords
from sage_native.observability.context import current_scope
from sage_native.observability.middleware import (
    REQUEST_ID_KEY,
    SESSION_KEY,
    SPAN_KEY,
    RequestMiddleware,
    name_request,
)
from sage_native.observability.request_clock import RequestClock
from sage_native.observability.tracing.current import TRACE_KEY
from sage_native.observability.tracing.gaps import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized
    from typing import TypeVar

    from starlette.types import ASGIApp, Scope

    from sage_native.observability.middleware import Ended, LateObserver
    from sage_native.observability.tracing import TracingObserver

    _T = TypeVar("_T", bound=Sized)

__all__ = ["Watch"]

LATE_S: Final = 0.05
"""How much later than its end observers are told of a request.

Each telling finds nothing of itself in a cache, which costs some 40 µs beside what it tells of.
"""
_IGNORED: Final = "Exception ignored in the request observer"


class Watch:
    """Notes requests, and tells observers of them.

    Args:
        app: What the server serves.
        observers: Who is told of requests when they are over.
        tracing: Who must be asked before they begin; nobody if traces are switched off.
        trusts: As of `RequestMiddleware`.

    Attributes:
        members: What every scope must have: a place for its own trace, unless it is sampled, which
            is made by whoever asks for it.
        clock: Begins a request in a task of its own, in which its scope is found, and returns when
            that was, on the clock of ``time.perf_counter``; negative if it is to be looked at.
        takes: Takes what ``note`` would, if it is over now and nothing else is to be done; else it
            returns False.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[LateObserver],
        *,
        tracing: TracingObserver | None = None,
        trusts: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._app = app
        self.members: dict[str, None] = {} if tracing is None else {TRACE_KEY: None}
        self._observers = tuple(observers)
        self._tracing = tracing
        self._traced = None if tracing is None else RequestMiddleware(app, tracing)
        self._trusts = trusts
        # The number of the next request that somebody wants to see before it is answered.
        self._gaps: list[int] = [] if tracing is None else tracing.gaps()
        self._asks_at = self._gaps.pop() if self._gaps else NEVER
        self._requests = RequestClock(looks_at=self._asks_at if trusts is None else 0)
        self.clock = self._requests.begin
        self._ended: list[Ended] = []
        # Requests whose span has to be ended, and when they were over, in ns since the epoch.
        self._traced_ones: list[tuple[Ended, int]] = []
        self._record_observers = tuple(one for one in self._observers if one.takes_records)
        self._records = AnsweredRecords(is_kept=bool(self._record_observers))
        self.takes = self._records.takes
        self._is_due = False
        self._told_count = 0

    @property
    def in_flight_count(self) -> int:
        """Return how many requests have begun and are not over, or were a moment ago."""
        untold_count = len(self._ended) + len(self._records) + len(self._traced_ones)
        return self._requests.count - self._told_count - untold_count

    def begin(self, scope: Scope) -> ASGIApp | None:
        """Begin to watch a request, in the context in which it is answered.

        Returns:
            What shall answer it, in a task of its own; None for whatever answers it otherwise.
        """
        current_scope.set(scope)
        return self.look(scope) if self.clock() < 0 else None

    def look(self, scope: Scope) -> ASGIApp | None:
        """Look at a request that has begun; as ``begin``."""
        if self._trusts is not None:
            name_request(scope, self._trusts)
        tracing = self._tracing
        if tracing is not None and self._requests.count == self._asks_at:
            # Many at once: by itself each finds nothing of what draws it in a cache.
            self._gaps = self._gaps or tracing.gaps()
            self._asks_at += self._gaps.pop()
            if self._trusts is None:
                self._requests.looks_at = self._asks_at
            try:
                found = tracing.sample(scope)
            except Exception as error:  # noqa: BLE001 - not the trouble of who asks
                report(tracing, error, _IGNORED)
                return None
            if found:
                return self._traced if found is True else self._app
        return None

    def note(  # noqa: PLR0913, PLR0917 - a tuple of them would be made for each record and taken apart
        self,
        scope: Scope,
        status: int | None,
        sent_len: int | None,
        begun_s: float,
        ended_s: float,
        error: BaseException | None,
    ) -> None:
        """Take a request that is over.

        Args:
            scope: Its scope.
            status: What was answered, if anything was.
            sent_len: How long the answer is, if that was said.
            begun_s: When it began, on the clock of ``time.perf_counter``.
            ended_s: When it was over.
            error: What the application raised.
        """
        ended = scope, status, sent_len, begun_s, ended_s, error
        trace = scope.get(TRACE_KEY)
        if trace is not None and trace.is_sampled:
            # As rare as it is, it would find nothing in a cache.
            self._traced_ones.append((ended, time_ns()))
        else:
            self._sort(ended)
        if not self._is_due:
            self._is_due = True
            # In the context of none of them: lines have what is bound there.
            asyncio.get_running_loop().call_later(LATE_S, self.tell, context=Context())

    def _sort(self, ended: Ended) -> None:
        """Keep what observers are to be told of a request."""
        scope, status, sent_len, begun_s, ended_s, error = ended
        session_id = scope.get(SESSION_KEY)
        if session_id is None or status != RECORD_STATUS or sent_len is None or error is not None:
            self._ended.append(ended)
        else:
            name, span = scope.get(REQUEST_ID_KEY), scope.get(SPAN_KEY)
            try:
                self._records.add(session_id, sent_len, begun_s, ended_s, name, span)
            except (OverflowError, TypeError, ValueError):  # it is none that we have answered
                self._ended.append(ended)

    def _end_traced(self) -> None:
        """End the spans of requests that are over, which their lines name."""
        traced, self._traced_ones = self._traced_ones, []
        for ended, ended_ns in traced:
            scope, status, _, _, _, error = ended
            assert self._tracing is not None  # noqa: S101 - who else has begun it
            try:
                self._tracing.end_alone(scope, status, error, ended_ns=ended_ns)
            except Exception as trouble:  # noqa: BLE001 - as above
                report(self._tracing, trouble, _IGNORED)
            self._sort(ended)

    def tell(self) -> None:
        """Tell the observers of what has ended since the last time."""
        self._is_due = False
        if self._traced_ones:
            self._end_traced()
        ended, self._ended = self._ended, []
        records = self._records.take()
        self._told_count += len(ended) + len(records)
        for observer in self._observers:
            _tell(observer, observer.finish_many, ended)
        for observer in self._record_observers:
            _tell(observer, observer.finish_records, records)
        # What was raised holds the frames that hold it.
        ended.clear()


def _tell(observer: LateObserver, tell: Callable[[_T], None], of: _T) -> None:
    if len(of):
        try:
            tell(of)
        except Exception as error:  # noqa: BLE001 - not the trouble of those who were answered
            report(observer, error, _IGNORED)
