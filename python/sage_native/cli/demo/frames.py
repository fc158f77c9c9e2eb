"""Frames on a stream socket: ``u32 length || u8 kind || body``, length = 1 + len(body).

The protocol does no I/O; this is the demonstration's carrier, as HTTP is the gateway's. Every wait
ends after TIMEOUT_S, and no frame is believed to be longer than the longest record.
"""

from __future__ import annotations

import socket
from enum import IntEnum, unique
from typing import TYPE_CHECKING

from sage_native.exceptions import PeerError, SageError
from sage_native.protocol import MAX_PLAINTEXT_LEN, RECORD_OVERHEAD

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["TIMEOUT_S", "Channel", "ConnectionLostError", "FrameError", "Kind", "RefusedError"]

TIMEOUT_S = 10.0
CUT_SHORT = "the connection ended within a frame"
MAX_FRAME_LEN = 1 + MAX_PLAINTEXT_LEN + RECORD_OVERHEAD


@unique
class Kind(IntEnum):
    """What a frame carries."""

    INITIATE = 1
    ACCEPT = 2
    CONFIRM = 3
    RECORD = 4
    REKEY_REQUEST = 5
    REKEY_REPLY = 6
    REFUSAL = 7


class ConnectionLostError(SageError):
    """The connection ended, or stayed silent for too long."""


class FrameError(PeerError):
    """The peer sent what is no frame, or none that is due."""


class RefusedError(PeerError):
    """The peer refused, and said so outside the session: nothing vouches for it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the peer answered {code}")
        self.code = code


class Channel:
    """One connection. Closes as a context manager."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    @classmethod
    def connect(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        try:
            return cls(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S))
        except OSError as error:
            raise ConnectionLostError(f"127.0.0.1:{port} does not answer: {error}") from error

    def send(self, kind: Kind, body: bytes) -> None:
        """Send one frame."""
        head = (1 + len(body)).to_bytes(4, "big") + bytes((kind,))
        try:
            self._socket.sendall(head + body)
        except OSError as error:
            raise ConnectionLostError(f"the peer takes nothing more: {error}") from error

    def receive(self) -> tuple[Kind, bytearray] | None:
        """Return the next frame, or None where the peer ended the connection between two.

        Raises:
            FrameError: Not a frame: its length or kind is impossible.
            ConnectionLostError: The connection ended within a frame, or stayed silent.
        """
        head = self._take(4)
        if not head:
            return None
        length = int.from_bytes(head, "big")
        if not 1 <= length <= MAX_FRAME_LEN:
            raise FrameError(f"a frame of {length} bytes; 1 to {MAX_FRAME_LEN} are possible")
        frame = self._take(length)
        if not frame:
            raise ConnectionLostError(CUT_SHORT)
        try:
            kind = Kind(frame[0])
        except ValueError as error:
            raise FrameError(f"a frame of the unknown kind {frame[0]}") from error
        del frame[0]
        return kind, frame

    def expect(self, kind: Kind) -> bytearray:
        """Return the body of the next frame, which has to be of this kind.

        Raises:
            RefusedError: The peer refused what it was sent last.
            FrameError: It is of another kind, or no frame.
            ConnectionLostError: There is none.
        """
        frame = self.receive()
        if frame is None:
            raise ConnectionLostError("the peer ended the connection")
        found, body = frame
        if found is Kind.REFUSAL:
            raise RefusedError(body.decode("ascii", "replace"))
        if found is not kind:
            raise FrameError(f"{found.name} came where {kind.name} was due")
        return body

    def _take(self, length: int) -> bytearray:
        """Return so many bytes, or none where the connection ended before the first."""
        buffer = bytearray(length)
        view, filled = memoryview(buffer), 0
        while filled < length:
            try:
                count = self._socket.recv_into(view[filled:])
            except TimeoutError as error:
                raise ConnectionLostError(f"the peer was silent for {TIMEOUT_S:.0f} s") from error
            except OSError as error:
                raise ConnectionLostError(f"the connection broke: {error}") from error
            if count == 0 and filled == 0:
                return bytearray()
            if count == 0:
                raise ConnectionLostError(CUT_SHORT)
            filled += count
        return buffer

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
