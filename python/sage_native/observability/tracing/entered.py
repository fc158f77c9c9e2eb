"""What every span of this package does while it is entered: it never disturbs what is traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sage_native.events import report
from sage_native.observability.tracing.tracers import span_tracer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from opentelemetry.trace import Span, Tracer

__all__ = ["EnteredSpan"]


class EnteredSpan:
    """A span that is current while it is entered, if one is made at all.

    Subclasses say how it begins (``_start``, ``_begun``) and what trouble there was at its end
    (``_trouble``). What a tracer raises is reported like an exception in a hook.
    """

    __slots__ = ("_span", "_token")

    def __init__(self) -> None:
        self._span: Span | None = None
        self._token: Any = None

    def note(self, name: str, value: str | float) -> None:
        """Add an attribute; nothing that names a person, an agent or a session."""
        if self._span is not None:
            self._span.set_attribute(name, value)

    def __enter__(self) -> Self:
        tracer = span_tracer()
        if tracer is not None:
            try:
                self._begin(tracer)
            except Exception as error:  # noqa: BLE001 - not the trouble of what is traced
                report(self, error, "Exception ignored at the begin of")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._span is not None:
            try:
                self._end(self._span, error)
            except Exception as trouble:  # noqa: BLE001 - as above
                report(self, trouble, "Exception ignored at the end of")
            self._span = self._token = None

    def _start(self, tracer: Tracer) -> Span:
        raise NotImplementedError

    def _begun(self) -> None:
        """Do what is to be done once the span is the current one."""

    def _trouble(self, error: BaseException | None) -> str | None:
        """Return the kind of trouble there was, if any, once all else is noted."""
        raise NotImplementedError

    def _begin(self, tracer: Tracer) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - somebody has imported them

        self._span = self._start(tracer)
        self._token = context.attach(trace.set_span_in_context(self._span))
        self._begun()

    def _end(self, span: Span, error: BaseException | None) -> None:
        from opentelemetry import context  # noqa: PLC0415 - as above
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - as above

        if self._token is not None:
            context.detach(self._token)
        trouble = self._trouble(error)
        if trouble is not None:
            span.set_attribute("error.type", trouble)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
