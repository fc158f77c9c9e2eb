"""What happens without being asked: use is written behind, news are read, what is over is dropped.

One task does it all, every ``refresh_interval_s``. It never ends by an error: what could not be
written is kept and written the next time, and the error is an event. If the store has been silent
for ``max_stale_s`` the manager is stale, until it answers.

Sessions that were used are asked for at every refresh. The others come in their turn, each once in
``cleanup_interval_s``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from sage_native import events
from sage_native.exceptions import CapacityError, KeyUnavailableError, StorageError

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
    """

    def __init__(
        self, store: SessionStore, served: Served, loader: Loader, policy: SessionPolicy
    ) -> None:
        self.is_stale = False
        self._store = store
        self._served = served
        self._loader = loader
        self._policy = policy
        self._unasked: list[str] = []
        self._share_len = BATCH_LEN
        self._heard_s = time.monotonic()
        self._cleaned_s = 0.0
        self._refreshing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Count what is stored, and begin.

        Raises:
            StorageError: The store does not answer.
        """
        self._served.stored_count = await self._store.count()
        self._heard_s = self._cleaned_s = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, and write what is unwritten, as far as the store takes it."""
        if self._task is None:
            return
        # What is under way is waited for: a write that is given up may count twice.
        self._stopping.set()
        await asyncio.wait([self._task])
        self._task = None
        try:
            async with self._refreshing:
                await self._write()
                await self._loader.delete_over()
        except StorageError as error:
            events.store_failed(self._store.name, "touch", error)

    async def refresh(self) -> None:
        """Write use behind, and learn what other workers have done to the sessions served here.

        Raises:
            StorageError: The store did not answer.
        """
        # One at a time: two that write the same use would count it twice.
        async with self._refreshing:
            used = await self._write()
            await self._loader.delete_over()
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
        self._served.stored_count = await self._store.count()
        if deleted:
            events.sessions_ended("expired", deleted)
        return deleted

    async def _run(self) -> None:
        while not await self._is_stopped_within(self._policy.refresh_interval_s):
            try:
                await self.refresh()
                if time.monotonic() - self._cleaned_s >= self._policy.cleanup_interval_s:
                    self._cleaned_s = time.monotonic()
                    await self.clean_up()
            except Exception as error:  # noqa: BLE001 - without upkeep nobody's end would be seen
                events.store_failed(self._store.name, "refresh", error)
                self.is_stale = time.monotonic() - self._heard_s >= self._policy.max_stale_s
            self._served.sweep()

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _write(self) -> Sequence[str]:
        """Write the use of sessions; return the ids of those that were used."""
        usage = self._served.usage
        usage.collect()
        # A session that waits for its row is written once it has one.
        activities = usage.unwritten(but=self._served.half_open.sessions)
        for batch in _batched(activities):
            await self._store.touch_many(batch)
            usage.written(batch)
        return [activity.session_id for activity in activities]

    def _next_dormant(self) -> Sequence[str]:
        """Return some of the sessions that were not used, each in its turn."""
        if not self._unasked:
            self._unasked = self._served.table.session_ids()
            round_count = self._policy.cleanup_interval_s / self._policy.refresh_interval_s
            self._share_len = max(BATCH_LEN, int(len(self._unasked) / round_count) + 1)
        asked = self._unasked[: self._share_len]
        self._unasked = self._unasked[self._share_len :]
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
            elif not session.closed:
                if self._policy.max_messages is not None:
                    session.limit_messages(self._policy.max_messages, stored=status.messages)
                if status.epoch > (session.epoch or 0):
                    await self._follow(session_id)
        if gone:
            events.sessions_ended("ended elsewhere", gone)

    async def _follow(self, session_id: str) -> None:
        """Serve the epoch that another worker has led a session to."""
        try:
            await self._loader.load(session_id)
        except CapacityError:
            pass  # too much is looked up already: the next record of the session, or refresh
        except KeyUnavailableError as error:
            # Trouble of this session alone: its epoch here is over, and the next does not open.
            events.store_failed(self._store.name, "load", error)
            self._served.end(session_id)


def _batched(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + BATCH_LEN] for start in range(0, len(items), BATCH_LEN))
