"""``/v1/sessions/{session_id}/messages``: sealed records, and the sealed answers to them.

The one endpoint where microseconds count, so that it stands by itself in one coroutine instead of
the general `Endpoint`: the body, a place among those at work, the session, what is behind, the
answer. A record that opens is paid for by its client; what does not open, by the address it came
from, so that many clients behind one address do not stand in each other's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError
from sage_native.gateway.answers import NO_CONTENT, RECORD_HEADER, RECORD_TYPE, send_answer
from sage_native.gateway.behind import BehindError
from sage_native.gateway.endpoint import answer_of
from sage_native.gateway.limits import ClientGoneError, read_body
from sage_native.gateway.peers import Peer
from sage_native.gateway.problems import ProblemError
from sage_native.gateway.siblings import RECORD
from sage_native.observability.tracing.current import begin_span_to_come
from sage_native.protocol import MAX_PLAINTEXT_LEN, RECORD_OVERHEAD

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway

__all__ = ["MAX_RECORD_LEN", "REQUEST_AAD", "RESPONSE_AAD", "RecordEndpoint", "exchange"]

MAX_RECORD_LEN = MAX_PLAINTEXT_LEN + RECORD_OVERHEAD
HEADER_LEN = 48
REQUEST_AAD = b"SAGE-HTTP/1 request"
RESPONSE_AAD = b"SAGE-HTTP/1 response"

_FLAGS_AT = 3
_BINARY_HTTP = 4
_ID = slice(4, 20)
_SESSION_ID_LEN = 36
_HYPHENS = slice(8, 24, 5)


class RecordEndpoint:
    """Opens records, hands them on, and seals the answers.

    A close record ends the session and is answered with 204: there is no key to seal with any more.

    Args:
        gateway: What it works with.

    Source: docs/protocol.md, "HTTP carrier of records".
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that came through the router."""
        await self.serve(scope, receive, send, scope["path_params"]["session_id"])

    async def serve(self, scope: Scope, receive: Receive, send: Send, session_id: str) -> None:
        """Answer one request to a session's path."""
        try:
            record = await self._read_and_exchange(scope, receive, session_id)
        except Exception as error:  # noqa: BLE001 - what it is decides what is said
            refusal = self._refused(error, scope)
            return await send_answer(scope, send, refusal) if refusal is not None else None
        if not isinstance(record, bytes):
            return await send_answer(scope, send, record or NO_CONTENT)
        headers = (RECORD_HEADER, (b"content-length", b"%d" % len(record)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": record})
        return None

    async def _read_and_exchange(
        self, scope: Scope, receive: Receive, session_id: str
    ) -> bytes | Answer | None:
        gateway = self._gateway
        if gateway.behind.needs_span:
            begin_span_to_come(scope)
        gateway.pacing.check(scope)
        record = await read_body(
            receive,
            scope["headers"],
            limit=MAX_RECORD_LEN,
            deadlines=gateway.deadlines,
            content_type=RECORD_TYPE,
            scope=scope,
        )
        # As `session_id_of` spells it, for a third of the cost.
        if (
            record[_ID].hex() != session_id.replace("-", "")
            or session_id[_HYPHENS] != "----"
            or len(session_id) != _SESSION_ID_LEN
        ):
            raise ProblemError("malformed_request")
        gateway.pacing.check_record_of(session_id, gateway.manager.client_of)
        in_flight = gateway.in_flight
        in_flight.enter()
        try:
            return await exchange(gateway, record)
        except AuthenticationError:
            # It may be the first record of a session that waits for it in another worker.
            answer = await gateway.siblings.hand_over(RECORD, record[_ID], record)
            if answer is None:
                raise
            if answer.status >= 400:
                gateway.pacing.failed(scope)
            return answer
        finally:
            in_flight.leave()

    def _refused(self, error: Exception, scope: Scope) -> Answer | None:
        # What is behind fails for nobody's fault; who has gone asks no more.
        if not isinstance(error, ClientGoneError | BehindError):
            try:
                self._gateway.pacing.failed(scope)
            except ProblemError as limited:
                error = limited
        return answer_of(error, self._gateway, scope)


async def exchange(gateway: Gateway, record: bytes) -> bytes | None:
    """Return the sealed answer to a record; None if it closed the session."""
    session, plaintext = await gateway.manager.open(record, aad=REQUEST_AAD)
    if not plaintext and session.closed:
        return None
    peer = Peer(session.client_did, session.peer_key, session.session_id)
    gateway.pacing.record_of(peer.did)
    answer, is_http = await gateway.behind.answer(
        peer,
        plaintext,
        binary_http=record[_FLAGS_AT] & _BINARY_HTTP != 0,
    )
    aad = RESPONSE_AAD + record[:HEADER_LEN]
    return session.seal(answer, aad=aad, answers=record, binary_http=is_http)
