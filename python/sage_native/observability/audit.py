"""The audit log: decisions about who may do what, with ids in clear, in a file of its own.

A line each, JSON, brought to the disk within a tenth of a second: the lines of a batch share one
fsync. Nobody waits for it. A disk that takes nothing while strangers are refused must not stop the
gateway; when the queue is full lines are dropped, the log is told, and so is the next line.
"""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sage_native import events
from sage_native.observability.context import scope_here
from sage_native.observability.middleware import SESSION_KEY, request_id_of, route_of
from sage_native.observability.redaction import printable
from sage_native.observability.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["AuditLog"]

QUEUE_LEN: Final = 65_536
_DECISIONS: Final[dict[type[events.Event], str]] = {
    events.HandshakeFinished: "handshake",
    events.ReplayRefused: "replay refused",
    events.ReplayMemoryOpened: "replay memory opened",
    events.SessionsEnded: "sessions ended",
    events.SessionRestored: "session restored",
    events.OperatorActed: "operator",
    events.KeysRotated: "key rotated",
    events.RequestRefused: "request refused",
}
_REFUSALS: Final = frozenset({"authentication_failed", "replay_detected", "misdirected"})
"""Codes that are decisions about a client; the others say that a request was wrong, or too much."""
_encode = msgspec.json.Encoder().encode


class AuditLog:
    """A hook for `sage_native.events.subscribe` that writes the audit log.

    Args:
        path: The file; it is made with mode 0600, and opened anew when it was moved.
        address_of: Names the client of a request's scope; what the scope says if it is left out.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(
        self, path: str, *, address_of: Callable[[Mapping[str, Any]], str] | None = None
    ) -> None:
        self._address_of = _peer if address_of is None else address_of
        self._writer = LineWriter(path, say_lost=_lost, queue_len=QUEUE_LEN, is_synced=True)

    @property
    def kinds(self) -> tuple[type[events.Event], ...]:
        """Return the kinds of events that may be decisions."""
        return tuple(_DECISIONS)

    @property
    def dropped_count(self) -> int:
        """Return how many lines were dropped."""
        return self._writer.dropped_count

    def __call__(self, event: events.Event) -> None:
        """Write the line of an event, if it is a decision."""
        decision = _DECISIONS.get(type(event))
        if decision is None or (
            isinstance(event, events.RequestRefused) and event.code not in _REFUSALS
        ):
            return
        line: dict[str, object] = {
            "time": datetime.now(UTC),
            "decision": decision,
            "pid": os.getpid(),
        }
        for field in fields(event):
            value = getattr(event, field.name)
            if value is not None:
                line[field.name] = (
                    value if isinstance(value, int | float) else printable(f"{value}")
                )
        self._add_request(line)
        self._writer.append(_encode(line))

    def close(self) -> None:
        """Write what waits, for two seconds at most, and let the file go."""
        self._writer.close()

    def _add_request(self, line: dict[str, object]) -> None:
        scope = scope_here()
        if scope is None:
            return
        line["request_id"] = request_id_of(scope)
        line["address"] = printable(self._address_of(scope))
        line["route"] = route_of(scope)
        session_id = scope.get(SESSION_KEY)
        if session_id is not None:
            line.setdefault("session_id", printable(session_id))


def _peer(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return "" if client is None else str(client[0])


def _lost(count: int) -> bytes:
    return _encode({"time": datetime.now(UTC), "decision": "lines were lost", "count": count})
