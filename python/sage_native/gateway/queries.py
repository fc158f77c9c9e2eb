"""What stands behind the question mark of a list: a filter, where to go on, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from sage_native.gateway.problems import ProblemError

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["PageQuery", "page_of"]

MAX_LIMIT = 100


class PageQuery(NamedTuple):
    """Which part of a list is wanted.

    Attributes:
        filter: The value of the one filter that the list knows.
        after: The last one of the page before.
        limit: 1 to 100.
    """

    filter: str | None
    after: str | None
    limit: int


def page_of(scope: Scope, filter_name: str) -> PageQuery:
    """Read the query of a list.

    Raises:
        ProblemError: ``malformed_request``: an unknown or repeated name, or another limit.
    """
    try:
        pairs = (
            parse_qsl(
                scope["query_string"].decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=3,
            )
            if scope["query_string"]
            else []
        )
    except ValueError:
        raise ProblemError("malformed_request") from None
    query = dict(pairs)
    if len(query) != len(pairs) or not query.keys() <= {filter_name, "after", "limit"}:
        raise ProblemError("malformed_request")
    limit = query.get("limit", str(MAX_LIMIT))
    if not (limit.isascii() and limit.isdigit()) or not 1 <= len(limit) <= 3:
        raise ProblemError("malformed_request")
    if not 1 <= int(limit) <= MAX_LIMIT or "\0" in "".join(query.values()):
        raise ProblemError("malformed_request")
    return PageQuery(query.get(filter_name), query.get("after"), int(limit))
