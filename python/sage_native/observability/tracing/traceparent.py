"""``traceparent`` and ``tracestate``: what one service tells the next of a trace.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context-2/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PARENT", "RemoteParent", "read_parent", "spelt_parent"]

PARENT: Final = b"traceparent"
"""The field that names the span in which a request was sent."""
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?"
)
_FIRST_VERSION = b"00"
_SIGNS = rb"[_0-9a-z*/-]"
_KEY = rb"(?:[a-z]%b{0,255}|[a-z0-9]%b{0,240}@[a-z]%b{0,13})" % (_SIGNS, _SIGNS, _SIGNS)
_MEMBER = rb"[ \t]*(?:%b=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*)?" % _KEY
_TRACESTATE = re.compile(rb"%b(?:,%b){0,31}" % (_MEMBER, _MEMBER))
_TRACESTATE_LEN = 512
_KNOWN_FLAGS = 0x03


class RemoteParent(NamedTuple):
    """The span of somebody else in which a request was sent.

    Attributes:
        trace_id: 128 bits, not 0.
        span_id: 64 bits, not 0.
        flags: Those that are known: 1 for sampled, 2 for a random trace id.
        tracestate: What vendors say of the trace, at most 512 bytes and 32 members; empty if
            nothing is said, or not in the form that is required.
    """

    trace_id: int
    span_id: int
    flags: int
    tracestate: bytes


def read_parent(headers: Iterable[tuple[bytes, bytes]]) -> RemoteParent | None:
    """Read who sent a request; None if nobody says so, or not in the form that is required.

    Args:
        headers: As in an ASGI scope: names in lower case.
    """
    parent: bytes | None = None
    states: list[bytes] = []
    for name, value in headers:
        if name == PARENT:
            if parent is not None:
                return None
            parent = value
        elif name == b"tracestate":
            states.append(value)
    found = None if parent is None else _TRACEPARENT.fullmatch(parent)
    if parent is None or found is None or (parent.startswith(_FIRST_VERSION) and found[4]):
        return None
    state = b",".join(states)
    return RemoteParent(
        int(found[1], 16),
        int(found[2], 16),
        int(found[3], 16) & _KNOWN_FLAGS,
        state if len(state) <= _TRACESTATE_LEN and _TRACESTATE.fullmatch(state) else b"",
    )


def spelt_parent(trace_id: int, span_id: int, flags: int) -> bytes:
    """Spell a ``traceparent``."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, flags & _KNOWN_FLAGS)
