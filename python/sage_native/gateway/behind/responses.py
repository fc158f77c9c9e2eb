"""Binary HTTP answers that the gateway itself gives, and those of others, checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sage_native.binary_http import Response, encode
from sage_native.exceptions import UsageError
from sage_native.gateway.behind.base import BehindUnavailableError
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from sage_native.binary_http import Fields
    from sage_native.gateway.behind.base import BehindError

__all__ = ["RefusedError", "encoded", "failure", "problem"]

_TITLES = {
    "malformed_request": "The request is not of the required form",
    "method_not_allowed": "This method is not served here",
    "not_implemented": "The application behind the gateway does not speak HTTP",
    "overloaded": "Too much at once",
    "upstream_timeout": "The service behind the gateway took too long",
    "upstream_unavailable": "The service behind the gateway gave no answer",
}


class RefusedError(Exception):
    """A request in binary HTTP that is not passed on.

    Args:
        detail: What is wrong, for the peer. It holds no value of the request.
        code: The error code.
        status: Its HTTP status.
        headers: What the answer says beside.
    """

    def __init__(
        self,
        detail: str,
        code: str = "malformed_request",
        *,
        status: int = 400,
        headers: Fields = (),
    ) -> None:
        super().__init__(detail)
        self.answer = problem(code, status=status, detail=detail, headers=headers, delivered=False)


def problem(
    code: str,
    *,
    status: int,
    detail: str | None = None,
    headers: Fields = (),
    delivered: bool | None = None,
) -> bytes:
    """Return a problem document (RFC 9457) as an RFC 9292 response.

    Args:
        code: The error code.
        status: The HTTP status.
        detail: What is wrong with the request.
        headers: Further fields.
        delivered: Whether the request reached what is behind; None where nobody knows. The peer
            reads it as ``delivered`` and may send again what was certainly not delivered.
    """
    document = {
        "type": f"urn:sage:problem:{code}",
        "title": _TITLES[code],
        "status": status,
        "delivered": delivered,
    }
    if detail is not None:
        document["detail"] = detail
    content = json.dumps(document).encode()
    return encode(
        Response(
            status=status,
            headers=((b"content-type", b"application/problem+json"), *headers),
            content=content,
        )
    )


def failure(error: BehindError) -> bytes:
    """Return what a peer is told of an error: its code and whether the request arrived."""
    headers: Fields = ((b"retry-after", b"1"),) if error.status == 503 else ()
    return problem(error.code, status=error.status, headers=headers, delivered=error.delivered)


def encoded(response: Response) -> bytes:
    """Encode a response of somebody else's making.

    Raises:
        BehindUnavailableError: It is not valid HTTP, or does not fit into a record.
    """
    try:
        answer = encode(response)
    except UsageError as error:
        raise BehindUnavailableError(
            f"the answer from behind is not valid: {error}", delivered=True
        ) from None
    if len(answer) > MAX_PLAINTEXT_LEN:
        raise BehindUnavailableError(
            f"the answer from behind has {len(answer)} bytes; a record holds {MAX_PLAINTEXT_LEN}",
            delivered=True,
        )
    return answer
