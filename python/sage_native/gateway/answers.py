"""What an endpoint answers with, and how that leaves through ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sage_native import events
from sage_native.observability.middleware import PROBLEM_KEY

if TYPE_CHECKING:
    from starlette.types import Scope, Send

__all__ = [
    "RECORD_TYPE",
    "Answer",
    "Header",
    "json_answer",
    "record_answer",
    "send_answer",
    "tell_of_problem",
]

Header = tuple[bytes, bytes]

RECORD_TYPE = b"application/sage-record"
JSON_TYPE = b"application/json"

NO_STORE = (b"cache-control", b"no-store")
_JSON_HEADERS = ((b"content-type", JSON_TYPE), NO_STORE)
RECORD_HEADER = (b"content-type", RECORD_TYPE)
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """Status, headers without the length, and the whole body.

    Attributes:
        status: The HTTP status.
        headers: In lower case, as ASGI wants them.
        body: Empty for 204.
        code: Of a problem; None for everything else.
    """

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    code: str | None = None


NO_CONTENT = Answer(204, (NO_STORE,))


def json_answer(value: object, *, status: int = 200) -> Answer:
    """Answer with a JSON document: bytes as they are, anything else as msgspec spells it."""
    body = value if isinstance(value, bytes) else _encode(value)
    return Answer(status, _JSON_HEADERS, body)


def record_answer(record: bytes) -> Answer:
    """Answer with a sealed record: always 200, whatever is inside."""
    return Answer(200, (RECORD_HEADER,), record)


async def send_answer(scope: Scope, send: Send, answer: Answer) -> None:
    """Send an answer whole, and tell of it if it is a problem."""
    status, headers, body, code = answer
    if code is not None:
        tell_of_problem(scope, code, status)
    if status != 204:
        headers = (*headers, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tell_of_problem(scope: Scope, code: str, status: int) -> None:
    """Tell those who watch that a request is answered with a problem."""
    scope[PROBLEM_KEY] = code
    events.request_refused(code, status)
