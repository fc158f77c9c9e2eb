"""Heads of HTTP/1.1 that were seen before: of requests, and of answers.

Clients repeat themselves. All heads of one client's handshakes are the same bytes, and so are those
of its records of one length. What a parser made of the same bytes before is what it would make of
them again, so a head that is known is looked up instead of parsed. Heads that carry somebody's
credentials are not kept.

Our own answers repeat themselves even more: a status, three headers, a length.
"""

from __future__ import annotations

import http
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sage_native.gateway.limits.bodies import essence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["NO_CONTENT", "AnswerHead", "AnswerHeads", "Header", "RequestHead", "RequestHeads"]

Header = tuple[bytes, bytes]

MAX_COUNT = 2048
"""The most heads of each kind that one worker keeps; the oldest goes first."""
MAX_LEN = 1024
"""The longest head that is kept, in bytes."""
_END = b"\r\n\r\n"
_MAX_DIGITS = 9

# A request with one of these is not kept: a credential, or a body whose end the head does not say.
_UNKEPT = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization"}
    | {b"connection", b"content-encoding", b"expect", b"transfer-encoding", b"upgrade"}
)

_NO_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
NO_CONTENT = 204
_WITHOUT_BODY = frozenset({NO_CONTENT, 304})


class RequestHead(NamedTuple):
    """A request up to its body, as ASGI has it.

    Attributes:
        content_type: The media type of its body, empty if it is not said.
        body_len: How long that is.
    """

    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    headers: tuple[Header, ...]
    content_type: bytes
    body_len: int


class RequestHeads:
    """The heads of requests that one worker has seen.

    Args:
        max_count: How many are kept.
    """

    def __init__(self, max_count: int = MAX_COUNT) -> None:
        self._max_count = max_count
        self._heads: dict[bytes, RequestHead] = {}

    def find(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """Recognise one whole request, and nothing besides.

        Args:
            data: What came on a connection on which no request is under way.

        Returns:
            Its head and its body; None if the head is not known or the body does not end here.

        Cost: 0.4 µs.
        """
        body_at = data.find(_END) + 4
        head = self._heads.get(data[:body_at])
        if head is None or len(data) - body_at != head.body_len:
            return None
        return head, data[body_at:]

    def keep(self, data: bytes, scope: dict[str, Any]) -> None:
        """Remember what a parser has made of one whole request of HTTP/1.1.

        Args:
            data: All of it, and nothing besides.
            scope: What the application is given.
        """
        body_at = data.find(_END) + 4
        if not 4 <= body_at <= MAX_LEN or scope["method"] != "POST":
            return
        said: dict[bytes, list[bytes]] = {b"content-length": [], b"content-type": []}
        for name, value in scope["headers"]:
            if name in _UNKEPT:
                return
            if name in said:
                said[name].append(value)
        lengths, types = said.values()
        if len(types) > 1 or len(lengths) != 1 or not lengths[0].isdigit():
            return
        if len(lengths[0]) > _MAX_DIGITS or len(data) - body_at != int(lengths[0]):
            return
        if len(self._heads) >= self._max_count:
            del self._heads[next(iter(self._heads))]
        self._heads[data[:body_at]] = RequestHead(
            scope["method"],
            scope["path"],
            scope["raw_path"],
            scope["query_string"],
            tuple(scope["headers"]),
            essence_of(types[0]) if types else b"",
            int(lengths[0]),
        )

    def __len__(self) -> int:
        return len(self._heads)


class AnswerHead(NamedTuple):
    """The head of an answer.

    Attributes:
        lines: Of the status and of the headers, without those that every answer has and without the
            empty line.
        body_len: What its Content-Length says, None if it has none.
        is_chunked: Whether it says that its body comes in chunks.
        is_open_ended: Whether it does not say where its body ends, and there can be one.
        closes: Whether it says that it is the last answer.
    """

    lines: bytes
    body_len: int | None
    is_chunked: bool
    is_open_ended: bool
    closes: bool


class AnswerHeads:
    """The heads of answers that one worker has sent.

    Args:
        max_count: How many are kept.
    """

    def __init__(self, max_count: int = MAX_COUNT) -> None:
        self._max_count = max_count
        self._heads: dict[tuple[int, object], AnswerHead] = {}
        self._joined: tuple[object, bytes] = (None, b"")
        self._openings: dict[tuple[int, object, int], bytes] = {}
        self._opened_with: object = None

    def of(self, status: int, headers: Iterable[Sequence[bytes]]) -> AnswerHead:
        """Return the head of an answer.

        Args:
            status: Of HTTP.
            headers: A head is kept if these are tuples; what else there is might be changed.

        Raises:
            ValueError: A name or a value that HTTP does not allow.

        Cost: 0.4 µs for one that is kept.
        """
        if headers.__class__ is not tuple:
            return _rendered(status, headers)
        try:
            head = self._heads.get((status, headers))
        except TypeError:  # a list in the tuple
            return _rendered(status, headers)
        if head is None:
            head = _rendered(status, headers)
            if len(head.lines) <= MAX_LEN:
                if len(self._heads) >= self._max_count:
                    del self._heads[next(iter(self._heads))]
                self._heads[status, headers] = head
        return head

    def opening(
        self, status: int, headers: tuple[Header, ...], body_len: int, always: list[Header]
    ) -> bytes:
        """Return all that stands before a body which is there, if the connection then goes on.

        Args:
            status: Of HTTP.
            headers: Without the length, which is added where there can be a body.
            body_len: The length of the body.
            always: The headers that every answer has; what was rendered is kept until it is another
                list.

        Returns:
            The bytes; none if the headers are about the body or the connection themselves.

        Raises:
            ValueError: As ``of``.

        Cost: 0.4 µs for one that is kept.
        """
        if self._opened_with is not always:
            self._opened_with = always
            self._openings.clear()
        opening = self._openings.get((status, headers, body_len))
        if opening is None:
            if len(self._openings) >= self._max_count:
                self._openings.clear()
            opening = self._whole(status, headers, body_len, always)
            self._openings[status, headers, body_len] = opening
        return opening

    def _whole(
        self, status: int, headers: tuple[Header, ...], body_len: int, always: list[Header]
    ) -> bytes:
        has_length = status != NO_CONTENT
        if has_length:
            headers = (*headers, (b"content-length", b"%d" % body_len))
        head = self.of(status, headers)
        if head.closes or head.is_chunked or head.body_len != (body_len if has_length else None):
            return b""
        if body_len and not has_length:
            return b""
        return head.lines + self.joined(always) + b"\r\n"

    def joined(self, headers: list[Header]) -> bytes:
        """Return the lines of headers that every answer has, until it is another list."""
        of, lines = self._joined
        if of is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._joined = (headers, lines)
        return lines

    def __len__(self) -> int:
        return len(self._heads)


def _rendered(status: int, headers: Iterable[Sequence[bytes]]) -> AnswerHead:
    lines = [_status_line(status)]
    body_len: int | None = None
    is_chunked = closes = False
    for name, value in headers:
        if not name or _NO_NAME.search(name):
            raise ValueError(f"{name!r} is no name of a header")
        if _NO_VALUE.search(value):
            raise ValueError(f"the value of header {name!r} has a control character")
        lower = name.lower()
        if lower == b"content-length" and not is_chunked and body_len is None:
            body_len = int(value)
        elif lower == b"transfer-encoding" and value.lower() == b"chunked":
            body_len, is_chunked = None, True
        elif lower == b"connection":
            closes = closes or b"close" in [token.strip().lower() for token in value.split(b",")]
        lines += (lower, b": ", value, b"\r\n")
    is_open_ended = body_len is None and not is_chunked and status not in _WITHOUT_BODY
    return AnswerHead(b"".join(lines), body_len, is_chunked, is_open_ended, closes)


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")
