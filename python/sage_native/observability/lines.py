"""A log line: for machines JSON, for people text in columns; each on one line of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from sage_native.observability.context import bound, scope_here
from sage_native.observability.middleware import request_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    from sage_native.observability.redaction import Value

__all__ = ["add_span", "context", "renderer"]

_encode = msgspec.json.Encoder().encode
_FIRST = ("time", "level", "event", "logger", "exception")


def renderer(form: Literal["json", "console"]) -> Callable[[Mapping[str, object]], bytes]:
    """Return what writes a line in a form, without its newline; its ``time`` is a datetime."""
    return _encode if form == "json" else _console_line


def _console_line(fields: Mapping[str, Any]) -> bytes:
    moment = fields["time"].strftime("%H:%M:%S")
    rest = " ".join(
        f"{name}={_spelled(value)}" for name, value in fields.items() if name not in _FIRST
    )
    line = f"{moment} {fields.get('level', ''):<7} {fields.get('event', '')}"
    if rest:
        line = f"{line}  {rest}"
    trace = fields.get("exception")
    if isinstance(trace, str):
        line = "\n".join([line, *(f"  | {one}" for one in trace.splitlines())])
    return line.encode()


def _spelled(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and (not value or " " in value or '"' in value):
        return _encode(value).decode()
    return str(value)


def context() -> dict[str, object]:
    """Return what every line of this moment says: its request, its span, and what is bound."""
    fields: dict[str, object] = {}
    scope = scope_here()
    if scope is not None:
        fields["request_id"] = request_id_of(scope)
    add_span(fields)
    fields.update(bound())
    return fields


def add_span(fields: dict[str, object]) -> None:
    """Add the ids of the span that is being recorded, if there is one."""
    # Never imported for this: where it is not, there is no span.
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is not None:
        span = tracing.get_current_span().get_span_context()
        if span.trace_flags.sampled and span.is_valid:
            fields["trace_id"] = f"{span.trace_id:032x}"
            fields["span_id"] = f"{span.span_id:016x}"
