"""HTTP requests as they travel inside records: RFC 9292 binary HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.binary_http import Request, decode_response, encode
from sage_native.exceptions import HandshakeError, UsageError

from sage_client.errors import UnexpectedAnswerError
from sage_client.types import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["decode_answer", "encode_request", "is_safe"]

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def is_safe(method: str) -> bool:
    """Tell whether a method only asks (RFC 9110 §9.2.1), so that it may arrive twice."""
    return method in SAFE_METHODS


def encode_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], content: bytes
) -> bytes:
    """Write a request. Raises UsageError if it is no valid one."""
    try:
        fields = tuple(
            (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers
        )
    except UnicodeEncodeError as error:
        raise UsageError(
            "a header holds characters that HTTP cannot carry; encode its value first"
        ) from error
    return encode(Request(method=method, path=target, headers=fields, content=content))


def decode_answer(message: bytes) -> HttpAnswer:
    """Read an answer. Raises UnexpectedAnswerError if the server sealed something else."""
    try:
        answer = decode_response(message)
    except HandshakeError as error:
        raise UnexpectedAnswerError(f"the sealed answer is no HTTP response: {error}") from error
    return HttpAnswer(
        answer.status,
        tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in answer.headers),
        answer.content,
    )
