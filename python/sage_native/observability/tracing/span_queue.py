"""Spans on their way out: a bounded queue, and one thread that sends.

Whoever ends a span pays for an append and no more. A receiver that is gone, slow or silent costs
spans, never a request: the queue is full then, what comes is dropped and counted, and nobody waits.
`SpanQueue.close` waits for a stated time; the thread is a daemon, so that what it still waits for
after that does not keep the process.

OpenTelemetry's ``BatchSpanProcessor`` does the same, but it does not say what it dropped, waits for
up to 30 s at its end, and lets a forked child write into the connection of its parent.

::

    on_end ─▶ queue (max_len) ─▶ thread: batches of batch_len ─▶ exporter
                │ full                                             │ fails
                └────────────────▶ dropped ◀──────────────────────┘

A forked child begins with an empty queue, an exporter of its own and, at its first span, a thread
of its own: what the parent has queued is the parent's to send.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Protocol

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from sage_native.observability.tracing.drops import count_dropped
from sage_native.observability.tracing.suppressing import unobserved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from sage_native.observability.tracing.ended_span import EndedSpan

__all__ = ["SpanQueue", "SpanSender"]

_logger = logging.getLogger("sage_native.tracing")


class SpanSender(Protocol):
    """An exporter that takes spans of requests as they are, beside the SDK's."""

    def export(self, spans: Sequence[ReadableSpan | EndedSpan], /) -> SpanExportResult:
        """Send a batch; tell whether it has come."""

    def shutdown(self) -> None:
        """Send no more."""


class SpanQueue(SpanProcessor):
    """Hands the spans of a tracer provider to an exporter, in batches.

    Args:
        make_exporter: Makes the exporter; called once in each process.
        max_len: How many spans wait at most.
        batch_len: How many are sent at once.
        interval_s: How long a span waits for others.
        close_s: How long ``shutdown`` waits.
    """

    def __init__(
        self,
        make_exporter: Callable[[], SpanSender],
        *,
        max_len: int,
        batch_len: int,
        interval_s: float,
        close_s: float,
    ) -> None:
        self._make_exporter = make_exporter
        self._max_len = max_len
        self._batch_len = min(batch_len, max_len)
        self._interval_s = interval_s
        self._close_s = close_s
        self._exporter: SpanSender | None = make_exporter()
        self._is_closed = False
        self._begin()
        if hasattr(os, "register_at_fork"):
            weak_begin = weakref.WeakMethod(self._begin_anew)

            def begin_anew() -> None:
                begin = weak_begin()
                if begin is not None:
                    begin()

            os.register_at_fork(after_in_child=begin_anew)

    def _begin_anew(self) -> None:
        self._exporter = None
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[ReadableSpan | EndedSpan] = deque()
        # Reentrant, since a finaliser that runs while it is held may end a span. Taken by itself
        # where spans end: by way of the condition it takes twice as long.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._sending_len = 0
        self._hurries = False
        self._is_given_up = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that is sampled, or drop it if the queue is full or closed."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.add(span)

    def add(self, span: ReadableSpan | EndedSpan) -> None:
        """Queue a span that is sampled, as ``on_end``."""
        with self._lock:
            queue_len = len(self._queue)
            if (
                self._is_closed
                or queue_len >= self._max_len
                or (self._thread is None and not self._is_started())
            ):
                count_dropped(1)
                return
            self._queue.append(span)
            if queue_len + 1 == self._batch_len:
                self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued now; tell whether that was done in time."""
        deadline_s = time.monotonic() + timeout_millis / 1000
        with self._changed:
            self._hurries = True
            self._changed.notify_all()
            return self._changed.wait_for(
                self._is_empty, timeout=max(0.0, deadline_s - time.monotonic())
            )

    def shutdown(self) -> None:
        """Close it within its own time."""
        self.close(self._close_s)

    def close(self, timeout_s: float) -> bool:
        """Take no more, send what is queued, and drop what is left after this time.

        Returns:
            Whether everything was sent or had failed by itself.
        """
        with self._changed:
            if self._is_closed:
                return not self._is_given_up
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._changed:
            left = len(self._queue) + self._sending_len
            self._queue.clear()
            if left:
                self._is_given_up = True
                count_dropped(left)
                _logger.warning("%d spans were not sent within %g s", left, timeout_s)
        if self._exporter is not None:
            self._exporter.shutdown()
        return not left

    def _is_started(self) -> bool:
        thread = threading.Thread(target=self._send, name="sage-spans", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more, or the interpreter ends
            return False
        self._thread = thread
        return True

    def _is_empty(self) -> bool:
        return not self._queue and not self._sending_len

    def _send(self) -> None:
        if self._exporter is None:
            self._exporter = self._make_exporter()
        with unobserved():
            while batch := self._next_batch():
                is_sent = False
                try:
                    is_sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
                except Exception:
                    _logger.exception("spans could not be sent")
                self._note(is_sent=is_sent)

    def _next_batch(self) -> list[ReadableSpan | EndedSpan]:
        """Wait for spans that are to be sent; none once the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(self._is_ready, self._interval_s)
            while not self._queue and not self._is_closed:
                self._hurries = False
                self._changed.wait_for(self._is_ready, self._interval_s)
            count = min(len(self._queue), self._batch_len)
            batch = [self._queue.popleft() for _ in range(count)]
            self._sending_len = count
            return batch

    def _is_ready(self) -> bool:
        return self._is_closed or self._hurries or len(self._queue) >= self._batch_len

    def _note(self, *, is_sent: bool) -> None:
        with self._changed:
            if not is_sent and not self._is_given_up:
                lost = self._sending_len
                if self._is_closed:  # the next batches would fare no better, and somebody waits
                    lost += len(self._queue)
                    self._queue.clear()
                count_dropped(lost)
            self._sending_len = 0
            if not self._queue:
                self._hurries = False
            self._changed.notify_all()
