"""From an ASGI request to an answer: what every endpoint does before and after its own work.

An endpoint is a function of a `Call` that returns an `Answer` or raises. Around it stand, in this
order, the bucket of the address, the body, the place among those at work, the work itself, and the
mapping of what was raised to a problem. Nobody holds a place while he waits for a client: not for a
body, and not for an answer to be taken. A fault of our own says nothing to the client and all to
the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from sage_native.exceptions import KeyUnavailableError, SageError
from sage_native.gateway.answers import JSON_TYPE, send_answer
from sage_native.gateway.limits import (
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    UnsupportedTypeError,
    read_body,
)
from sage_native.gateway.problems import ProblemError, problem, problem_of
from sage_native.gateway.strict_json import decode_strictly
from sage_native.observability.middleware import route_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from starlette.types import Receive, Scope, Send

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway

    _T = TypeVar("_T")

__all__ = ["Call", "Endpoint", "answer_of"]

MAX_JSON_LEN = 1 << 20
MAX_HANDSHAKE_LEN = 16_384

LINGERS = "sage.lingers"
"""In the scope of a server that ends a connection by itself whose request was answered half-way."""

_CLOSE = ((b"connection", b"close"),)
_logger = logging.getLogger("sage_native.gateway")


class Call:
    """One request, as an endpoint sees it."""

    __slots__ = ("gateway", "has_place", "receive", "scope")

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive) -> None:
        self.gateway = gateway
        self.scope = scope
        self.receive = receive
        self.has_place = False

    def enter(self) -> None:
        """Take a place among those at work; whoever waits for a body has none.

        Raises:
            OverloadedError: There is none.
        """
        self.gateway.in_flight.enter()
        self.has_place = True

    def parameter(self, name: str) -> str:
        """Return a parameter of the path."""
        value: str = self.scope["path_params"][name]
        return value

    async def body(self, content_type: bytes, *, limit: int) -> bytes:
        """Read the body, which must be of this type and not compressed, and take a place.

        Raises:
            PeerError: It is of another type, too large or too slow, or the client is gone.
            OverloadedError: Too many are waited for, or at work.
        """
        body = await self.unplaced_body(content_type, limit=limit)
        self.enter()
        return body

    async def unplaced_body(self, content_type: bytes, *, limit: int) -> bytes:
        """Read the body, and take no place: for work that takes one itself; raises as ``body``."""
        return await read_body(
            self.receive,
            self.scope["headers"],
            limit=limit,
            deadlines=self.gateway.deadlines,
            content_type=content_type,
            scope=self.scope,
        )

    async def json(self, kind: type[_T], *, limit: int = MAX_JSON_LEN) -> _T:
        """Read a JSON body strictly.

        Raises:
            ProblemError, PeerError: As ``body``; ``malformed_request``.
        """
        text = await self.body(JSON_TYPE, limit=limit)
        try:
            return decode_strictly(text, kind)
        except msgspec.MsgspecError:
            raise ProblemError("malformed_request") from None


class Endpoint:
    """An ASGI application of one endpoint.

    Args:
        gateway: What it works with.
        work: The endpoint's own work.
        is_counted: Whether it takes a place and a token; what tells of health does not.
    """

    def __init__(
        self,
        gateway: Gateway,
        work: Callable[[Call], Awaitable[Answer]],
        *,
        is_counted: bool = True,
    ) -> None:
        self._gateway = gateway
        self._work = work
        self._is_counted = is_counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway = self._gateway
        call = Call(gateway, scope, receive)
        answer: Answer | None
        try:
            if self._is_counted:
                gateway.pacing.request(scope)
                if scope["method"] != "POST":  # else once its body is there
                    call.enter()
            answer = await self._work(call)
        except Exception as error:  # noqa: BLE001 - what it is decides what is said
            answer = answer_of(error, gateway, scope)
        finally:
            if call.has_place:
                gateway.in_flight.leave()
        if answer is not None:
            await send_answer(scope, send, answer)


def answer_of(error: Exception, gateway: Gateway, scope: Scope) -> Answer | None:
    """Return what a client is told of what an endpoint raised; None if the client is gone.

    What is our own fault is logged, and nothing is said of it.
    """
    if isinstance(error, ProblemError):
        return error.answer()
    if isinstance(error, ClientGoneError):
        return None
    if isinstance(error, KeyUnavailableError):
        gateway.rotation.hurry()
    if isinstance(error, UnsupportedTypeError):
        return problem(error.code, headers=((b"accept", error.wanted),))
    if isinstance(error, BodyTooLargeError | BodyTooSlowError) and LINGERS not in scope:
        # Some servers would read what is left of the body, to its end.
        return problem(error.code, headers=_CLOSE)
    answer = problem_of(error) if isinstance(error, SageError) else None
    if answer is None:
        _logger.error("%s %s failed", scope["method"], route_of(scope), exc_info=error)
        return problem("internal_error")
    return answer
