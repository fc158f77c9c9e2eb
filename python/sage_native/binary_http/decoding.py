"""Bytes to messages, of known and of indeterminate length.

The structure is read first, with the limits at hand so that a crafted message costs little; the
rules of `sage_native.binary_http.rules` are asked once all is read. A message may end before its
header section, before its content and before its trailers, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.binary_http.messages import DEFAULT_LIMITS, Informational, Request, Response
from sage_native.binary_http.rules import flaw
from sage_native.exceptions import HandshakeError

if TYPE_CHECKING:
    from sage_native.binary_http.messages import Fields, Limits

__all__ = ["decode_request", "decode_response"]


def decode_request(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Request:
    """Decode a request of known or of indeterminate length.

    Args:
        data: The whole message, with its padding.
        limits: What is allowed.

    Returns:
        The request. It may hold fields about a connection, such as ``transfer-encoding``: they
        say how it once came, and are not to be passed on.

    Raises:
        HandshakeError: ``malformed_request``: it is no valid request, or beyond a limit. The text
            holds no value of the message.

    Cost: about 20 µs for ten fields.
    Source: RFC 9292 §3.
    """
    reader = _Reader(data, limits)
    reader.framing(known=0, indeterminate=2)
    parts = [
        reader.take(limits.max_control_len, name).decode("latin-1")
        for name in ("method", "scheme", "authority", "path")
    ]
    headers, content, trailers = reader.rest()
    request = Request(
        method=parts[0],
        scheme=parts[1],
        authority=parts[2],
        path=parts[3],
        headers=headers,
        content=content,
        trailers=trailers,
    )
    _demand(flaw(request, limits))
    return request


def decode_response(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Response:
    """Decode a response of known or of indeterminate length.

    Args:
        data: The whole message, with its padding.
        limits: What is allowed.

    Returns:
        The response, with the informational ones before it.

    Raises:
        HandshakeError: ``malformed_request``: it is no valid response, or beyond a limit.

    Cost: about 20 µs for ten fields.
    Source: RFC 9292 §3.
    """
    reader = _Reader(data, limits)
    reader.framing(known=1, indeterminate=3)
    informational: list[Informational] = []
    while 100 <= (status := reader.number("status")) <= 199:
        if len(informational) == limits.max_informational:
            _demand(f"there are more than {limits.max_informational} informational responses")
        informational.append(Informational(status, reader.section("header field")))
    headers, content, trailers = reader.rest()
    response = Response(
        status=status,
        headers=headers,
        content=content,
        trailers=trailers,
        informational=tuple(informational),
    )
    _demand(flaw(response, limits))
    return response


def _demand(found: str | None) -> None:
    if found is not None:
        raise HandshakeError(f"binary HTTP: {found}")


class _Reader:
    """A place in a message, and where the part that is being read ends."""

    __slots__ = ("_at", "_data", "_end", "_known_length", "_limits")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)
        self._limits = limits
        self._known_length = True

    def framing(self, *, known: int, indeterminate: int) -> None:
        """Read the framing indicator, one of two, which says how the parts end."""
        indicator = self.number("framing indicator")
        if indicator not in {known, indeterminate}:
            _demand(f"the framing indicator is not {known} or {indeterminate}")
        self._known_length = indicator == known

    def rest(self) -> tuple[Fields, bytes, Fields]:
        """Read what follows the control data, and check the padding."""
        headers = self.section("header field")
        content = self._content()
        trailers = self.section("trailer field")
        if self._data.count(0, self._at) != self._end - self._at:
            _demand("padding that is not zero follows the message")
        return headers, content, trailers

    def number(self, name: str) -> int:
        """Read a variable-length integer (RFC 9000 §16), in whichever of its lengths it stands."""
        if self._at >= self._end:
            _demand(f"it ends before its {name}")
        first = self._data[self._at]
        if first < 64:  # The usual case: one byte.
            self._at += 1
            return first
        end = self._at + (1 << (first >> 6))
        if end > self._end:
            _demand(f"it ends within its {name}")
        number = int.from_bytes(self._data[self._at : end], "big")
        number &= (1 << (8 * (end - self._at) - 2)) - 1
        self._at = end
        return number

    def take(self, max_len: int, name: str) -> bytes:
        """Read a length and as many bytes."""
        length = self.number(name)
        if length > max_len:
            _demand(f"its {name} has {length} bytes; at most {max_len} are allowed")
        return self._bytes(length, name)

    def section(self, kind: str) -> Fields:
        """Read a field section; where the message ends instead, it is empty."""
        if self._at == self._end:
            return ()
        if not self._known_length:
            return self._lines(kind)
        length = self.number(kind)
        if length > self._end - self._at:
            _demand(f"it ends within its {kind}")
        end, self._end = self._end, self._at + length
        fields = self._lines(kind)
        self._end = end
        return fields

    def _lines(self, kind: str) -> Fields:
        """Read field lines up to the end of the section, or up to the zero that ends it."""
        fields: list[tuple[bytes, bytes]] = []
        longest = self._limits.max_section_len
        while not (self._known_length and self._at == self._end):
            name_len = self.number(kind)
            if name_len == 0:
                if self._known_length:
                    _demand(f"a {kind} has no name")
                break
            if len(fields) == self._limits.max_fields or name_len > longest:
                _demand(
                    f"there are more than {self._limits.max_fields} {kind}s, or a name is "
                    f"longer than {longest} bytes"
                )
            name = self._bytes(name_len, kind)
            fields.append((name, self.take(longest, kind)))
        return tuple(fields)

    def _content(self) -> bytes:
        limits = self._limits
        if self._at == self._end:
            return b""
        if self._known_length:
            return self.take(limits.max_content_len, "content")
        chunks: list[bytes] = []
        left = limits.max_content_len
        while (length := self.number("chunk")) != 0:
            if len(chunks) == limits.max_chunks or length > left:
                _demand(
                    f"the content is longer than {limits.max_content_len} bytes or comes in more "
                    f"than {limits.max_chunks} chunks"
                )
            chunks.append(self._bytes(length, "chunk"))
            left -= length
        return b"".join(chunks)

    def _bytes(self, length: int, name: str) -> bytes:
        if length > self._end - self._at:
            _demand(f"it ends within its {name}")
        start = self._at
        self._at += length
        return self._data[start : self._at]
