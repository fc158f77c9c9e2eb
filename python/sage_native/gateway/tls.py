"""Connections with TLS, counted and timed from the moment they are accepted.

A server of the event loop tells of a connection when its handshake is over. Until then it would be
in no count, and could not be refused: whoever opens connections and says nothing would use up the
files that this process may open. So these are accepted here, one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Final

from sage_native.gateway.preparing import opened_secrets
from sage_native.gateway.state import StateDirectory

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sage_native.config import Settings
    from sage_native.gateway.connections import SweptProtocol

__all__ = ["TlsListener", "tls_context"]

_ACCEPTED_AT_ONCE: Final = 64
_PAUSE_S: Final = 1.0


async def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what the settings say of TLS; None if it is off.

    Raises:
        ConfigurationError: The password of the key is missing.
        OSError: Certificate or key cannot be read.
    """
    tls = settings.server.tls
    if tls is None:
        return None
    password = None
    if tls.key_password_secret is not None:
        state = StateDirectory(settings.state_dir)
        async with opened_secrets(settings, state) as provider:
            password = (await provider.get(tls.key_password_secret)).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key, password)
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsListener:
    """Accepts at one socket; closed like a server of the event loop.

    Args:
        listening: The socket.
        context: Certificate and key.
        protocol: Makes the protocol of a connection.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], SweptProtocol],
    ) -> None:
        self._listening = listening
        self._context = context
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)  # noqa: FBT003 - as sockets want it
        self._resume()

    def close(self) -> None:
        """Accept no more, and end the handshakes."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait until the handshakes have ended."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                one, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file or no memory is left: what waits is still there in a while
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_PAUSE_S, self._resume)
                return
            protocol = self._protocol()
            protocol.place = protocol.places.take(address[0])
            if protocol.place is None:
                one.close()
                continue
            handshake = self._loop.create_task(self._shake_hands(one, protocol))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, one: socket.socket, protocol: SweptProtocol) -> None:
        try:
            with contextlib.suppress(OSError):  # a broken handshake is the client's affair
                await self._loop.connect_accepted_socket(
                    lambda: protocol,
                    one,
                    ssl=self._context,
                    ssl_handshake_timeout=protocol.head_s,
                    ssl_shutdown_timeout=protocol.head_s,
                )
        finally:
            protocol.give_up()
