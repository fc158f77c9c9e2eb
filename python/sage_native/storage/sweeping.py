"""Giving up nonces whose time is over, every minute."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from sage_native.exceptions import SageError
from sage_native.storage.timing import tell_failure

if TYPE_CHECKING:
    from sage_native.storage.base import NonceStore

__all__ = ["Sweeper"]


class Sweeper:
    """A task that calls ``delete_expired`` of a nonce store again and again.

    An error of the store is an event, and no end: the next sweep makes up for it.

    Args:
        nonces: The store.
        interval_s: How often, in seconds; each pause is up to a half longer or shorter, so that
            workers that were started together do not sweep together.
    """

    def __init__(self, nonces: NonceStore, *, interval_s: float = 60.0) -> None:
        self._nonces = nonces
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first sweep comes after the first pause."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, in the middle of a sweep too."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            try:
                await self._nonces.delete_expired()
            except SageError as error:
                tell_failure(self._nonces.label, "delete_expired", error)
