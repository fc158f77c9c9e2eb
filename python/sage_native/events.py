"""What happens, as frozen records, for whoever listens.

::

    unsubscribe = subscribe(print)

A hook is called where the event happens, in that thread, so it must be quick and must not block.
What it raises goes to the logger ``sage_native.events`` and changes nothing. Without hooks an event
costs a branch.

DIDs and session ids are in clear: whoever writes them down decides how.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Event",
    "HandshakeFinished",
    "Hook",
    "KeysRotated",
    "OperatorActed",
    "ReplayMemoryOpened",
    "ReplayRefused",
    "RequestRefused",
    "SessionRekeyed",
    "SessionRestored",
    "SessionStarted",
    "SessionsEnded",
    "StoreAnswered",
    "StoreFailed",
    "is_heard",
    "report",
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


HandshakeStatus: TypeAlias = Literal["completed", "refused", "failed", "abandoned"]


@dataclass(frozen=True)
class HandshakeFinished:
    """A handshake that a gateway was asked for is over.

    Attributes:
        status: ``completed``: the session is stored. ``refused``: by what the client sent, or by a
            limit. ``failed``: by a fault of this side, its store included. ``abandoned``: the
            client did not confirm in time, or the session was ended before it did.
        key_type: Of the client's identity: ``ed25519``.
        duration_s: From the arrival of M1 until the session was stored; None if it never was.
        code: What the client was told, as a code of the API; None if it was told nothing wrong.
        client_did: Who asked; None if its M1 was not read so far. Proven only if ``completed``.
        server_did: Who was asked, as ``client_did``.
        session_id: The session that was begun; None if M1 was refused.
    """

    status: HandshakeStatus
    key_type: str
    duration_s: float | None
    code: str | None
    client_did: str | None
    server_did: str | None
    session_id: str | None = None


@dataclass(frozen=True)
class StoreAnswered:
    """A store gave its answer, whether or not it is what the caller hoped for.

    Attributes:
        store: Its kind: ``memory``, ``sqlite``, ``postgres``, ``redis``, or ``other``.
        operation: What was asked of it.
        duration_s: How long that took.
    """

    store: str
    operation: str
    duration_s: float


@dataclass(frozen=True)
class RequestRefused:
    """A gateway answered a request with a problem.

    Attributes:
        code: Which, one of the API's.
        status: The status of HTTP.
    """

    code: str
    status: int


@dataclass(frozen=True)
class OperatorActed:
    """An operator asked for something at a gateway, or somebody who is none.

    Attributes:
        action: ``did_registered``, ``did_revoked``, ``session_ended``, or ``token_refused``: the
            operator token was wrong or missing.
        subject: The DID or the session id; None for ``token_refused``.
        outcome: ``done`` or ``refused``.
    """

    action: Literal["did_registered", "did_revoked", "session_ended", "token_refused"]
    subject: str | None
    outcome: Literal["done", "refused"]


@dataclass(frozen=True)
class KeysRotated:
    """A running gateway has begun to use another key.

    Attributes:
        what: ``signing key``, ``kek`` or ``operator token``.
        key_id: The DID of the signing key, or the KEK's id; None for the token.
    """

    what: Literal["signing key", "kek", "operator token"]
    key_id: str | None


Event: TypeAlias = (
    ReplayRefused
    | ReplayMemoryOpened
    | StoreFailed
    | SessionStarted
    | SessionRestored
    | SessionRekeyed
    | SessionsEnded
    | HandshakeFinished
    | StoreAnswered
    | RequestRefused
    | OperatorActed
    | KeysRotated
)
Hook: TypeAlias = Callable[[Event], object]

KINDS: Final[tuple[type[Event], ...]] = get_args(Event)

# Who listens to each kind; a kind that nobody listens to is not in it. Replaced as a whole, so that
# whoever looks into it needs no lock.
_heard: dict[type[Event], tuple[Hook, ...]] = {}
_subscribing = threading.Lock()


def subscribe(hook: Hook, *kinds: type[Event]) -> Callable[[], None]:
    """Call ``hook`` with every event from now on.

    Args:
        hook: What is called.
        kinds: Only with events of these kinds, so that the others cost nothing; all if left out.

    Returns:
        A function that ends it; calling it again does nothing.
    """
    wanted = kinds or KINDS
    with _subscribing:
        _hear({kind: (*_heard.get(kind, ()), hook) for kind in wanted})
    remaining = [hook]

    def unsubscribe() -> None:
        with _subscribing:
            if remaining:
                remaining.pop()
                _hear({kind: _without(hook, _heard[kind]) for kind in wanted})

    return unsubscribe


def _hear(changed: dict[type[Event], tuple[Hook, ...]]) -> None:
    global _heard  # noqa: PLW0603 - one list of listeners for the process is the point
    heard = {**_heard, **changed}
    _heard = {kind: hooks for kind, hooks in heard.items() if hooks}


def _without(hook: Hook, hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
    at = hooks.index(hook)
    return hooks[:at] + hooks[at + 1 :]


def is_heard(*kinds: type[Event]) -> bool:
    """Tell whether anybody listens: otherwise nobody needs to ask a clock for an event.

    Args:
        kinds: To events of one of these kinds; of any if left out.

    Cost: 50 ns.
    """
    if not kinds:
        return bool(_heard)
    for kind in kinds:  # noqa: SIM110 - a generator costs four times that
        if kind in _heard:
            return True
    return False


def emit(event: Event) -> None:
    """Hand an event to every hook that listens to its kind."""
    for hook in _heard.get(type(event), ()):
        try:
            hook(event)
        except Exception as error:  # noqa: BLE001 - a listener's trouble is not the caller's
            report(hook, error, "Exception ignored in the event hook")


def replay_refused(reason: Literal["replayed", "given_up", "full"], count: int) -> None:
    """Emit `ReplayRefused`; the native module calls this."""
    if ReplayRefused in _heard:
        emit(ReplayRefused(reason, count))


def replay_memory_opened(path: Path, remembers_since_ms: int, is_complete: bool) -> None:  # noqa: FBT001
    """Emit `ReplayMemoryOpened`; the native module calls this."""
    if ReplayMemoryOpened in _heard:
        emit(ReplayMemoryOpened(path, remembers_since_ms, is_complete))


def store_failed(store: str, operation: str, error: Exception) -> None:
    """Emit `StoreFailed`; stores call this."""
    if StoreFailed in _heard:
        emit(StoreFailed(store, operation, error))


def session_started(role: Role) -> None:
    """Emit `SessionStarted`; the session manager calls this."""
    if SessionStarted in _heard:
        emit(SessionStarted(role))


def session_restored(role: Role, *, demands_rekey: bool) -> None:
    """Emit `SessionRestored`; the session manager calls this."""
    if SessionRestored in _heard:
        emit(SessionRestored(role, demands_rekey))


def session_rekeyed(epoch: int) -> None:
    """Emit `SessionRekeyed`; the session manager calls this."""
    if SessionRekeyed in _heard:
        emit(SessionRekeyed(epoch))


def sessions_ended(reason: str, count: int) -> None:
    """Emit `SessionsEnded`; the session manager calls this."""
    if count and SessionsEnded in _heard:
        emit(SessionsEnded(reason, count))


def handshake_finished(  # noqa: PLR0913 - one each
    status: HandshakeStatus,
    *,
    duration_s: float | None = None,
    code: str | None = None,
    client_did: str | None = None,
    server_did: str | None = None,
    session_id: str | None = None,
    key_type: str = "ed25519",
) -> None:
    """Emit `HandshakeFinished`; gateways and the session manager call this."""
    if HandshakeFinished in _heard:
        emit(
            HandshakeFinished(
                status, key_type, duration_s, code, client_did, server_did, session_id
            )
        )


def store_answered(store: str, operation: str, duration_s: float) -> None:
    """Emit `StoreAnswered`; the ports of the stores call this."""
    if StoreAnswered in _heard:
        emit(StoreAnswered(store, operation, duration_s))


def request_refused(code: str, status: int) -> None:
    """Emit `RequestRefused`; gateways call this."""
    if RequestRefused in _heard:
        emit(RequestRefused(code, status))


def operator_acted(
    action: Literal["did_registered", "did_revoked", "session_ended", "token_refused"],
    subject: str | None,
    outcome: Literal["done", "refused"],
) -> None:
    """Emit `OperatorActed`; gateways call this."""
    if OperatorActed in _heard:
        emit(OperatorActed(action, subject, outcome))


def keys_rotated(what: Literal["signing key", "kek", "operator token"], key_id: str | None) -> None:
    """Emit `KeysRotated`; gateways call this."""
    if KeysRotated in _heard:
        emit(KeysRotated(what, key_id))


def report(listener: object, error: Exception, message: str) -> None:
    """Report what a listener raised, who must not disturb what he listens to.

    It is logged, since the log makes nobody wait and leaves out what must not be in it.

    Args:
        listener: Who it is.
        error: What he raised.
        message: What to say of it; what he is called is appended.
    """
    import logging  # noqa: PLC0415 - only where there is trouble

    called = getattr(listener, "__qualname__", type(listener).__qualname__)
    # A handler that raises as well must not disturb either.
    with contextlib.suppress(Exception):
        logging.getLogger(__name__).error("%s %s", message, called, exc_info=error)
