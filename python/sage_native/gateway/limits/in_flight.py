"""How many requests are being worked on in this process, and the door that closes when it is full.

A counter, not a queue: a request beyond the limit is told to come back. Waiting in line would only
make everybody slow. Asyncio runs one step at a time, so no lock is needed; do not share one object
between threads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sage_native.exceptions import OverloadedError, UsageError

if TYPE_CHECKING:
    from types import TracebackType


class InFlight:
    """Counts requests, refuses those beyond ``limit``, and tells when the last one has left.

    Use it as ``with in_flight: …``, or call ``enter()`` and, in a ``finally``, ``leave()``.

    Args:
        limit: Requests at once, at least 1.
        busy_above: From one more than this on, ``busy`` is true. Never, when left out.
        retry_after_s: What refused clients are told, in whole seconds.

    Attributes:
        count: Requests inside now.
        refused_count: Requests refused since the start.
        draining: Set by ``drain()``: everybody new is refused.

    Raises:
        UsageError: ``limit`` or ``retry_after_s`` is below 1.
    """

    __slots__ = (
        "_admitting",
        "_busy_above",
        "_empty",
        "_retry_after_s",
        "count",
        "draining",
        "limit",
        "refused_count",
    )

    def __init__(
        self, limit: int, *, busy_above: int | None = None, retry_after_s: int = 1
    ) -> None:
        if limit < 1:
            raise UsageError(f"limit is {limit}; at least 1 request must fit")
        if retry_after_s < 1:
            raise UsageError(f"retry_after_s is {retry_after_s}; use whole seconds from 1 on")
        self.limit = limit
        self.count = 0
        self.refused_count = 0
        self.draining = False
        self._admitting = limit  # 0 while draining, so that one comparison decides
        self._busy_above = limit if busy_above is None else busy_above
        self._retry_after_s = retry_after_s
        self._empty: asyncio.Event | None = None

    @property
    def busy(self) -> bool:
        """Whether more than ``busy_above`` requests are inside: time to ask for challenges."""
        return self.count > self._busy_above

    def enter(self) -> None:
        """Count one request in.

        Raises:
            OverloadedError: Full, or draining. The request was not counted: do not call ``leave``.

        Cost: about 0.1 µs, together with ``leave``.
        """
        if self.count >= self._admitting:
            self.refused_count += 1
            why = "stopping" if self.draining else f"all {self.limit} places are taken"
            raise OverloadedError(f"no request is taken now: {why}", self._retry_after_s)
        self.count += 1

    def leave(self) -> None:
        """Count one request out. Call it exactly once for each ``enter`` that returned."""
        self.count -= 1
        if self._empty is not None and self.count == 0:
            self._empty.set()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def drain(self) -> None:
        """Refuse everybody new from now on. Those inside finish."""
        self.draining = True
        self._admitting = 0

    async def drained(self, timeout_s: float) -> bool:
        """Call ``drain`` and wait until nobody is inside.

        Args:
            timeout_s: How long to wait at most.

        Returns:
            Whether everybody has left. False: ``count`` requests are still inside.
        """
        self.drain()
        if self.count == 0:
            return True
        if self._empty is None:
            self._empty = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
