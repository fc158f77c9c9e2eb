"""Sessions that wait for their client's confirmation: counted, capped, soon dead, never stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sage_native.protocol import Session

__all__ = ["HalfOpen"]


class HalfOpen:
    """The half-open sessions of one process.

    Attributes:
        sessions: By id; for reading.

    Args:
        capacity: The most of them.
        client_capacity: The most of one client DID.
    """

    def __init__(self, capacity: int, client_capacity: int) -> None:
        self._capacity = capacity
        self._client_capacity = client_capacity
        self.sessions: dict[str, Session] = {}
        self._of_client: dict[str, int] = {}
        # When the M1 of those came whose ends are told.
        self._arrived_s: dict[str, float] = {}

    def check_room(self, client_did: str, ahead_count: int = 0, ahead_of_client: int = 0) -> None:
        """Check that another session of this client has a place.

        Args:
            client_did: The client.
            ahead_count: How many others will be added before it.
            ahead_of_client: How many of those are of this client.

        Raises:
            OverloadedError: It has none. Nothing was evicted.
        """
        if len(self.sessions) + ahead_count >= self._capacity:
            raise OverloadedError(f"{self._capacity} sessions wait for their confirmation")
        if self._of_client.get(client_did, 0) + ahead_of_client >= self._client_capacity:
            raise OverloadedError(
                f"{self._client_capacity} sessions of this client wait for their confirmation"
            )

    def add(self, session: Session, arrived_s: float | None = None) -> None:
        """Count a session.

        Args:
            session: Half-open.
            arrived_s: When its M1 came, on the clock of ``time.perf_counter``; `HandshakeFinished`
                is told when it ends. Nothing is told if it is left out.
        """
        self.sessions[session.session_id] = session
        client_did = session.client_did
        self._of_client[client_did] = self._of_client.get(client_did, 0) + 1
        if arrived_s is not None:
            self._arrived_s[session.session_id] = arrived_s

    def discard(
        self,
        session_id: str,
        *,
        status: events.HandshakeStatus = "abandoned",
        code: str | None = None,
    ) -> Session | None:
        """Stop counting a session; return it if it was counted.

        Args:
            session_id: Which.
            status: How its handshake ended.
            code: What its client was told.
        """
        session = self.sessions.pop(session_id, None)
        if session is not None:
            client_did = session.client_did
            count = self._of_client[client_did] - 1
            if count:
                self._of_client[client_did] = count
            else:
                del self._of_client[client_did]
            if self._arrived_s:
                self._tell(session, status, code)
        return session

    def _tell(self, session: Session, status: events.HandshakeStatus, code: str | None) -> None:
        arrived_s = self._arrived_s.pop(session.session_id, None)
        if arrived_s is not None:
            events.handshake_finished(
                status,
                duration_s=time.perf_counter() - arrived_s if status == "completed" else None,
                code=code,
                client_did=session.client_did,
                server_did=session.server_did,
                session_id=session.session_id,
            )

    def drop_dead(self, now_ms: int | None = None, *, thorough: bool = True) -> Sequence[Session]:
        """Stop counting sessions whose time is up; return them.

        Args:
            now_ms: The time; the clock is asked if it is left out.
            thorough: Look at all of them. Otherwise begin with the oldest and stop at the first
                that lives: all have the same time, so the others live too, and a flood of requests
                costs no more than a look each.
        """
        dead = []
        for session in list(self.sessions.values()) if thorough else self._oldest_first():
            session.sweep(now_ms=now_ms)
            if session.closed:
                self.discard(session.session_id)
                dead.append(session)
            elif not thorough:
                break
        return dead

    def _oldest_first(self) -> Iterator[Session]:
        while self.sessions:
            yield next(iter(self.sessions.values()))

    def __contains__(self, session_id: str) -> bool:
        return session_id in self.sessions

    def __len__(self) -> int:
        return len(self.sessions)
