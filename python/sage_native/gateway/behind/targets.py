"""Which paths are passed on.

A path that servers read in different ways is a way around whatever stands before them. So only the
origin form goes through (RFC 9112 §3.2.1), byte for byte, and nothing in it may mean another place
after decoding: no dot segments, however they are spelt, no empty host in front, no signs that some
server takes for a separator.
"""

from __future__ import annotations

import re

from sage_native.gateway.behind.responses import RefusedError

__all__ = ["checked_path"]

_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_SEPARATORS = re.compile(r"/|\\|%2f|%5c", re.IGNORECASE)
_DOT = re.compile(r"%2e", re.IGNORECASE)
_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


def checked_path(path: str) -> bytes:
    """Return a request's path and query as they go out.

    Args:
        path: As the request has it: visible ASCII.

    Raises:
        RefusedError: It is not in origin form, or could be read in two ways.
    """
    place, _, _ = path.partition("?")
    if not place.startswith("/"):
        raise RefusedError("the target must be a path that begins with /")
    if place.startswith(("//", "/\\")):
        raise RefusedError("the path begins with two slashes: it could be read as a host")
    if "#" in path or "\\" in place:
        raise RefusedError("the path holds # or a backslash: write %23 or %5C")
    if _ESCAPES.fullmatch(path) is None:
        raise RefusedError("the path holds a % without two hexadecimal digits: write %25")
    if _CONTROL.search(place) is not None:
        raise RefusedError("the path holds an encoded control character")
    for segment in _SEPARATORS.split(place):
        if _DOT.sub(".", segment).split(";", 1)[0] in {".", ".."}:
            raise RefusedError("the path holds the segment . or ..: write the path that is meant")
    return path.encode("ascii")
