"""What everything behind the gateway that speaks HTTP has in common.

A request in binary HTTP is read, checked, stripped and handed to `exchange`; every outcome is a
sealed answer. A raw message becomes a ``POST`` to one path, and only an answer of status 2xx is
one: another status has no place in bytes.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING

from sage_native.binary_http import decode_request
from sage_native.exceptions import HandshakeError
from sage_native.gateway.behind.base import Behind, BehindError, BehindUnavailableError
from sage_native.gateway.behind.forwarding import Forwarded, forwarded, trusted_fields
from sage_native.gateway.behind.responses import RefusedError, encoded, failure, problem

if TYPE_CHECKING:
    from sage_native.binary_http import Response
    from sage_native.gateway.peers import Peer

__all__ = ["HttpBehind"]

_logger = logging.getLogger("sage_native.gateway.behind")


class HttpBehind(Behind):
    """Answers by HTTP. A subclass says how one request is answered.

    Attributes:
        prefix: What stands in front of every path.
        message_target: Where raw messages go.
    """

    prefix = b""
    message_target = b"/"

    @abstractmethod
    async def exchange(self, request: Forwarded, peer: Peer) -> Response:
        """Answer one request that may be passed on.

        Raises:
            BehindError: There is no answer.
        """

    async def answer(
        self, peer: Peer, plaintext: bytes, *, binary_http: bool
    ) -> tuple[bytes, bool]:
        """Answer a request, or a raw message by way of one."""
        if not binary_http:
            return await self._answer_message(peer, plaintext), False
        try:
            request = forwarded(decode_request(plaintext), peer, prefix=self.prefix)
        except RefusedError as refused:
            return refused.answer, True
        except HandshakeError as error:
            refusal = problem("malformed_request", status=400, detail=str(error), delivered=False)
            return refusal, True
        try:
            return encoded(await self.exchange(request, peer)), True
        except BehindError as error:
            _logger.warning("a request got no answer: %s", error)
            return failure(error), True

    async def _answer_message(self, peer: Peer, message: bytes) -> bytes:
        headers = [(b"content-type", b"application/octet-stream"), *trusted_fields(peer)]
        response = await self.exchange(
            Forwarded("POST", self.message_target, headers, message), peer
        )
        if not 200 <= response.status <= 299:
            raise BehindUnavailableError(
                f"a raw message was answered with status {response.status}; 200 to 299 is expected",
                delivered=True,
            )
        return response.content
