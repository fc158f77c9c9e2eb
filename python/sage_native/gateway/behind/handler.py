"""An async function in this process, for raw messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sage_native.gateway.behind.base import (
    DEFAULT_TIMEOUT_S,
    Behind,
    BehindTimeoutError,
    BehindUnavailableError,
    checked_answer,
)
from sage_native.gateway.behind.responses import problem
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sage_native.gateway.peers import Peer

__all__ = ["Application", "HandlerBehind"]


class Application(Protocol):
    """What answers raw messages: any async function of this form."""

    def __call__(self, peer: Peer, message: bytes, /) -> Awaitable[bytes | None]:
        """Answer one message; None for no content."""


class HandlerBehind(Behind):
    """Hands raw messages to an async function.

    A request in binary HTTP gets a sealed 501: a function of bytes could not tell the two apart.
    What the function raises is the ``__cause__`` of a `BehindUnavailableError`.

    Args:
        application: The function.
        timeout_s: When it is cancelled.
        max_answer_len: The longest answer, at most 1 MiB.
    """

    def __init__(
        self,
        application: Application,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_answer_len: int = MAX_PLAINTEXT_LEN,
    ) -> None:
        self._application = application
        self._timeout_s = timeout_s
        self._max_answer_len = min(max_answer_len, MAX_PLAINTEXT_LEN)

    async def answer(
        self, peer: Peer, plaintext: bytes, *, binary_http: bool
    ) -> tuple[bytes, bool]:
        """Let the function answer."""
        if binary_http:
            return problem("not_implemented", status=501, delivered=False), True
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                answer = await self._application(peer, plaintext)
        except Exception as error:
            if deadline.expired():
                raise BehindTimeoutError(
                    f"the application took longer than {self._timeout_s} s", delivered=True
                ) from None
            raise BehindUnavailableError(
                f"the application raised {type(error).__name__}", delivered=True
            ) from error
        return checked_answer(answer, max_len=self._max_answer_len), False
