"""A span for each request that is sampled, and a trace for each other one.

Whose decision counts? A client that sends ``traceparent`` with the flag *sampled* would decide what
its requests cost us, and what others pay to keep. So a trace is continued, with its decision, only
when it comes from somebody who is believed: a trusted proxy. Everybody else's request begins a
trace of our own by our own rate, and if that is sampled, its span has a link to the one that was
named, so that both ends can be found.
"""

from __future__ import annotations

import random
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final

from sage_native.observability.answered import RECORD_ROUTE
from sage_native.observability.middleware import REQUEST_ID_KEY
from sage_native.observability.tracing.current import RequestTrace, request_trace
from sage_native.observability.tracing.gaps import draw_gap
from sage_native.observability.tracing.request_attributes import outcome_of
from sage_native.observability.tracing.traceparent import PARENT, read_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, MutableMapping

    from sage_native.observability.middleware import ObservedRequest
    from sage_native.observability.tracing.server_spans import ServerSpan
    from sage_native.observability.tracing.starting import Tracing

__all__ = ["TracingObserver"]

_GAP_COUNT: Final = 64
"""How many gaps are drawn at once."""
_IS_SELECTED = "sage.is_selected"
_RECORD_BEFORE, _, _RECORD_AFTER = RECORD_ROUTE.partition("{session_id}")


class TracingObserver:
    """Observes requests for `RequestMiddleware`.

    Args:
        tracing: Where the spans go.
        listener: An attribute of every span: which listener it is.
        believes: Tells whether the sender of a scope is believed about the trace that its request
            belongs to; nobody is without it.
        unsampled_paths: Paths that are asked for all the time and tell nothing.

    Cost: 0.6 µs for a request that is not sampled (1 µs where somebody is believed), else
    40 µs in a worker, a record 24, 4 µs in a loop that does nothing else, and 3 µs for sending its
    span.
    """

    def __init__(
        self,
        tracing: Tracing,
        *,
        listener: str = "public",
        believes: Callable[[MutableMapping[str, Any]], bool] | None = None,
        unsampled_paths: Collection[str] = (),
    ) -> None:
        from sage_native.observability.tracing.server_spans import (  # noqa: PLC0415 - an extra
            ServerSpan,
            ServerSpanToCome,
        )

        self._begin_span = ServerSpan
        self._to_come = ServerSpanToCome(tracing.request_spans, listener)
        self._tracing = tracing
        self._rate = tracing.sample_rate
        self._listener = listener
        self._believes = believes
        self._unsampled_paths = frozenset(unsampled_paths)

    def gaps(self) -> list[int]:
        """Draw how far it is from each request that `sample` must be asked about to the next.

        For a server that calls its application past `RequestMiddleware` if nobody is interested.
        Those in between have a trace of their own: their scope must have a `TRACE_KEY`.
        """
        if self._believes is not None:
            return [1] * _GAP_COUNT
        return [draw_gap(self._rate) for _ in range(_GAP_COUNT)]

    def sample(self, scope: MutableMapping[str, Any]) -> RequestTrace | bool:
        """Decide about a request at the end of a gap, in the task that answers it alone.

        Returns:
            Its trace, which `end_alone` ends; True if it must go through a `RequestMiddleware`, and
            False if it is not sampled.
        """
        if self._believes is not None:
            if self._believes(scope):
                return True
            if random.random() >= self._rate:  # noqa: S311 - no secret
                return False
        path = scope["path"]
        if path in self._unsampled_paths:
            return False
        to_come = self._to_come
        is_alone = to_come.spans.is_enough
        for name, _ in scope["headers"]:
            if name == PARENT:
                is_alone = False
        if not is_alone:
            scope[_IS_SELECTED] = True
            return True
        # It will have a name, of which whoever takes records that are plain must know.
        scope.setdefault(REQUEST_ID_KEY, None)
        if path.startswith(_RECORD_BEFORE) and path.endswith(_RECORD_AFTER):
            to_come.announce(scope)
            return to_come
        return to_come.begin_here(scope)

    def end_alone(
        self,
        scope: MutableMapping[str, Any],
        status: int | None,
        error: BaseException | None,
        *,
        ended_ns: int,
    ) -> None:
        """End the span of a request that is sampled, once the request is over.

        Args:
            scope: Its scope, which is told the ids of the span.
            status: What was answered, if anything was.
            error: What the application raised.
            ended_ns: When the request was over, in ns since the epoch.
        """
        self._to_come.end(scope, outcome_of(scope, status, error), ended_ns)

    def begin(self, request: ObservedRequest) -> Token[RequestTrace | None] | ServerSpan:
        """Decide about a request's trace, and begin its span if it is sampled."""
        scope = request.scope
        is_selected = scope.pop(_IS_SELECTED, False)
        if is_selected:
            return self._sampled(request)
        if self._believes is not None and self._believes(scope):
            parent = read_parent(scope["headers"])
            if parent is not None:
                is_sampled = parent.flags & 1 and scope["path"] not in self._unsampled_paths
                if is_sampled:
                    return self._begin_span(self._tracing, request, self._listener, parent=parent)
                return request_trace.set(
                    RequestTrace.of(
                        parent.trace_id, flags=parent.flags & ~1, tracestate=parent.tracestate
                    )
                )
        if random.random() < self._rate and scope["path"] not in self._unsampled_paths:  # noqa: S311 - no secret
            return self._sampled(request)
        return request_trace.set(RequestTrace())

    def _sampled(self, request: ObservedRequest) -> ServerSpan:
        link = read_parent(request.scope["headers"])
        return self._begin_span(self._tracing, request, self._listener, link=link)

    def finish(self, request: ObservedRequest, state: object) -> None:
        """End it."""
        if isinstance(state, Token):
            request_trace.reset(state)
        elif isinstance(state, self._begin_span):
            state.end(request)
