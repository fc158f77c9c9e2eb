"""From events to numbers: kinds are counted, and whom or what an event names is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.events import (
    HandshakeFinished,
    ReplayRefused,
    RequestRefused,
    SessionRekeyed,
    SessionRestored,
    SessionsEnded,
    SessionStarted,
    StoreAnswered,
    StoreFailed,
)
from sage_native.observability.metrics.definitions import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_native.events import Event
    from sage_native.observability.metrics.tallies import Spread, Tallies, Tally

__all__ = ["EventCounter"]

_KINDS = frozenset({"memory", "sqlite", "postgres", "redis", "secrets"})


class EventCounter:
    """A hook for `sage_native.events.subscribe`.

    Args:
        tallies: Where it counts.

    Cost: about 1 µs an event.
    """

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._counters: dict[type[Event], Callable[[Any], None]] = {
            HandshakeFinished: self._handshake,
            ReplayRefused: self._replay,
            RequestRefused: lambda event: tallies["sage_problems_total"].tally(event.code).add(),
            SessionRekeyed: lambda _: tallies["sage_session_rekeys_total"].tally().add(),
            SessionRestored: self._restored,
            SessionStarted: self._started,
            SessionsEnded: self._ended,
            StoreAnswered: self._answered,
            StoreFailed: self._failed,
        }
        # Stores are asked for every handshake and much else: their numbers are kept at hand.
        self._asked: dict[tuple[str, str], tuple[Tally, Spread]] = {}
        self._kind = OTHER

    @property
    def kinds(self) -> tuple[type[Event], ...]:
        """Return the kinds of events that are counted."""
        return tuple(self._counters)

    def __call__(self, event: Event) -> None:
        """Count an event; what is no metric is ignored."""
        count = self._counters.get(type(event))
        if count is not None:
            count(event)

    def _handshake(self, event: HandshakeFinished) -> None:
        self._tallies["sage_handshakes_total"].tally(event.status, event.key_type).add()
        if event.status == "completed" and event.duration_s is not None:
            self._tallies["sage_handshake_duration_seconds"].spread().add(event.duration_s)

    def _replay(self, event: ReplayRefused) -> None:
        self._tallies["sage_replay_refused_total"].tally(event.reason).add(event.count)

    def _started(self, event: SessionStarted) -> None:
        self._tallies["sage_sessions_started_total"].tally(event.role).add()

    def _restored(self, event: SessionRestored) -> None:
        demands = str(event.demands_rekey).lower()
        self._tallies["sage_sessions_restored_total"].tally(demands).add()

    def _ended(self, event: SessionsEnded) -> None:
        reason = event.reason.replace(" ", "_")
        self._tallies["sage_sessions_ended_total"].tally(reason).add(event.count)
        if reason == "expired":
            self._tallies["sage_sessions_expired_total"].tally().add(event.count)

    def _answered(self, event: StoreAnswered) -> None:
        key = event.store, event.operation
        asked = self._asked.get(key)
        if asked is None:
            self._kind = event.store
            asked = self._asked[key] = (
                self._tallies["sage_store_operations_total"].tally(*key, "ok"),
                self._tallies["sage_store_duration_seconds"].spread(*key),
            )
        asked[0].add()
        asked[1].add(event.duration_s)

    def _failed(self, event: StoreFailed) -> None:
        operation = event.operation.partition(" ")[0]
        operations = self._tallies["sage_store_operations_total"]
        operations.tally(self._kind_of(event.store), operation, "failed").add()

    def _kind_of(self, store: str) -> str:
        """Tell the kind of a store from what it is called; of one that is not told, by answers."""
        name = store.lower()
        first = name.partition(" ")[0]
        if first in _KINDS:  # whatever the sessions in it are called
            return first
        for sign, kind in (
            ("secrets ", "secrets"),
            ("postgres", "postgres"),
            ("redis", "redis"),
            ("sqlite", "sqlite"),
            ("memory", "memory"),
        ):
            if sign in name:
                return kind
        return self._kind
