"""The sessions that this process serves, in memory."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from sage_native.exceptions import (
    AuthenticationError,
    ExpiredError,
    RekeyRequiredError,
    SageError,
    SessionStateError,
)
from sage_native.protocol import RecordHeader, SessionTable
from sage_native.sessions.half_open import HalfOpen
from sage_native.sessions.over import Over
from sage_native.sessions.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sage_native.protocol import Session
    from sage_native.sessions.policy import SessionPolicy

__all__ = ["Served"]

ANSWERS_UNDER_WAY_S = 60.0
"""How long a session that was replaced by its next epoch may still seal answers."""


class Served:
    """Open sessions by id, half-open ones, and those of a past epoch that still owe answers.

    Attributes:
        table: Half-open and open sessions.
        half_open: Those of them that are not confirmed.
        coming: Sessions that are being stored, by id, and served only after that.
        over: Ids of sessions that have ended here and whose rows are still to be deleted. Nothing
            brings them back.
        usage: What was done with the sessions and is not written yet.
        stored_count: How many sessions are stored, as counted last, and created and deleted since.
    """

    def __init__(self, policy: SessionPolicy) -> None:
        self.table = SessionTable(policy.max_sessions)
        self.half_open = HalfOpen(policy.max_half_open, policy.max_half_open_per_client)
        self.coming: dict[str, Session] = {}
        self.over = Over()
        self.usage = Usage(self.table, self.over)
        self.stored_count = 0
        # With the time until when, and the latest of each id.
        self._retired: deque[tuple[float, Session]] = deque()
        self._past: dict[str, Session] = {}

    def replace(self, session: Session, now_ms: int | None = None) -> None:
        """Serve a session as it came out of the store, in place of what was served."""
        last = self.table.replace(session)
        if last is not None and not last.closed:
            with contextlib.suppress(SageError):  # its time may be up
                last.retire(now_ms=now_ms)
            self._retired.append((time.monotonic() + ANSWERS_UNDER_WAY_S, last))
            self._past[last.session_id] = last

    def open_past(
        self, record: bytes, *, aad: bytes | None = None, now_ms: int | None = None
    ) -> tuple[Session, bytes] | None:
        """Initiator: open an answer to what was sealed before another worker rekeyed.

        Returns:
            The session of the past epoch and the plaintext; None if the record is no such answer.

        Raises:
            ReplayDetectedError: It was opened before.
        """
        header = RecordHeader.parse(record)
        past, served = self._past.get(header.session_id), self.table.get(header.session_id)
        if past is None or served is None or served.closed or past.role != "initiator":
            return None
        if header.epoch + 1 != served.epoch:
            return None
        try:
            plaintext = past.open(record, aad=aad, now_ms=now_ms)
        except (AuthenticationError, ExpiredError, RekeyRequiredError, SessionStateError):
            return None
        self.usage.keep(past)
        return past, plaintext

    def end(self, session_id: str) -> Session | None:
        """Close a session and erase its keys; return it if it was served."""
        self.half_open.discard(session_id)
        session = self.table.remove(session_id)
        for one in (session, self.coming.get(session_id)):
            if one is not None:
                one.close()
        self._close_retired(lambda one: one.session_id == session_id)
        return session

    def end_of_did(self, did: str) -> Sequence[Session]:
        """Close every session of a DID."""
        ended = self.table.remove_of_did(did)
        for session in ended:
            self.half_open.discard(session.session_id)
            session.close()
        for session in self.coming.values():
            if did in {session.client_did, session.server_did}:
                session.close()
        self._close_retired(lambda one: did in {one.client_did, one.server_did})
        return ended

    def make_room(self, now_ms: int | None = None) -> None:
        """Drop half-open sessions whose time is up."""
        for session in self.half_open.drop_dead(now_ms, thorough=False):
            self.table.remove(session.session_id)

    def sweep(self, now_ms: int | None = None) -> int:
        """Drop what has ended by its deadline; return how many confirmed sessions that was."""
        self.usage.collect()
        unconfirmed = len(self.half_open.drop_dead(now_ms))
        while self._retired and time.monotonic() >= self._retired[0][0]:
            self._drop_retired(self._retired.popleft()[1])
        return max(0, self.table.sweep(now_ms=now_ms) - unconfirmed)

    def close(self) -> None:
        """Close every session and erase its keys."""
        for session_id in self.table.session_ids():
            self.end(session_id)
        while self._retired:
            self._drop_retired(self._retired.pop()[1])

    def _drop_retired(self, session: Session) -> None:
        session.close()
        if self._past.get(session.session_id) is session:
            del self._past[session.session_id]

    def _close_retired(self, is_meant: Callable[[Session], bool]) -> None:
        for _, session in self._retired:
            if is_meant(session):
                session.close()
