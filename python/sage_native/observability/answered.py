"""Records that were answered, as little of each as observers need: what nearly every request is.

A worker that answers thirty thousand a second, and tells of each a twentieth of a second later,
would keep fifteen hundred scopes until then: two megabytes, which is cold when it is let go. So it
keeps what a line says of a record and no more, natively, one behind the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from sage_native._native import _AnsweredRecords as AnsweredRecords
from sage_native.observability.middleware import (
    REQUEST_ID_KEY,
    ROUTE_KEY,
    SESSION_KEY,
    SPAN_KEY,
)

if TYPE_CHECKING:
    from sage_native.observability.middleware import Ended

__all__ = [
    "RECORD_METHOD",
    "RECORD_ROUTE",
    "RECORD_STATUS",
    "AnsweredRecord",
    "AnsweredRecords",
    "ended_of",
]

RECORD_METHOD: Final = "POST"
RECORD_ROUTE: Final = "/v1/sessions/{session_id}/messages"
RECORD_STATUS: Final = 200

AnsweredRecord: TypeAlias = tuple[str, int, float, float, str | None, tuple[str, str] | None]
"""Session id, length of the answer, begin and end, and, if there are any, the name of the request
and the ids of its trace and its span. The times are those of ``time.perf_counter``."""


def ended_of(record: AnsweredRecord) -> Ended:
    """Return a record as any other request that is over."""
    session_id, sent_len, started_s, ended_s, name, span = record
    scope: dict[str, object] = {
        "type": "http",
        "method": RECORD_METHOD,
        "headers": (),
        ROUTE_KEY: RECORD_ROUTE,
        SESSION_KEY: session_id,
    }
    if name is not None:
        scope[REQUEST_ID_KEY] = name
    if span is not None:
        scope[SPAN_KEY] = span
    return scope, RECORD_STATUS, sent_len, started_s, ended_s, None
