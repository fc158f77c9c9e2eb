"""A gate that many may pass together and one may pass alone: sends share it, a rekey has it alone.

A rekey while records are under way would make the server refuse them, and leave their delivery
unknown. So a rekey waits until what is under way has been answered, and later sends wait for it.

Turns are given in the order of asking, so a stream of sends cannot keep a rekey out. Threads and
event loops wait on the same ``concurrent.futures.Future``. A turn that was given is marked running
under the lock, hence a waiter that gives up either cancels in time or finds that it holds a turn
and releases it: no turn is lost.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

__all__ = ["Gate"]


class Gate:
    """Turns, shared or alone, in the order of asking."""

    __slots__ = ("_alone", "_lock", "_queue", "_shared_count")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[Future[None], bool]] = deque()
        self._shared_count = 0
        self._alone = False

    def ask(self, *, alone: bool) -> Future[None] | None:
        """Ask for a turn.

        Returns:
            None if the turn is given at once; else what to wait for. ``withdraw`` it if the wait
            is given up.
        """
        with self._lock:
            if not self._queue and self._is_free(alone=alone):
                self._take(alone=alone)
                return None
            ticket: Future[None] = Future()
            self._queue.append((ticket, alone))
            return ticket

    def release(self) -> None:
        """Give a turn back."""
        with self._lock:
            if self._alone:
                self._alone = False
            else:
                self._shared_count -= 1
            given = self._give()
        for ticket in given:
            ticket.set_result(None)

    def withdraw(self, ticket: Future[None]) -> None:
        """Stop waiting; a turn that was given meanwhile is given back."""
        # An event loop that gives up has cancelled the ticket already.
        if ticket.cancel():
            with self._lock:
                given = self._give()
            for other in given:
                other.set_result(None)
        else:
            self.release()

    def _is_free(self, *, alone: bool) -> bool:
        return not self._alone and (not alone or self._shared_count == 0)

    def _take(self, *, alone: bool) -> None:
        if alone:
            self._alone = True
        else:
            self._shared_count += 1

    def _give(self) -> list[Future[None]]:
        given = []
        while self._queue:
            ticket, alone = self._queue[0]
            if not ticket.cancelled():
                if not self._is_free(alone=alone):
                    break
                if ticket.set_running_or_notify_cancel():
                    self._take(alone=alone)
                    given.append(ticket)
            self._queue.popleft()
        return given
