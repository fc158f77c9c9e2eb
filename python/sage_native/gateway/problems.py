"""Errors as a client gets them: ``application/problem+json`` (RFC 9457), one code each.

What is said depends on the code alone, never on what went wrong inside: two refusals of one code
are the same bytes. Two codes carry a number or a challenge for the client, and some a time to wait.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import msgspec

from sage_native.exceptions import (
    CapacityError,
    HandshakeError,
    OverloadedError,
    PeerError,
    SageError,
    SessionStateError,
    StorageError,
)
from sage_native.gateway.answers import NO_STORE, Answer
from sage_native.gateway.behind import BehindError

if TYPE_CHECKING:
    from sage_native.gateway.answers import Header

__all__ = ["PROBLEMS", "ProblemError", "problem", "problem_of"]

TYPE_PREFIX = "urn:sage:problem:"

PROBLEMS: dict[str, tuple[int, str]] = {
    "authentication_failed": (401, "Authentication failed"),
    "stale_timestamp": (401, "The timestamp is more than 60 s off the server's clock"),
    "challenge_required": (401, "Handshake again with this challenge"),
    "unauthorized": (401, "An operator token is needed"),
    "malformed_request": (400, "The request is not of the required form"),
    "invalid_did": (400, "Not a DID of this protocol"),
    "invalid_key": (400, "Not a key of this protocol"),
    "unsupported_version": (400, "Only version 1 is spoken here"),
    "unsupported_suite": (400, "None of the offered suites is supported"),
    "not_found": (404, "Nothing is here"),
    "method_not_allowed": (405, "This method is not served here"),
    "request_timeout": (408, "The body did not arrive in time"),
    "conflict": (409, "Something else is there already"),
    "replay_detected": (409, "This was accepted before"),
    "rekey_required": (409, "The session must be rekeyed first"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "Another content type or encoding is needed"),
    "misdirected": (421, "Meant for another server identity"),
    "rate_limited": (429, "Asked too often"),
    "internal_error": (500, "The server failed"),
    "upstream_unavailable": (502, "The service behind the gateway gave no answer"),
    "upstream_timeout": (504, "The service behind the gateway took too long"),
    "overloaded": (503, "Too much at once"),
    "store_unavailable": (503, "The store does not answer"),
    "store_full": (503, "The store is full"),
    "key_unavailable": (503, "The session's stored secret does not open"),
}
"""Status and title of each code."""

RETRY_AFTER_S = {
    "rate_limited": 1,
    "overloaded": 1,
    "store_unavailable": 2,
    "store_full": 30,
    "key_unavailable": 30,
}
"""What ``Retry-After`` says where nobody knows better, in seconds."""

_PROBLEM_TYPE = (b"content-type", b"application/problem+json")
_OPERATOR_SCHEME = (b"www-authenticate", b'Bearer realm="sage operator"')


class ProblemError(Exception):
    """An endpoint refuses a request, with what the client is told.

    Args:
        code: One of `PROBLEMS`.
        retry_after_s: When to come again.
        headers: Further headers.
    """

    def __init__(
        self,
        code: str,
        *,
        retry_after_s: float | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_s = retry_after_s
        self.headers = headers

    def answer(self) -> Answer:
        """Return the answer."""
        return problem(self.code, retry_after_s=self.retry_after_s, headers=self.headers)


def problem(
    code: str,
    *,
    retry_after_s: float | None = None,
    headers: tuple[Header, ...] = (),
    **members: int | str,
) -> Answer:
    """Make the answer of a code.

    Args:
        code: One of `PROBLEMS`.
        retry_after_s: When to come again; what `RETRY_AFTER_S` says if it is left out.
        headers: Further headers.
        members: Further members of the document, such as ``server_time_ms``.
    """
    status, title = PROBLEMS[code]
    document = {"type": TYPE_PREFIX + code, "title": title, "status": status, **members}
    all_headers = [_PROBLEM_TYPE, NO_STORE, *headers]
    wait_s = RETRY_AFTER_S.get(code) if retry_after_s is None else retry_after_s
    if wait_s is not None:
        all_headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
    if code == "unauthorized":
        all_headers.append(_OPERATOR_SCHEME)
    return Answer(status, tuple(all_headers), msgspec.json.encode(document), code)


def problem_of(error: SageError) -> Answer | None:
    """Return what a client is told of an error; None if it is the server's own fault."""
    match error:
        case HandshakeError(code="stale_timestamp", server_time_ms=int(server_time_ms)):
            return problem("stale_timestamp", server_time_ms=server_time_ms)
        case HandshakeError(code="challenge_required", challenge=bytes(challenge)):
            text = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
            return problem("challenge_required", challenge=text)
        case OverloadedError(retry_after_s=float() | int() as retry_after_s):
            return problem(error.code, retry_after_s=retry_after_s)
        case PeerError() | SessionStateError() | CapacityError() | StorageError() | BehindError():
            return problem(error.code)
        case _:
            return None
