"""The same without an event loop: ``SyncSageClient`` and ``SyncSageSession``, for threads.

The steps are the same as in the asynchronous face; see there for what each method does. Any number
of threads may use one client and one session at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sage_client import http_messages
from sage_client.client_facts import ClientFacts
from sage_client.driving import SyncDriver
from sage_client.session_facts import SessionFacts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from sage_client.records import SessionSteps
    from sage_client.types import HttpAnswer, ServerIdentity

__all__ = ["SyncSageClient", "SyncSageSession"]


class SyncSageSession(SessionFacts):
    """A session with the server. Made by ``SyncSageClient.connect``; closes with ``with``."""

    def __init__(self, steps: SessionSteps, driver: SyncDriver) -> None:
        super().__init__(steps)
        self._driver = driver

    def send(self, message: bytes, *, idempotent: bool = False) -> bytes:
        """Send a message and return the application's answer; see ``SageSession.send``."""
        return self._driver.run(self._steps.send(message, idempotent=idempotent))

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes = b"",
        idempotent: bool | None = None,
    ) -> HttpAnswer:
        """Send an HTTP request to the application; see ``SageSession.request``."""
        message = http_messages.encode_request(method, target, headers, content)
        again = http_messages.is_safe(method) if idempotent is None else idempotent
        steps = self._steps.send(message, idempotent=again, binary_http=True)
        return http_messages.decode_answer(self._driver.run(steps))

    def rekey(self) -> None:
        """Move to the next epoch now. It happens by itself when it is due."""
        self._driver.run(self._steps.rekey())

    def close(self) -> bool:
        """End the session on both sides; returns whether the server has answered."""
        return self._driver.run(self._steps.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class SyncSageClient(ClientFacts):
    """Talks to one gateway as one agent, from threads. Arguments as ``ClientFacts``.

    A server that sends its answer in drops, each within ``timeout_s``, holds a thread until the
    head is complete; the body as a whole has ``timeout_s``.
    """

    def _open_driver(self) -> None:
        self._driver = SyncDriver(self._url, self._settings, self._verify)

    def fetch_identity(self) -> ServerIdentity:
        """Ask the server who it is, and compare; see ``SageClient.fetch_identity``."""
        return self._driver.run(self._steps.fetch_identity())

    def connect(self, *, renew: bool = False) -> SyncSageSession:
        """Shake hands and return the session; see ``SageClient.connect``."""
        return SyncSageSession(self._driver.run(self._steps.connect(renew=renew)), self._driver)

    def send(self, message: bytes, *, idempotent: bool = False) -> bytes:
        """Send a message without caring for sessions; see ``SageClient.send``."""
        return self._driver.run(self._steps.send(message, idempotent=idempotent))

    def close(self) -> None:
        """Close all sessions, the connections, and the key if this client has loaded it."""
        self._steps.close()
        try:
            for session in self._steps.sessions:
                self._driver.run(session.close())
        finally:
            self._driver.close()
            self._close_key()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
