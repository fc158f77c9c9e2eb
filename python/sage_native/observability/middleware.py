"""One ASGI middleware for everybody who wants to know of requests.

``send`` is wrapped once, however many observers there are, and nothing is computed that none of
them asks for. An observer's trouble is logged (``sage_native.events``), and the request goes on.
"""

from __future__ import annotations

import random
import re
from collections.abc import MutableMapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from sage_native.events import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sage_native.observability.answered import AnsweredRecords

    Scope: TypeAlias = MutableMapping[str, Any]
    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = [
    "METHODS",
    "PROBLEM_KEY",
    "REQUEST_ID_KEY",
    "ROUTE_KEY",
    "SESSION_KEY",
    "SPAN_KEY",
    "UNMATCHED",
    "Ended",
    "LateObserver",
    "ObservedRequest",
    "RequestMiddleware",
    "RequestObserver",
    "name_request",
    "request_id_of",
    "route_of",
]

ROUTE_KEY = "sage.route"
"""In the scope: the template of the path, where no router of Starlette says it."""
PROBLEM_KEY = "sage.problem"
"""In the scope: the code of the problem that was answered."""
SESSION_KEY = "sage.session"
"""In the scope: the session id of the path, where no router of Starlette says it."""
REQUEST_ID_KEY = "sage.request_id"
"""In the scope: the name of the request, once somebody asked for it."""
SPAN_KEY = "sage.span"
"""In the scope: trace id and span id of the request's span, if it is recorded, as hex digits."""
UNMATCHED = "unmatched"
"""The route of a request that no template fits."""

Ended: TypeAlias = tuple[
    MutableMapping[str, Any], int | None, int | None, float, float, BaseException | None
]
"""A request that is over: scope, status, length of the answer, begin and end, what was raised.

The length is None if it was not said, and the times are those of ``time.perf_counter``.
"""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that HTTP defines; what else a client invents has one label."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_FAILED = object()
_IGNORED = "Exception ignored in the request observer"


class ObservedRequest:
    """One request, as observers see it.

    Attributes:
        scope: The ASGI scope.
        started_s: When it came, on the clock of ``time.perf_counter``.
        status: The status of HTTP; None until the answer has begun.
        sent_len: Bytes of the answer's body.
        duration_s: From its arrival until the application was done with it; 0 before that.
        error: What the application raised, if it did.
    """

    __slots__ = (
        "duration_s",
        "error",
        "scope",
        "sent_len",
        "started_s",
        "status",
    )

    def __init__(self, scope: Scope, trusts: Callable[[Scope], bool] | None = None) -> None:
        self.scope = scope
        self.status: int | None = None
        self.sent_len = 0
        self.duration_s = 0.0
        self.error: BaseException | None = None
        if trusts is not None:
            name_request(scope, trusts)
        self.started_s = perf_counter()

    @classmethod
    def of(cls, ended: Ended) -> ObservedRequest:
        """Return a request that is over."""
        request = cls(ended[0])
        _, request.status, sent_len, request.started_s, ended_s, request.error = ended
        request.sent_len = sent_len or 0
        request.duration_s = ended_s - request.started_s
        return request

    @property
    def request_id(self) -> str:
        """Name the request in logs and traces: 16 random hex digits.

        Where the sender of the request is trusted, its ``X-Request-Id`` is taken instead, if it is
        1 to 64 letters, digits, dots, hyphens and underscores.
        """
        return request_id_of(self.scope)

    @property
    def method(self) -> str:
        """Return the method as it was sent."""
        method: str = self.scope["method"]
        return method

    @property
    def method_label(self) -> str:
        """Return the method; ``other`` for one that HTTP does not define."""
        method: str = self.scope["method"]
        return method if method in METHODS else "other"

    @property
    def route(self) -> str:
        """Return the template of the path, as ``/v1/dids/{did}``; ``unmatched`` without one.

        It is known once the application has routed the request. No part of it is the client's.
        """
        return route_of(self.scope)

    @property
    def problem(self) -> str | None:
        """Return the code of the problem that the gateway answered, None if it answered none."""
        code: str | None = self.scope.get(PROBLEM_KEY)
        return code

    @property
    def received_len(self) -> int | None:
        """Return how long the request's body was said to be; None if it was not said."""
        for name, value in self.scope["headers"]:
            if name == b"content-length":
                return int(value) if value.isdigit() and len(value) < 20 else None
        return None


def request_id_of(scope: Scope) -> str:
    """Return the name of a scope's request, as `ObservedRequest.request_id`; drawn if need be."""
    name: str | None = scope.get(REQUEST_ID_KEY)
    if name is None:
        name = scope[REQUEST_ID_KEY] = f"{random.getrandbits(64):016x}"
    return name


def name_request(scope: Scope, trusts: Callable[[Scope], bool]) -> None:
    """Take the name that the sender of a scope gave its request, if it is trusted and the name fit.

    Args:
        scope: An ASGI scope.
        trusts: Tells whether the sender of a scope is trusted.
    """
    if trusts(scope):
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
            scope[REQUEST_ID_KEY] = given[0].decode("ascii")


def route_of(scope: Mapping[str, Any]) -> str:
    """Return the template of a scope's path, as `ObservedRequest.route`."""
    route: str | None = scope.get(ROUTE_KEY)
    if route is None:
        route = getattr(scope.get("route"), "path", None)
    return UNMATCHED if route is None else route


class RequestObserver(Protocol):
    """What wants to know of requests. It is called in the event loop and must not block."""

    def begin(self, request: ObservedRequest) -> object:
        """Take note of a request that has come.

        Returns:
            The observer's own state, which it is given back at the end.
        """

    def finish(self, request: ObservedRequest, state: object) -> None:
        """Take note of its end, however it ended."""


@runtime_checkable
class LateObserver(RequestObserver, Protocol):
    """An observer that may as well be told of requests some 50 ms after their end."""

    def finish_many(self, ended: Sequence[Ended]) -> None:
        """Take note of requests that are over, of which it was not told before."""

    @property
    def takes_records(self) -> bool:
        """Whether it wants to know of records that were answered; that does not change."""

    def finish_records(self, records: AnsweredRecords) -> None:
        """Take note of records that were answered, of which it was not told before either."""


class RequestMiddleware:
    """An ASGI application whose requests are observed.

    Args:
        app: The application.
        observers: Who is told; the last one is told first of a request's end.
        trusts: Tells whether the sender of a scope is trusted to name its request
            (``X-Request-Id``); nobody is without it.

    Cost: 2 µs a request, and what the observers do.
    """

    def __init__(
        self,
        app: Application,
        *observers: RequestObserver,
        trusts: Callable[[Scope], bool] | None = None,
    ) -> None:
        self._app = app
        self._observers = observers
        self._finishers = tuple(reversed(observers))
        self._trusts = trusts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have one request answered."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = ObservedRequest(scope, self._trusts)
        states = self._begin(request)

        def noting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            else:
                body = message.get("body")
                if body:
                    request.sent_len += len(body)
            return send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException as error:
            request.error = error
            raise
        finally:
            request.duration_s = perf_counter() - request.started_s
            for observer in self._finishers:
                state = states.pop()
                if state is not _FAILED:
                    try:
                        observer.finish(request, state)
                    except Exception as error:  # noqa: BLE001 - as above
                        report(observer, error, _IGNORED)
            # The frames that an error holds hold this request.
            request.error = None
        return None

    def _begin(self, request: ObservedRequest) -> list[object]:
        states = []
        for observer in self._observers:
            try:
                states.append(observer.begin(request))
            except Exception as error:  # noqa: BLE001 - not the request's trouble
                states.append(_FAILED)
                report(observer, error, _IGNORED)
        return states
