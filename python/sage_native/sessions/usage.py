"""Use of sessions that their store does not know of yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.protocol import SessionTable
from sage_native.storage.rows import Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sage_native.protocol import Session
    from sage_native.sessions.over import Over

__all__ = ["Usage"]


class Usage:
    """What was done with the sessions of a table, until it is written behind.

    A session's own counter goes with it, so whatever leaves the table is asked before: else a
    message budget would begin anew with every replacement.

    Args:
        table: The sessions that are served.
        over: Ids of sessions that their owner closed are put in here.
    """

    def __init__(self, table: SessionTable, over: Over) -> None:
        self._table = table
        self._over = over
        self._unwritten: dict[str, Activity] = {}

    def collect(self) -> None:
        """Ask every session of the table what was done with it."""
        self._take(self._table)

    def keep(self, session: Session) -> None:
        """Ask a session that is about to leave the table."""
        alone = SessionTable(1)
        alone.add(session)
        self._take(alone)

    def messages(self, session_id: str) -> int:
        """Return how many records of a session are not written yet."""
        activity = self._unwritten.get(session_id)
        return 0 if activity is None else activity.messages

    def unwritten(self, *, but: Iterable[str] = ()) -> Sequence[Activity]:
        """Return what is to be written, without some sessions."""
        left_out = set(but)
        return [
            activity
            for session_id, activity in self._unwritten.items()
            if session_id not in left_out
        ]

    def written(self, activities: Iterable[Activity]) -> None:
        """Forget what the store knows now; what came on top meanwhile stays."""
        for activity in activities:
            latest = self._unwritten.pop(activity.session_id)
            if latest is not activity:
                messages = latest.messages - activity.messages
                self._unwritten[activity.session_id] = Activity(
                    activity.session_id, latest.last_activity_ms, messages
                )

    def _take(self, table: SessionTable) -> None:
        for session_id, at_ms, messages in table.take_activity():
            last = self._unwritten.get(session_id)
            self._unwritten[session_id] = Activity(
                session_id,
                at_ms if last is None else max(at_ms, last.last_activity_ms),
                messages if last is None else messages + last.messages,
            )
            session = table.get(session_id)
            if session is not None and session.state == "closed":
                self._over.add(session_id)
