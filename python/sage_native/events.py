"""What happens, as frozen records, for whoever listens.

::

    unsubscribe = subscribe(print)

A hook is called where the event happens, in that thread, so it must be quick and must not block.
What it raises is reported like an exception in a destructor (``sys.unraisablehook``) and changes
nothing. Without hooks an event costs a branch.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Event",
    "Hook",
    "ReplayMemoryOpened",
    "ReplayRefused",
    "SessionRekeyed",
    "SessionRestored",
    "SessionStarted",
    "SessionsEnded",
    "StoreFailed",
    "subscribe",
]


@dataclass(frozen=True)
class ReplayRefused:
    """Request nonces or sequence numbers were refused.

    Attributes:
        reason: ``replayed``: admitted before. ``given_up``: of a time that is over, or that was
            given up when a clock ran ahead. ``full``: no place was free.
        count: How many; more than one only for a batch.
    """

    reason: Literal["replayed", "given_up", "full"]
    count: int


@dataclass(frozen=True)
class ReplayMemoryOpened:
    """A replay memory that processes share was opened.

    Attributes:
        path: Its file.
        remembers_since_ms: Since when nothing is missing, in ms since the epoch.
        is_complete: False while something that was admitted before that may still be replayed:
            demand challenges. For windows: False if the table is new.
    """

    path: Path
    remembers_since_ms: int
    is_complete: bool


@dataclass(frozen=True)
class StoreFailed:
    """A store gave no answer, or the wrong one; whoever asked was refused.

    Attributes:
        store: Which, without password.
        operation: What was asked of it.
        error: What it raised; the backend's own error is its ``__cause__``.
    """

    store: str
    operation: str
    error: Exception


Role: TypeAlias = Literal["initiator", "responder"]


@dataclass(frozen=True)
class SessionStarted:
    """A session was confirmed and stored.

    Attributes:
        role: Which side this is.
    """

    role: Role


@dataclass(frozen=True)
class SessionRestored:
    """A session came out of its store.

    Attributes:
        role: Which side this is.
        demands_rekey: Its replay windows are lost.
    """

    role: Role
    demands_rekey: bool


@dataclass(frozen=True)
class SessionRekeyed:
    """A rekey was committed.

    Attributes:
        epoch: The epoch that it led to.
    """

    epoch: int


@dataclass(frozen=True)
class SessionsEnded:
    """Sessions have ended.

    Attributes:
        reason: ``closed`` by this side, ``closed by peer``, ``expired``, ``revoked``, or ``ended
            elsewhere``: another worker, or somebody at the store, did it.
        count: How many.
    """

    reason: str
    count: int


Event: TypeAlias = (
    ReplayRefused
    | ReplayMemoryOpened
    | StoreFailed
    | SessionStarted
    | SessionRestored
    | SessionRekeyed
    | SessionsEnded
)
Hook: TypeAlias = Callable[[Event], object]

# Replaced as a whole, so that whoever goes through it needs no lock.
_hooks: tuple[Hook, ...] = ()
_subscribing = threading.Lock()


def subscribe(hook: Hook) -> Callable[[], None]:
    """Call ``hook`` with every event from now on.

    Returns:
        A function that ends it; calling it again does nothing.
    """
    global _hooks  # noqa: PLW0603 - one list of listeners for the process is the point
    with _subscribing:
        _hooks = (*_hooks, hook)
    remaining = [hook]

    def unsubscribe() -> None:
        global _hooks  # noqa: PLW0603 - as above
        with _subscribing:
            if remaining:
                hooks = list(_hooks)
                hooks.remove(remaining.pop())
                _hooks = tuple(hooks)

    return unsubscribe


def emit(event: Event) -> None:
    """Hand an event to every hook."""
    for hook in _hooks:
        try:
            hook(event)
        except Exception as error:  # noqa: BLE001 - a listener's trouble is not the caller's
            _report(hook, error)


def replay_refused(reason: Literal["replayed", "given_up", "full"], count: int) -> None:
    """Emit `ReplayRefused`; the native module calls this."""
    if _hooks:
        emit(ReplayRefused(reason, count))


def replay_memory_opened(path: Path, remembers_since_ms: int, is_complete: bool) -> None:  # noqa: FBT001
    """Emit `ReplayMemoryOpened`; the native module calls this."""
    if _hooks:
        emit(ReplayMemoryOpened(path, remembers_since_ms, is_complete))


def store_failed(store: str, operation: str, error: Exception) -> None:
    """Emit `StoreFailed`; stores call this."""
    if _hooks:
        emit(StoreFailed(store, operation, error))


def session_started(role: Role) -> None:
    """Emit `SessionStarted`; the session manager calls this."""
    if _hooks:
        emit(SessionStarted(role))


def session_restored(role: Role, *, demands_rekey: bool) -> None:
    """Emit `SessionRestored`; the session manager calls this."""
    if _hooks:
        emit(SessionRestored(role, demands_rekey))


def session_rekeyed(epoch: int) -> None:
    """Emit `SessionRekeyed`; the session manager calls this."""
    if _hooks:
        emit(SessionRekeyed(epoch))


def sessions_ended(reason: str, count: int) -> None:
    """Emit `SessionsEnded`; the session manager calls this."""
    if _hooks and count:
        emit(SessionsEnded(reason, count))


def _report(hook: Hook, error: Exception) -> None:
    details = SimpleNamespace(
        exc_type=type(error),
        exc_value=error,
        exc_traceback=error.__traceback__,
        err_msg="Exception ignored in the event hook",
        object=hook,
    )
    sys.unraisablehook(cast("sys.UnraisableHookArgs", details))
