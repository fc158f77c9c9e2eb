"""What happens without being asked: use is written behind, news are read, what is over is dropped.

One task does it all, every ``refresh_interval_s``. It never ends by an error: what could not be
written is kept and written the next time, and the error is an event. News are read whether
anything could be written or not.

Sessions that were used are asked for at every refresh. The others come in their turn, each once in
``cleanup_interval_s``.

The end of a session elsewhere is one of the news, so without news for ``max_stale_s`` nothing may
be served, whatever the reason: a store that fails or never answers, a task that died, or nobody
who began it. Hence it is not upkeep that finds this out, but whoever uses a session. He looks at a
flag, since asking for the time would be a fifth of the cost of opening a record; a timer raises
the flag, and only then the time is asked for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from sage_native import events
from sage_native.exceptions import CapacityError, StorageError
from sage_native.storage.timing import tell_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from sage_native.sessions.loading import Loader
    from sage_native.sessions.policy import SessionPolicy
    from sage_native.sessions.served import Served
    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import Activity

__all__ = ["Upkeep"]

BATCH_LEN = 1000

Item = TypeVar("Item")


class Upkeep:
    """The background work of a `SessionManager`.

    Attributes:
        in_doubt: Whether `check` is to be called before a session is used.
    """

    def __init__(
        self, store: SessionStore, served: Served, loader: Loader, policy: SessionPolicy
    ) -> None:
        self.in_doubt = True
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
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_stale(self) -> bool:
        """Whether news are too old."""
        return self._fresh_for_s() <= 0

    def check(self) -> None:
        """Settle the doubt.

        Raises:
            StorageError: News are too old, so no session may be used.
        """
        fresh_for_s = self._fresh_for_s()
        if fresh_for_s <= 0:
            raise StorageError(f"sessions cannot be checked, since {self._reason}")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(fresh_for_s, self._doubt)
        self.in_doubt = False

    async def start(self) -> None:
        """Count what is stored, read the news of what is served already, and begin.

        Raises:
            StorageError: The store does not answer.
        """
        self._served.stored_count = await self._store.count()
        self._cleaned_s = time.monotonic()
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, and write what is unwritten, as far as the store takes it."""
        if self._timer is not None:
            self._timer.cancel()
            self._doubt()
        if self._task is None:
            return
        # What is under way is waited for: a write that is given up may count twice.
        self._stopping.set()
        await asyncio.wait([self._task])
        self._task = None
        try:
            async with self._refreshing:
                await self._write(self._unwritten())
                await self._loader.delete_over()
        except StorageError as error:
            tell_failure(self._store.name, "touch", error)

    async def refresh(self) -> None:
        """Write use behind, and learn what other workers have done to the sessions served here.

        Raises:
            StorageError: The store did not answer, or did not take what was to be written.
        """
        # One at a time: two that write the same use would count it twice.
        async with self._refreshing:
            activities = self._unwritten()
            failures = [
                await _failure_of(self._write(activities)),
                await _failure_of(self._loader.delete_over()),
            ]
            used = [activity.session_id for activity in activities]
            asked_s = time.monotonic()
            for session_ids in _batched([*used, *self._next_dormant()]):
                await self._learn(session_ids)
            self._heard_s = asked_s
        for failure in failures:
            if failure is not None:
                raise failure

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
            # Each whatever becomes of the others: a store that takes no more needs cleaning most.
            for deed in (self.refresh, self._clean_up_in_time, self._sweep):
                error = await _failure_of(deed())
                if error is not None:
                    tell_failure(self._store.name, "refresh", error)

    async def _sweep(self) -> None:
        self._served.sweep()

    async def _clean_up_in_time(self) -> None:
        if time.monotonic() - self._cleaned_s >= self._policy.cleanup_interval_s:
            self._cleaned_s = time.monotonic()
            await self.clean_up()

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    def _fresh_for_s(self) -> float:
        return self._heard_s + self._policy.max_stale_s - time.monotonic()

    def _doubt(self) -> None:
        self.in_doubt = True

    @property
    def _reason(self) -> str:
        if self._task is None:
            return "their manager was not entered, and nobody has called touch() lately"
        return "their store does not answer"

    def _unwritten(self) -> Sequence[Activity]:
        self._served.usage.collect()
        # A session that waits for its row is written once it has one.
        return self._served.usage.unwritten(but=self._served.half_open.sessions)

    async def _write(self, activities: Sequence[Activity]) -> None:
        for batch in _batched(activities):
            await self._store.touch_many(batch)
            self._served.usage.written(batch)

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
                    messages = status.messages + self._served.usage.messages(session_id)
                    session.limit_messages(self._policy.max_messages, stored=messages)
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
        except Exception as error:  # noqa: BLE001 - whatever one row raises, the others go on
            await self._store.status_many([session_id])  # unless it is the store that fails
            # Trouble of this session alone: its epoch here is over, and the next does not open.
            tell_failure(self._store.name, "load", error)
            self._served.end(session_id)


async def _failure_of(deed: Awaitable[object]) -> Exception | None:
    try:
        await deed
    except Exception as error:  # noqa: BLE001 - it is told or raised later
        return error
    return None


def _batched(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + BATCH_LEN] for start in range(0, len(items), BATCH_LEN))
