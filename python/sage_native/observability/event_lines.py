"""Log lines of what happens: one for each event that is worth one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sage_native import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from sage_native.observability.logging import LogOutput

    Told: TypeAlias = tuple[str, dict[str, Any]]

__all__ = ["EventLog"]


class EventLog:
    """A hook for `sage_native.events.subscribe` that writes lines.

    Refused requests have theirs in `RequestLog`, and answers of stores are for metrics.

    Args:
        log_output: Where lines go.

    Attributes:
        kinds: The kinds of events that may have lines at this level.
    """

    def __init__(self, log_output: LogOutput) -> None:
        self._output = log_output
        self._takes = {
            level: log_output.takes(level) for level in ("debug", "info", "warning", "error")
        }
        self.kinds = tuple(
            kind
            for kind, (levels, _) in _LINES.items()
            if any(self._takes[level] for level in levels)
        )

    def __call__(self, event: events.Event) -> None:
        """Write the line of an event, if it has one."""
        told = _LINES.get(type(event))
        if told is None:
            return
        levels, tell = told
        level = levels[0]
        if len(levels) > 1 and _is_worse(event):
            level = levels[1]
        if self._takes[level]:
            self._output.write(level, *tell(event))


def _is_worse(event: events.Event) -> bool:
    """Tell whether an event of two levels is of the second."""
    if isinstance(event, events.HandshakeFinished):
        return event.status == "failed"
    return isinstance(event, events.OperatorActed) and event.action == "token_refused"


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
    return "handshake finished", fields


def _of_store(event: events.StoreFailed) -> Told:
    cause = event.error.__cause__
    told = f"{event.error}" if cause is None else f"{event.error} ({type(cause).__name__})"
    fields = {"store": event.store, "operation": event.operation, "error": told}
    return "store failed", fields


def _of_operator(event: events.OperatorActed) -> Told:
    subject = event.subject or ""
    fields = {
        "action": event.action,
        "outcome": event.outcome,
        "did": subject if subject.startswith("did:") else None,
        "session": subject if subject and not subject.startswith("did:") else None,
    }
    return "operator acted", fields


def _of_key(event: events.KeysRotated) -> Told:
    key = "did" if event.what == "signing key" else "key_id"
    return "key rotated", {"what": event.what, key: event.key_id}


def _of_memory(event: events.ReplayMemoryOpened) -> Told:
    fields = {
        "path": str(event.path),
        "remembers_since_ms": event.remembers_since_ms,
        "is_complete": event.is_complete,
    }
    return "replay memory opened", fields


def _of_restored(event: events.SessionRestored) -> Told:
    return "session restored", {"role": event.role, "demands_rekey": event.demands_rekey}


# The usual level, perhaps the one of what is worse, and what makes the line.
_LINES: Final[dict[type[events.Event], tuple[tuple[str, ...], Callable[[Any], Told]]]] = {
    events.HandshakeFinished: (("info", "error"), _of_handshake),
    events.KeysRotated: (("info",), _of_key),
    events.OperatorActed: (("info", "warning"), _of_operator),
    events.ReplayMemoryOpened: (("info",), _of_memory),
    events.ReplayRefused: (
        ("warning",),
        lambda event: ("replay refused", {"reason": event.reason, "count": event.count}),
    ),
    events.SessionRekeyed: (
        ("debug",),
        lambda event: ("session rekeyed", {"epoch": event.epoch}),
    ),
    events.SessionRestored: (("info",), _of_restored),
    events.SessionStarted: (("debug",), lambda event: ("session started", {"role": event.role})),
    events.SessionsEnded: (
        ("info",),
        lambda event: ("sessions ended", {"reason": event.reason, "count": event.count}),
    ),
    events.StoreFailed: (("error",), _of_store),
}
