"""How often and after which wait something is tried again."""

from __future__ import annotations

import time
from random import SystemRandom
from typing import TYPE_CHECKING

from sage_client.commands import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_client.errors import ExchangeError
    from sage_client.types import ClientSettings

__all__ = ["Budget"]

RANDOM = SystemRandom()


class Budget:
    """The tries that one thing has: bounded in number, in time, and in each wait.

    Args:
        settings: The bounds.
        clock: Seconds that only move forward.
        draw: A random number from 0 up to 1, so that clients that failed together do not come
            back together.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM.random,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._draw = draw
        self._left = settings.attempts - 1
        self._next_s = settings.backoff_s
        self._end_s = clock() + settings.total_s

    def again(self) -> bool:
        """Take one more try without a wait. Returns False if none is left."""
        if self._left <= 0 or self._clock() > self._end_s:
            return False
        self._left -= 1
        return True

    def pause(self, error: ExchangeError) -> Pause | None:
        """Take one more try, after a wait.

        What the server asked for in ``Retry-After`` is waited out in full, and a random part of
        the own wait on top; else half to all of the own wait.

        Returns:
            The wait; None if no try is left or the server asks for more than is allowed.
        """
        settings = self._settings
        own_s = min(self._next_s, settings.max_wait_s)
        wait_s = own_s * (0.5 + self._draw() / 2)
        if error.retry_after_s is not None:
            if error.retry_after_s > settings.max_wait_s:
                return None
            wait_s = error.retry_after_s + own_s * self._draw()
        if self._clock() + wait_s > self._end_s or not self.again():
            return None
        self._next_s *= 2
        return Pause(wait_s)
