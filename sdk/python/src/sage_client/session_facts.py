"""What is public about a session, in both faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from sage_client.records import SessionSteps

__all__ = ["SessionFacts"]


class SessionFacts:
    """Names, times and the state of a session. After a renewal they are the new session's."""

    def __init__(self, steps: SessionSteps) -> None:
        self._steps = steps

    @property
    def session_id(self) -> str:
        """The session's id, lower-case 8-4-4-4-12 hex."""
        return self._steps.session.session_id

    @property
    def client_did(self) -> str:
        """Who this side is."""
        return self._steps.session.client_did

    @property
    def server_did(self) -> str:
        """Who the server is."""
        return self._steps.session.server_did

    @property
    def state(self) -> Literal["half_open", "open", "closed", "expired"]:
        """Where the session is in its life, as far as this side knows."""
        self._steps.session.sweep()
        return self._steps.session.state

    @property
    def epoch(self) -> int | None:
        """How many rekeys there have been; None once the session has ended."""
        return self._steps.session.epoch

    @property
    def expires_ms(self) -> int:
        """When the session ends at the latest, in ms since 1970."""
        return self._steps.session.expires_ms

    @property
    def idle_timeout_s(self) -> int:
        """How long it may be silent."""
        return self._steps.session.idle_timeout_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}(session_id={self.session_id!r}, state={self.state!r})"
