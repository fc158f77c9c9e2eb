"""The client, for event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from sage_client.client_facts import ClientFacts
from sage_client.driving import AsyncDriver
from sage_client.session import SageSession

if TYPE_CHECKING:
    from types import TracebackType

    from sage_client.types import ServerIdentity

__all__ = ["SageClient"]


class SageClient(ClientFacts):
    """Talks to one gateway as one agent.

    ::

        async with SageClient(url, "agent.key", server_key="did:key:z6Mk…") as client:
            async with await client.connect() as session:
                answer = await session.send(b"hello")

    Arguments as ``ClientFacts``: the gateway's URL, the agent's identity, the server's pinned key.
    Any number of tasks of one event loop may use it at once.
    """

    def _open_driver(self) -> None:
        self._driver = AsyncDriver(self._url, self._settings, self._verify)

    async def fetch_identity(self) -> ServerIdentity:
        """Ask the server who it is, and compare that with the pinned key.

        Raises:
            ServerIdentityError: The pinned key is not among those that the server announces.
            ExchangeError: No answer, or none that can be read.
        """
        return await self._driver.run(self._steps.fetch_identity())

    async def connect(self, *, renew: bool = False) -> SageSession:
        """Shake hands and return the session.

        Args:
            renew: When the session ends by age, silence or by the server, shake hands again with
                the next message.

        Raises:
            ServerIdentityError: No key is pinned.
            NotAuthenticError: What answers does not hold the pinned key.
            ExchangeError: Refused, by its code (``StaleTimestampError`` and so on), or no answer.
        """
        return SageSession(await self._driver.run(self._steps.connect(renew=renew)), self._driver)

    async def send(self, message: bytes, *, idempotent: bool = False) -> bytes:
        """Send a message without caring for sessions: one is made and renewed as needed.

        Arguments, result and errors as ``SageSession.send``, and those of ``connect``.
        """
        return await self._driver.run(self._steps.send(message, idempotent=idempotent))

    async def aclose(self) -> None:
        """Close all sessions, the connections, and the key if this client has loaded it."""
        self._steps.close()
        try:
            await asyncio.gather(
                *(self._driver.run(session.close()) for session in self._steps.sessions)
            )
        finally:
            await self._driver.aclose()
            self._close_key()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
