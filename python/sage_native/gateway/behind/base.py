"""The one interface to what is behind, and its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sage_native.exceptions import SageError
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from sage_native.gateway.peers import Peer

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "Behind",
    "BehindBusyError",
    "BehindError",
    "BehindTimeoutError",
    "BehindUnavailableError",
    "checked_answer",
]

DEFAULT_TIMEOUT_S = 30.0


class BehindError(SageError):
    """What is behind the gateway gave no answer that could be sealed.

    Attributes:
        code: The error code to answer with.
        status: Its HTTP status.
        delivered: False if the message certainly did not arrive, True if it certainly did, None if
            nobody knows. Nothing of which that is unknown is ever sent twice.
    """

    code = "upstream_unavailable"
    status = 502

    def __init__(self, message: str, *, delivered: bool | None = None) -> None:
        super().__init__(message)
        self.delivered = delivered


class BehindUnavailableError(BehindError):
    """It failed, was not reached, or its answer cannot be used."""


class BehindTimeoutError(BehindError):
    """It took too long, and was given up."""

    code = "upstream_timeout"
    status = 504


class BehindBusyError(BehindError):
    """All connections to it are in use: nothing was sent."""

    code = "overloaded"
    status = 503


class Behind(ABC):
    """Answers the messages of authenticated peers.

    `start` is called once before the first message and `aclose` once after the last.

    Attributes:
        needs_span: Whether somebody in it may ask OpenTelemetry for the span of a record's request.
            False spares that of making it before; what asks this package needs no more.
    """

    needs_span: ClassVar[bool] = True

    @abstractmethod
    async def answer(
        self, peer: Peer, plaintext: bytes, *, binary_http: bool
    ) -> tuple[bytes, bool]:
        """Answer one message.

        Args:
            peer: Who sent it.
            plaintext: The message: raw, or an RFC 9292 request.
            binary_http: Whether it is an RFC 9292 request.

        Returns:
            The plaintext of the answer, at most 1 MiB, and whether it is an RFC 9292 response.
            Every request in binary HTTP gets one, which says so if what is behind failed: a peer
            can rely on a sealed answer, and on no other.

        Raises:
            BehindError: A raw message got no answer.
        """

    async def start(self) -> None:  # noqa: B027 - some have nothing to do
        """Make ready. Raises `BehindError` if that fails."""

    async def aclose(self) -> None:  # noqa: B027 - some have nothing to do
        """Let go of everything. Harmless when called twice."""

    async def check(self) -> None:  # noqa: B027 - some are always ready
        """Return if messages could be answered now; raise `BehindError` otherwise."""


def checked_answer(answer: object, *, max_len: int = MAX_PLAINTEXT_LEN) -> bytes:
    """Return an application's answer as bytes, None as no bytes.

    Raises:
        BehindUnavailableError: It is neither bytes nor None, or longer than fits.
    """
    if answer is None:
        return b""
    if not isinstance(answer, bytes):
        raise BehindUnavailableError(
            f"the application answered with {type(answer).__name__}: answer with bytes or None",
            delivered=True,
        )
    if len(answer) > max_len:
        raise BehindUnavailableError(
            f"the application answered with {len(answer)} bytes; at most {max_len} fit",
            delivered=True,
        )
    return answer
