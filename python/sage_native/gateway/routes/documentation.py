"""``/openapi.yaml`` and ``/docs``: the description of the API, as a file and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.answers import Answer
from sage_native.gateway.problems import ProblemError
from sage_native.gateway.ui import asset, description, page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.gateway.endpoint import Call
    from sage_native.gateway.ui import Asset

__all__ = ["ROUTES"]


async def _description(_call: Call) -> Answer:
    return _answer(description())


async def _page(_call: Call) -> Answer:
    return _answer(page())


async def _asset(call: Call) -> Answer:
    found = asset(call.parameter("name"))
    if found is None:
        raise ProblemError("not_found")
    return _answer(found)


def _answer(found: Asset) -> Answer:
    return Answer(200, found.headers, found.body)


ROUTES: tuple[tuple[str, str, Callable[[Call], Awaitable[Answer]]], ...] = (
    ("GET", "/openapi.yaml", _description),
    ("GET", "/docs", _page),
    ("GET", "/docs/{name}", _asset),
)
