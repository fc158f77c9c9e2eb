"""Every field that may stand in a log line, and how its value is written.

This is the allow-list: what is not named here is left out of the line, and counted. Values of a
kind that a field does not take are left out too, bytes above all.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

__all__ = ["FIELDS", "FIELDS_DROPPED", "Field", "Kind"]


class Kind(enum.Enum):
    """How a value is written."""

    CODE = "code"
    """Text from a closed set: a name, a code, a template. Cut at 256 characters."""
    TEXT = "text"
    """Free text. Ids, bytes and long tokens in it are masked; cut at 4,096 characters."""
    TRACE = "trace"
    """As TEXT, of several lines; cut at 16,384 characters."""
    NUMBER = "number"
    """An integer, a number or a truth value."""
    DID = "did"
    """A DID: its pseudonym is written."""
    SESSION = "session"
    """A session id: its pseudonym is written."""


class Field(NamedTuple):
    """One field.

    Attributes:
        kind: How its value is written.
        meaning: What it tells.
    """

    kind: Kind
    meaning: str


FIELDS_DROPPED: Final = "fields_dropped"

FIELDS: Final[dict[str, Field]] = {
    "time": Field(Kind.CODE, "When, in UTC."),
    "level": Field(Kind.CODE, "`debug`, `info`, `warning`, `error` or `critical`."),
    "event": Field(Kind.TEXT, "What happened; `request` for a request that was answered."),
    "logger": Field(Kind.CODE, "Who tells, if it is a logger of Python's `logging`."),
    "pid": Field(Kind.NUMBER, "The process."),
    "request_id": Field(Kind.CODE, "Names the request that the line belongs to."),
    "trace_id": Field(Kind.CODE, "The trace, while a span of it is recorded."),
    "span_id": Field(Kind.CODE, "The span."),
    "method": Field(Kind.CODE, "Method of HTTP; `other` for one that HTTP does not define."),
    "route": Field(Kind.CODE, "Template of the path, `unmatched` without one."),
    "status": Field(Kind.CODE, "Status of HTTP, or how a handshake ended."),
    "duration_ms": Field(Kind.NUMBER, "How long it took."),
    "sent_len": Field(Kind.NUMBER, "Bytes of the answer's body."),
    "problem": Field(Kind.CODE, "Code of the problem that was answered."),
    "error": Field(Kind.TEXT, "What was raised."),
    "exception": Field(Kind.TRACE, "Where it was raised."),
    "session": Field(Kind.SESSION, "Pseudonym of the session."),
    "did": Field(Kind.DID, "Pseudonym of the DID in question."),
    "client": Field(Kind.DID, "Pseudonym of the client's DID."),
    "server": Field(Kind.DID, "Pseudonym of the server's DID."),
    "key_type": Field(Kind.CODE, "Kind of the client's identity."),
    "key_id": Field(Kind.CODE, "Id of a key-encryption key."),
    "what": Field(Kind.CODE, "Which kind of key."),
    "action": Field(Kind.CODE, "What an operator asked for."),
    "outcome": Field(Kind.CODE, "What came of it."),
    "reason": Field(Kind.CODE, "Why."),
    "role": Field(Kind.CODE, "`initiator` or `responder`."),
    "epoch": Field(Kind.NUMBER, "Epoch of a session."),
    "count": Field(Kind.NUMBER, "How many."),
    "store": Field(Kind.TEXT, "Which store, without its password."),
    "operation": Field(Kind.CODE, "What the store was asked."),
    "path": Field(Kind.TEXT, "A file."),
    "remembers_since_ms": Field(Kind.NUMBER, "Since when a replay memory misses nothing."),
    "is_complete": Field(Kind.NUMBER, "Whether all that matters is remembered."),
    "demands_rekey": Field(Kind.NUMBER, "Whether a session must be rekeyed first."),
    FIELDS_DROPPED: Field(Kind.NUMBER, "How many values the line leaves out."),
}
"""The fields by name. Applications that log through this package add their own at the start."""
