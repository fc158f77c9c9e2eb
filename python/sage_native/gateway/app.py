"""The ASGI applications of the two listeners.

Records and handshakes take a short way: their paths are recognised here, and the endpoint is called
at once, since Starlette's way costs as much as they do. All else goes through Starlette's router.
Both ways end in the same `Endpoint`, so that limits and errors are the same.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from sage_native.gateway.answers import send_answer, tell_of_problem
from sage_native.gateway.behindless import Behindless
from sage_native.gateway.endpoint import Endpoint
from sage_native.gateway.gateway import Gateway
from sage_native.gateway.operators import OperatorOnly
from sage_native.gateway.problems import problem
from sage_native.gateway.routes import (
    dids,
    handshake,
    health,
    identity,
    records,
    rekey,
    sessions,
    signatures,
)
from sage_native.gateway.taskless import TasklessEndpoint
from sage_native.observability.answered import RECORD_ROUTE
from sage_native.observability.middleware import ROUTE_KEY, SESSION_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sage_native.config import Settings
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.behind import Behind
    from sage_native.gateway.endpoint import Call
    from sage_native.gateway.taskless import Begin

    _Work = Callable[[Call], Awaitable[Answer]]

__all__ = ["AdminApp", "PublicApp", "create_admin_app", "create_app"]

_RECORDS_BEFORE, _RECORDS_AFTER = RECORD_ROUTE.split("{session_id}")
_SESSION_ID_LEN = 36
_RECORDS_LEN = len(_RECORDS_BEFORE) + _SESSION_ID_LEN + len(_RECORDS_AFTER)
_SESSION_ID = slice(len(_RECORDS_BEFORE), -len(_RECORDS_AFTER))

PUBLIC_ROUTES: tuple[tuple[str, str, _Work | type[records.RecordEndpoint]], ...] = (
    ("POST", "/v1/handshake/initiate", handshake.initiate),
    ("POST", "/v1/handshake/complete", handshake.complete),
    ("GET", "/v1/identity", identity.identity),
    ("POST", RECORD_ROUTE, records.RecordEndpoint),
    ("POST", "/v1/sessions/{session_id}/rekey", rekey.rekey),
    ("POST", "/v1/signatures/verify", signatures.verify),
    ("POST", "/v1/signatures/verify-batch", signatures.verify_batch),
    ("GET", "/v1/dids/{did}", dids.show),
)
TASKLESS_POSTS: Mapping[str, Begin] = {
    "/v1/handshake/initiate": handshake.begin_initiate,
    "/v1/handshake/complete": handshake.begin_complete,
}
"""What servers that can may begin without a task."""
HEALTH_ROUTES: tuple[tuple[str, str, _Work], ...] = (
    ("GET", "/v1/health", health.health),
    ("GET", "/v1/ready", health.ready),
)
OPERATOR_ROUTES: tuple[tuple[str, str, _Work], ...] = (
    ("GET", "/v1/dids", dids.list_all),
    ("POST", "/v1/dids", dids.register),
    ("GET", "/v1/dids/{did}", dids.describe),
    ("DELETE", "/v1/dids/{did}", dids.revoke),
    ("GET", "/v1/sessions", sessions.list_all),
    ("GET", "/v1/sessions/{session_id}", sessions.describe),
    ("DELETE", "/v1/sessions/{session_id}", sessions.end),
    ("GET", "/v1/health/detail", health.detail),
)


class PublicApp:
    """What clients reach: handshakes, records, and what is public.

    Args:
        gateway: What it works with.
        opens_gateway: Open it when the server starts, and close it when the server ends. Otherwise
            it must be open before requests come.

    Attributes:
        taskless: What answers a POST to a path and needs no task for it, for servers that know.
    """

    def __init__(self, gateway: Gateway, *, opens_gateway: bool = False) -> None:
        settings = gateway.settings
        middleware = []
        if settings.features.cors and settings.cors.origins:
            middleware.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=[origin.rstrip("/") for origin in settings.cors.origins],
                    allow_methods=["GET", "POST"],
                    allow_headers=["content-type"],
                )
            )
        routes = [
            *_routes(gateway, PUBLIC_ROUTES),
            *_routes(gateway, HEALTH_ROUTES, is_counted=False),
        ]
        self._router = _starlette(routes, middleware, gateway if opens_gateway else None)
        # Browsers of other origins need the middleware on every way.
        self._has_shortcuts = not middleware
        self.taskless: Mapping[bytes, TasklessEndpoint] = {}
        self._records = records.RecordEndpoint(gateway)
        self._posts = {
            path: Endpoint(gateway, work)
            for method, path, work in PUBLIC_ROUTES
            if method == "POST" and "{" not in path and not isinstance(work, type)
        }
        if self._has_shortcuts:
            self.taskless = {
                path.encode(): TasklessEndpoint(gateway, begin)
                for path, begin in TASKLESS_POSTS.items()
            }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and self._has_shortcuts
            # What is encoded is looked at more closely by the router.
            and b"%" not in scope.get("raw_path", b"")
        ):
            path: str = scope["path"]
            root = scope.get("root_path")
            if root:
                path = path.removeprefix(root)
            if (
                len(path) == _RECORDS_LEN
                and path.endswith(_RECORDS_AFTER)
                and path.startswith(_RECORDS_BEFORE)
            ):
                session_id = path[_SESSION_ID]
                if "/" not in session_id:
                    scope[ROUTE_KEY] = RECORD_ROUTE
                    scope[SESSION_KEY] = session_id
                    return await self._records.serve(scope, receive, send, session_id)
            endpoint = self._posts.get(path)
            if endpoint is not None:
                scope[ROUTE_KEY] = path
                return await endpoint(scope, receive, send)
        return await _routed(self._router, scope, receive, send)


class AdminApp:
    """What operators reach; all but health needs their token.

    Args:
        gateway: What it works with.
        opens_gateway: As of `PublicApp`.
    """

    def __init__(self, gateway: Gateway, *, opens_gateway: bool = False) -> None:
        routes = [
            *_routes(gateway, HEALTH_ROUTES, is_counted=False),
            *_routes(gateway, OPERATOR_ROUTES, guard=OperatorOnly(gateway)),
        ]
        if gateway.settings.admin.ui:
            from sage_native.gateway.routes import documentation  # noqa: PLC0415 - not in production

            routes += _routes(gateway, documentation.ROUTES)
        self._router = _starlette(routes, (), gateway if opens_gateway else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await _routed(self._router, scope, receive, send)


def create_app(settings: Settings, *, behind: Behind | None = None) -> ASGIApp:
    """Make the application of the public listener, which opens a gateway when the server starts.

    To mount it in another application, whose server does not tell it of its start, open the gateway
    there: ``async with Gateway(settings) as gateway`` and mount ``PublicApp(gateway)``.

    Args:
        settings: As `sage_native.config.load_settings` returns them.
        behind: What opened records are handed to; what ``settings.behind`` names if it is left out.
    """
    return PublicApp(Gateway(settings, behind=behind), opens_gateway=True)


def create_admin_app(settings: Settings) -> ASGIApp:
    """Make the application of the admin listener, with a gateway of its own on the same state."""
    return AdminApp(Gateway(settings, behind=Behindless()), opens_gateway=True)


def _routes(
    gateway: Gateway,
    table: Sequence[tuple[str, str, _Work | type[records.RecordEndpoint]]],
    *,
    is_counted: bool = True,
    guard: Callable[[_Work], _Work] | None = None,
) -> list[Route]:
    """Make a route of each path, with all of its methods."""
    by_path: dict[str, dict[str, ASGIApp]] = {}
    for method, path, work in table:
        endpoint: ASGIApp
        if isinstance(work, type):
            endpoint = work(gateway)
        else:
            guarded = work if guard is None else guard(work)
            endpoint = Endpoint(gateway, guarded, is_counted=is_counted)
        by_path.setdefault(path, {})[method] = endpoint
    return [_route(path, _Methods(endpoints)) for path, endpoints in by_path.items()]


def _route(path: str, methods: _Methods) -> Route:
    route = Route(path, methods)
    # Starlette's pattern ends in $, before which a newline may stand.
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


class _Methods:
    """The endpoints of one path. HEAD and OPTIONS are methods like others: not served."""

    def __init__(self, endpoints: dict[str, ASGIApp]) -> None:
        self._endpoints = endpoints
        self._allow = ((b"allow", ", ".join(sorted(endpoints)).encode()),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            await send_answer(scope, send, problem("method_not_allowed", headers=self._allow))
        else:
            await endpoint(scope, receive, send)


async def _routed(router: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and _hides_a_slash(scope):
        await send_answer(scope, send, problem("not_found"))
    else:
        await router(scope, receive, send)


def _hides_a_slash(scope: Scope) -> bool:
    """Tell whether a path holds an encoded slash, which a rule of a proxy would not see."""
    raw_path = scope.get("raw_path") or b""
    return b"%" in raw_path and (b"%2f" in raw_path.lower() or b"%5c" in raw_path.lower())


def _starlette(
    routes: Sequence[Route], middleware: Sequence[Middleware], opened: Gateway | None
) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with opened or contextlib.nullcontext():
            yield

    app = Starlette(
        routes=list(routes),
        middleware=list(middleware),
        exception_handlers={404: _not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _not_found(request: Request, _error: Exception) -> Response:
    answer = problem("not_found")
    tell_of_problem(request.scope, "not_found", answer.status)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)
