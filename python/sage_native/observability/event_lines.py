"""Log lines of what happens: one for each event that is worth one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sage_native import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from sage_native.observability.logging import LogOutput

    Told: TypeAlias = tuple[str, str, dict[str, Any]]

__all__ = ["EventLog"]


class EventLog:
    """A hook for `sage_native.events.subscribe` that writes lines.

    Refused requests have theirs in `RequestLog`, and answers of stores are for metrics.

    Args:
        log_output: Where lines go.
    """

    def __init__(self, log_output: LogOutput) -> None:
        self._output = log_output
        self._takes = {
            level: log_output.takes(level) for level in ("debug", "info", "warning", "error")
        }

    def __call__(self, event: events.Event) -> None:
        """Write the line of an event, if it has one."""
        tell = _LINES.get(type(event))
        if tell is None:
            return
        level, text, fields = tell(event)
        if self._takes[level]:
            self._output.write(level, text, fields)


def _of_handshake(event: events.HandshakeFinished) -> Told:
    fields = {
        "status": event.status,
        "key_type": event.key_type,
        "duration_ms": None if event.duration_s is None else round(event.duration_s * 1000, 3),
        "problem": event.code,
        "client": event.client_did,
        "server": event.server_did,
        "session": event.session_id,
    }
    return "error" if event.status == "failed" else "info", "handshake finished", fields


def _of_store(event: events.StoreFailed) -> Told:
    cause = event.error.__cause__
    told = f"{event.error}" if cause is None else f"{event.error} ({type(cause).__name__})"
    fields = {"store": event.store, "operation": event.operation, "error": told}
    return "error", "store failed", fields


def _of_operator(event: events.OperatorActed) -> Told:
    subject = event.subject or ""
    fields = {
        "action": event.action,
        "outcome": event.outcome,
        "did": subject if subject.startswith("did:") else None,
        "session": subject if subject and not subject.startswith("did:") else None,
    }
    is_refused = event.action == "token_refused"
    return "warning" if is_refused else "info", "operator acted", fields


def _of_key(event: events.KeysRotated) -> Told:
    key = "did" if event.what == "signing key" else "key_id"
    return "info", "key rotated", {"what": event.what, key: event.key_id}


def _of_memory(event: events.ReplayMemoryOpened) -> Told:
    fields = {
        "path": str(event.path),
        "remembers_since_ms": event.remembers_since_ms,
        "is_complete": event.is_complete,
    }
    return "info", "replay memory opened", fields


def _of_restored(event: events.SessionRestored) -> Told:
    fields = {"role": event.role, "demands_rekey": event.demands_rekey}
    return "info", "session restored", fields


_LINES: Final[dict[type[events.Event], Callable[[Any], Told]]] = {
    events.HandshakeFinished: _of_handshake,
    events.KeysRotated: _of_key,
    events.OperatorActed: _of_operator,
    events.ReplayMemoryOpened: _of_memory,
    events.ReplayRefused: lambda event: (
        "warning",
        "replay refused",
        {"reason": event.reason, "count": event.count},
    ),
    events.SessionRekeyed: lambda event: ("debug", "session rekeyed", {"epoch": event.epoch}),
    events.SessionRestored: _of_restored,
    events.SessionStarted: lambda event: ("debug", "session started", {"role": event.role}),
    events.SessionsEnded: lambda event: (
        "info",
        "sessions ended",
        {"reason": event.reason, "count": event.count},
    ),
    events.StoreFailed: _of_store,
}
