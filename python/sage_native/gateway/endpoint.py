"""From an ASGI request to an answer: what every endpoint does before and after its own work.

An endpoint is a function of a `Call` that returns an `Answer` or raises. Around it stand, in this
order, the place among those at work, the bucket of the address, the work itself, and the mapping of
what was raised to a problem. A fault of our own says nothing to the client and all to the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from sage_native.exceptions import KeyUnavailableError, OverloadedError, SageError
from sage_native.gateway.answers import JSON_TYPE, send_answer
from sage_native.gateway.limits import ClientGoneError, read_body
from sage_native.gateway.problems import ProblemError, problem, problem_of
from sage_native.gateway.strict_json import decode_strictly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from starlette.types import Receive, Scope, Send

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway

    _T = TypeVar("_T")

__all__ = ["Call", "Endpoint"]

MAX_JSON_LEN = 1 << 20
MAX_HANDSHAKE_LEN = 16_384

_logger = logging.getLogger("sage_native.gateway")


class Call:
    """One request, as an endpoint sees it."""

    __slots__ = ("gateway", "receive", "scope")

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive) -> None:
        self.gateway = gateway
        self.scope = scope
        self.receive = receive

    def parameter(self, name: str) -> str:
        """Return a parameter of the path."""
        value: str = self.scope["path_params"][name]
        return value

    async def body(self, content_type: bytes, *, limit: int) -> bytes:
        """Read the body, which must be of this type and not compressed.

        Raises:
            ProblemError: ``unsupported_media_type``.
            PeerError: It is too large or too slow, or the client is gone.
        """
        headers = self.scope["headers"]
        for name, value in headers:
            if name == b"content-type":
                if value != content_type and _essence(value) != content_type:
                    break
                return await read_body(
                    self.receive, headers, limit=limit, deadlines=self.gateway.deadlines
                )
        raise ProblemError("unsupported_media_type", headers=((b"accept", content_type),))

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


def _essence(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


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
        if not self._is_counted:
            answer = await self._answer(scope, receive)
            return await send_answer(send, answer) if answer is not None else None
        in_flight = self._gateway.in_flight
        try:
            in_flight.enter()
        except OverloadedError as error:
            return await send_answer(send, _refused(error))
        try:
            answer = await self._answer(scope, receive)
            if answer is not None:
                await send_answer(send, answer)
        finally:
            in_flight.leave()
        return None

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        try:
            if self._is_counted:
                self._gateway.pacing.request(scope)
            return await self._work(Call(self._gateway, scope, receive))
        except ProblemError as error:
            return error.answer()
        except ClientGoneError:
            return None
        except SageError as error:
            if isinstance(error, KeyUnavailableError):
                self._gateway.rotation.hurry()
            return _refused(error)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            return problem("internal_error")


def _refused(error: SageError) -> Answer:
    answer = problem_of(error)
    if answer is None:
        _logger.error("a request failed: %s", error, exc_info=error)
        return problem("internal_error")
    return answer
