"""What makes a message invalid, whichever way it came.

One set of rules serves both directions: `encode` refuses as the caller's error what decoding
refuses as the peer's. Each rule answers with the text of what is wrong, or None. Texts name fields
and lengths and never hold a value: values may be secrets.

Sources: RFC 9292 §3.4 to §3.6; RFC 9113 §8.2.1 and §8.3.1; RFC 9110 §5.1, §5.5 and §9.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sage_native.binary_http.messages import Request

if TYPE_CHECKING:
    from sage_native.binary_http.messages import Fields, Limits, Response

__all__ = ["flaw"]

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=%:\[\]]*")
"""No ``@``: RFC 9113 §8.3.1 forbids user information."""
_PATH = re.compile(r"/[\x21-\x7e]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")


def flaw(message: Request | Response, limits: Limits) -> str | None:
    """Say what is wrong with a message, or None. Texts hold no values."""
    if isinstance(message, Request):
        found = _control_flaw(message, limits)
    else:
        found = _status_flaw(message, limits)
    if found is not None:
        return found
    if len(message.content) > limits.max_content_len:
        return (
            f"the content has {len(message.content)} bytes; at most {limits.max_content_len} are "
            "allowed"
        )
    return _section_flaw(message.headers, limits, "header") or _section_flaw(
        message.trailers, limits, "trailer"
    )


def _control_flaw(request: Request, limits: Limits) -> str | None:
    for name in ("method", "scheme", "authority", "path"):
        length = len(getattr(request, name))
        if length > limits.max_control_len:
            return f"the {name} has {length} bytes; at most {limits.max_control_len} are allowed"
    if _METHOD.fullmatch(request.method) is None:
        return "the method is empty or no token"
    if _AUTHORITY.fullmatch(request.authority) is None:
        return "the authority has signs that no host and port have"
    return _target_flaw(request)


def _target_flaw(request: Request) -> str | None:
    if request.method == "CONNECT":
        if request.scheme or request.path or not request.authority:
            return "CONNECT has an authority, and neither scheme nor path"
    elif _SCHEME.fullmatch(request.scheme) is None:
        return "the scheme is empty or none"
    elif request.path == "*" and request.method == "OPTIONS":
        return None
    elif _PATH.fullmatch(request.path) is None:
        return "the path does not begin with /, or has signs other than visible ASCII"
    return None


def _status_flaw(response: Response, limits: Limits) -> str | None:
    if not 200 <= response.status <= 599:
        return f"the final status is {response.status}; it must be 200 to 599"
    if len(response.informational) > limits.max_informational:
        return f"there are more than {limits.max_informational} informational responses"
    for informational in response.informational:
        if not 100 <= informational.status <= 199:
            return f"an informational status is {informational.status}; it must be 100 to 199"
        found = _section_flaw(informational.headers, limits, "header")
        if found is not None:
            return found
    return None


def _section_flaw(fields: Fields, limits: Limits, kind: str) -> str | None:
    if len(fields) > limits.max_fields:
        return f"there are more than {limits.max_fields} {kind} fields"
    length = 0
    for place, (name, value) in enumerate(fields, 1):
        length += len(name) + len(value)
        if _NAME.fullmatch(name) is None:
            return f"the name of {kind} field {place} is no token in lower case"
        if _VALUE.fullmatch(value) is None:
            return (
                f"the value of {kind} field {place} has control characters or white space around it"
            )
    if length > limits.max_section_len:
        return (
            f"the {kind} fields have {length} bytes; at most {limits.max_section_len} are allowed"
        )
    return None
