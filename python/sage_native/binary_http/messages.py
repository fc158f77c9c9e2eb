"""What a request, a response and the limits on both are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "DEFAULT_LIMITS",
    "Fields",
    "Informational",
    "Limits",
    "Request",
    "Response",
    "field_values",
]

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Field lines in their order: names in lower case, values without white space around them."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: Such as ``GET``. Case matters.
        path: The path and query, beginning with ``/``; ``*`` for some ``OPTIONS``; empty for
            ``CONNECT``.
        scheme: ``https`` or another; empty for ``CONNECT``.
        authority: ``host`` or ``host:port``. May be empty; often the field ``host`` says it.
        headers: The header fields.
        content: The content, at most `Limits.max_content_len` bytes.
        trailers: The trailer fields.
    """

    method: str
    path: str
    scheme: str = "https"
    authority: str = ""
    headers: Fields = ()
    content: bytes = b""
    trailers: Fields = ()


@dataclass(frozen=True, slots=True)
class Informational:
    """A response of status 100 to 199, which comes before the final one.

    Attributes:
        status: 100 to 199.
        headers: Its header fields.
    """

    status: int
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Attributes:
        status: The final status, 200 to 599.
        headers: The header fields.
        content: The content, at most `Limits.max_content_len` bytes.
        trailers: The trailer fields.
        informational: What came before the final status.
    """

    status: int
    headers: Fields = ()
    content: bytes = b""
    trailers: Fields = ()
    informational: tuple[Informational, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a message may be, so that a crafted one costs little.

    Attributes:
        max_fields: Field lines in one section.
        max_section_len: Bytes of one header or trailer section.
        max_control_len: Bytes of each of method, scheme, authority and path.
        max_content_len: Bytes of content.
        max_informational: Informational responses before the final one.
        max_chunks: Pieces that the content of an indeterminate-length message comes in.
    """

    max_fields: int = 128
    max_section_len: int = 64 * 1024
    max_control_len: int = 8 * 1024
    max_content_len: int = 1 << 20
    max_informational: int = 8
    max_chunks: int = 4096


DEFAULT_LIMITS = Limits()


def field_values(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all field lines with one lower-case name, in their order."""
    return [value for known, value in fields if known == name]
