"""Which sessions are taken, and with which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import CapacityError, ConfigurationError, OverloadedError

if TYPE_CHECKING:
    from sage_native.protocol import Session
    from sage_native.replay import ReplayWindowTable
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served

__all__ = ["Admission"]


class Admission:
    """Checks that a new session has a place, and prepares it.

    Raises:
        ConfigurationError: The windows do not look an hour further ahead than sessions live.
    """

    def __init__(
        self, served: Served, policy: SessionPolicy, windows: ReplayWindowTable | None
    ) -> None:
        self._served = served
        self._policy = policy
        self._windows = windows
        self._closed = False
        horizon_ms = policy.window_horizon_ms
        if windows is not None and windows.horizon_ms < horizon_ms:
            raise ConfigurationError(
                f"session policy: sessions live {policy.lifetime_s} s, and a clock may be set back "
                f"by an hour: the table of windows must look that far ahead, with horizon_ms "
                f"{horizon_ms} at least, not {windows.horizon_ms}"
            )

    def check_room(
        self, client_did: str, now_ms: int | None, *, ahead_count: int = 0, ahead_of_client: int = 0
    ) -> None:
        """Check that another session of a client has a place.

        Args:
            client_did: The client.
            now_ms: The time; the clock is asked if it is left out.
            ahead_count: How many others will be given places before it.
            ahead_of_client: How many of those are of this client.

        Raises:
            CapacityError: It has none, or no session is taken any more.
        """
        if self._closed:
            raise OverloadedError(
                "no new sessions are taken any more: this process is about to end"
            )
        served, most = self._served, self._policy.max_sessions
        if max(served.stored_count, len(served.table)) + ahead_count >= most:
            raise CapacityError(f"all {most} places for sessions are taken")
        try:
            served.half_open.check_room(client_did, ahead_count, ahead_of_client)
        except CapacityError:
            served.make_room(now_ms)
            served.half_open.check_room(client_did, ahead_count, ahead_of_client)

    def prepare(self, session: Session, now_ms: int | None) -> None:
        """Give a session its windows and limits."""
        if self._windows is not None:
            session.share_windows(self._windows, now_ms=now_ms)
        session.limit_incarnations(self._policy.max_incarnations)
        if self._policy.max_messages is not None:
            session.limit_messages(self._policy.max_messages)

    def close(self) -> None:
        """Take no session any more."""
        self._closed = True
