"""Starting an ASGI application up, and shutting it down.

The application runs its lifespan in a task of its own, between two messages: ``startup`` before the
first request and ``shutdown`` after the last. One that raises before it answered ``startup`` does
not know lifespans, and is used without.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from sage_native.gateway.behind.base import BehindUnavailableError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

__all__ = ["Lifespan"]

_logger = logging.getLogger("sage_native.gateway.behind")


class Lifespan:
    """The lifespan of one application.

    Args:
        application: The application.
        timeout_s: How long its shutdown may take.

    Attributes:
        state: What the application keeps for its requests.
    """

    def __init__(self, application: ASGIApp, *, timeout_s: float) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._is_heard = asyncio.Event()
        self._is_up = False
        self._refusal: str | None = None

    async def start(self) -> None:
        """Start up.

        Raises:
            BehindUnavailableError: The application refused to start.
        """
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._run())
        self._messages.put_nowait({"type": "lifespan.startup"})
        await self._is_heard.wait()
        if self._refusal is not None:
            await asyncio.wait([self._task])
            raise BehindUnavailableError(
                f"the application refused to start: {self._refusal}", delivered=False
            )
        self._is_up = True

    async def stop(self) -> None:
        """Shut down; cancel the application if it takes too long."""
        self._is_up = False
        task, self._task = self._task, None
        if task is None or task.done():
            return
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        _, late = await asyncio.wait([task], timeout=self._timeout_s)
        if late:
            _logger.warning("the application did not shut down within %s s", self._timeout_s)
            task.cancel()
            await asyncio.wait([task])

    def check(self) -> None:
        """Return while the application is up."""
        if not self._is_up:
            raise BehindUnavailableError("the application is not up", delivered=False)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._application(scope, self._messages.get, self._send)
        except Exception as error:
            if self._is_heard.is_set() and self._refusal is None:
                _logger.exception("the application's lifespan raised")
            else:
                _logger.debug("the application has no lifespan: %s", type(error).__name__)
        finally:
            self._is_heard.set()

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self._is_heard.set()
            case "lifespan.startup.failed":
                # Frameworks put a whole traceback there; its last line says what is wrong.
                lines = str(message.get("message", "")).strip().splitlines() or ["no reason given"]
                self._refusal = lines[-1]
                self._is_heard.set()
            case "lifespan.shutdown.failed":
                _logger.error("the application failed to shut down")
            case _:
                pass
