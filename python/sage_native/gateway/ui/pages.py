"""The routes of the page, for the admin listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from sage_native.gateway.answers import Answer, send_answer
from sage_native.gateway.problems import problem
from sage_native.gateway.ui.assets import asset, description, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from sage_native.gateway.ui.assets import Asset

__all__ = ["pages"]


def pages() -> list[Route]:
    """Return the routes of ``/docs``, of what it is made of, and of ``/openapi.yaml``."""
    return [
        Route("/openapi.yaml", _File(lambda _: description())),
        Route("/docs", _File(lambda _: page())),
        Route("/docs/{asset}", _File(lambda scope: asset(scope["path_params"]["asset"]))),
    ]


class _File:
    """A file that everybody may read who reaches the listener: there is nothing secret in it."""

    def __init__(self, find: Callable[[Scope], Asset | None]) -> None:
        self._find = find

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "GET":
            answer = problem("method_not_allowed", headers=((b"allow", b"GET"),))
        elif (found := self._find(scope)) is None:
            answer = problem("not_found")
        else:
            answer = Answer(200, found.headers, found.body)
        await send_answer(send, answer)
