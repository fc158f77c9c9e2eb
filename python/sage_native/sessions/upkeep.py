"""What happens without being asked: use is written behind, news are read, what is over is dropped.

One task does it all, every ``refresh_interval_s``. It never ends by an error of the store: what
could not be written is kept and written the next time, and the error is an event. If the store has
been silent for ``max_stale_s`` the manager is stale, until it answers.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from sage_native import events
from sage_native.exceptions import SageError, StorageError
from sage_native.storage.rows import Activity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sage_native.sessions.loading import Loader
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore

__all__ = ["Upkeep"]

BATCH_LEN = 1000

Item = TypeVar("Item")


class Upkeep:
    """The background work of a `SessionManager`.

    Attributes:
        is_stale: The store has not answered for too long.
        stored_count: How many sessions are stored, as counted last and created since.
    """

    def __init__(
        self, store: SessionStore, served: Served, loader: Loader, policy: SessionPolicy
    ) -> None:
        self.is_stale = False
        self.stored_count = 0
        self._store = store
        self._served = served
        self._loader = loader
        self._policy = policy
        self._unwritten: dict[str, Activity] = {}
        self._unasked: list[str] = []
        self._heard_s = time.monotonic()
        self._cleaned_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Count what is stored, and begin.

        Raises:
            StorageError: The store does not answer.
        """
        self.stored_count = await self._store.count()
        self._heard_s = self._cleaned_s = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, and write what is unwritten, as far as the store takes it."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        try:
            await self._write()
        except StorageError as error:
            events.store_failed(self._store.name, "touch", error)

    async def refresh(self) -> None:
        """Write use behind, and learn what other workers have done to the sessions served here.

        Raises:
            StorageError: The store did not answer.
        """
        used = await self._write()
        for session_ids in _batched([*used, *self._next_dormant()]):
            await self._learn(session_ids)
        self._heard_s = time.monotonic()
        self.is_stale = False

    async def clean_up(self) -> int:
        """Delete what is over from the store, and count the rest; return how many were deleted.

        Raises:
            StorageError: The store did not answer.
        """
        deleted = await self._store.delete_expired(grace_ms=self._policy.grace_ms)
        self.stored_count = await self._store.count()
        if deleted:
            events.sessions_ended("expired", deleted)
        return deleted

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._policy.refresh_interval_s)
            self._served.sweep()
            try:
                await self.refresh()
                if time.monotonic() - self._cleaned_s >= self._policy.cleanup_interval_s:
                    self._cleaned_s = time.monotonic()
                    await self.clean_up()
            except SageError as error:
                events.store_failed(self._store.name, "refresh", error)
                self.is_stale = time.monotonic() - self._heard_s >= self._policy.max_stale_s

    async def _write(self) -> Sequence[str]:
        """Write the use of sessions; return the ids of those that were used."""
        for session_id, at_ms, messages in self._served.table.take_activity():
            if session_id in self._served.half_open:
                continue
            last = self._unwritten.get(session_id)
            if last is not None:
                at_ms = max(at_ms, last.last_activity_ms)  # noqa: PLW2901 - both are one use
                messages += last.messages  # noqa: PLW2901 - as above
            self._unwritten[session_id] = Activity(session_id, at_ms, messages)
        used = list(self._unwritten)
        for activities in _batched(list(self._unwritten.values())):
            await self._store.touch_many(activities)
            for activity in activities:
                if self._unwritten.get(activity.session_id) is activity:
                    del self._unwritten[activity.session_id]
        return used

    def _next_dormant(self) -> Sequence[str]:
        """Return some of the sessions that were not used, each in its turn."""
        if not self._unasked:
            self._unasked = self._served.table.session_ids()
        asked, self._unasked = self._unasked[:BATCH_LEN], self._unasked[BATCH_LEN:]
        return asked

    async def _learn(self, session_ids: Sequence[str]) -> None:
        asked = {
            session_id: session
            for session_id in session_ids
            if session_id not in self._served.half_open
            and (session := self._served.table.get(session_id)) is not None
        }
        found = await self._store.status_many(list(asked))
        gone = 0
        for session_id, session in asked.items():
            if self._served.table.get(session_id) is not session:
                continue
            status = found.get(session_id)
            if status is None:
                self._served.end(session_id)
                gone += 1
                continue
            if self._policy.max_messages is not None:
                session.limit_messages(self._policy.max_messages, stored=status.messages)
            if status.epoch > (session.epoch or 0):
                await self._loader.load(session_id)
        if gone:
            events.sessions_ended("ended elsewhere", gone)


def _batched(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + BATCH_LEN] for start in range(0, len(items), BATCH_LEN))
