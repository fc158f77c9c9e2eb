"""Answers with what it got: for trying a client out, and for measuring the gateway alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.binary_http import Response, decode_request, field_values
from sage_native.exceptions import HandshakeError
from sage_native.gateway.behind.base import Behind, BehindError
from sage_native.gateway.behind.responses import encoded, failure, problem

if TYPE_CHECKING:
    from sage_native.gateway.peers import Peer

__all__ = ["EchoBehind"]


class EchoBehind(Behind):
    """A raw message is its own answer; a request gets its own content and status 200."""

    needs_span = False

    async def answer(
        self,
        peer: Peer,  # noqa: ARG002 - part of the interface
        plaintext: bytes,
        *,
        binary_http: bool,
    ) -> tuple[bytes, bool]:
        """Answer with the message, or with the content of the request."""
        if not binary_http:
            return plaintext, False
        try:
            request = decode_request(plaintext)
        except HandshakeError as error:
            return problem("malformed_request", status=400, detail=str(error)), True
        types = field_values(request.headers, b"content-type") or [b"application/octet-stream"]
        headers = ((b"content-type", types[0]),)
        try:
            return encoded(Response(status=200, headers=headers, content=request.content)), True
        except BehindError as error:  # A few bytes longer than the request, and so too long.
            return failure(error), True
