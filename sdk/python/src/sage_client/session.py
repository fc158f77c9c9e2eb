"""A session, for event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sage_client import http_messages
from sage_client.session_facts import SessionFacts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from sage_client.driving import AsyncDriver
    from sage_client.records import SessionSteps
    from sage_client.types import HttpAnswer

__all__ = ["SageSession"]


class SageSession(SessionFacts):
    """A session with the server. Made by ``SageClient.connect``; closes with ``async with``.

    Any number of tasks may send at once. A rekey happens by itself when it is due; messages wait
    for it.
    """

    def __init__(self, steps: SessionSteps, driver: AsyncDriver) -> None:
        super().__init__(steps)
        self._driver = driver

    async def send(self, message: bytes, *, idempotent: bool = False) -> bytes:
        """Send a message and return the application's answer.

        Args:
            message: At most 1,048,576 bytes.
            idempotent: It may arrive twice: if its delivery is unknown, send it again.

        Returns:
            The answer's bytes, sealed by the server for this message; empty if the application
            has nothing to say.

        Raises:
            DeliveryUnknownError: It left, and no answer tells what became of it.
            ExchangeError: It did not leave; or it is idempotent, and no try is left.
            UsageError: It is too long.
        """
        return await self._driver.run(self._steps.send(message, idempotent=idempotent))

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes = b"",
        idempotent: bool | None = None,
    ) -> HttpAnswer:
        """Send an HTTP request to the application behind the gateway, inside a record.

        Args:
            method: Such as ``GET``.
            target: Path and query, such as ``/orders?open=1``.
            headers: Names and values.
            content: The body. Request and answer have 1 MiB each, headers included.
            idempotent: It may arrive twice. Left out, that holds for GET, HEAD and OPTIONS.

        Returns:
            The application's answer, whatever its status.

        Raises:
            As ``send``.
        """
        message = http_messages.encode_request(method, target, headers, content)
        again = http_messages.is_safe(method) if idempotent is None else idempotent
        steps = self._steps.send(message, idempotent=again, binary_http=True)
        return http_messages.decode_answer(await self._driver.run(steps))

    async def rekey(self) -> None:
        """Move to the next epoch now. It happens by itself when it is due."""
        await self._driver.run(self._steps.rekey())

    async def close(self) -> bool:
        """End the session on both sides, after what is under way.

        Returns:
            Whether the server has answered. This side forgets its keys in any case.
        """
        return await self._driver.run(self._steps.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
