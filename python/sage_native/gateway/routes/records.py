"""``/v1/sessions/{session_id}/messages``: sealed records, and the sealed answers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.answers import NO_CONTENT, RECORD_TYPE, record_answer
from sage_native.gateway.peers import Peer
from sage_native.gateway.problems import ProblemError
from sage_native.protocol import MAX_PLAINTEXT_LEN, RECORD_OVERHEAD
from sage_native.sessions.naming import session_id_of

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["exchange"]

MAX_RECORD_LEN = MAX_PLAINTEXT_LEN + RECORD_OVERHEAD
HEADER_LEN = 48
REQUEST_AAD = b"SAGE-HTTP/1 request"
RESPONSE_AAD = b"SAGE-HTTP/1 response"

_FLAGS_AT = 3
_BINARY_HTTP = 4
_ID = slice(4, 20)


async def exchange(call: Call) -> Answer:
    """Open a record, hand it on, and seal the answer to it.

    A close record ends the session and is answered with 204: there is no key to seal with any more.

    Source: docs/protocol.md, "HTTP carrier of records".
    """
    gateway = call.gateway
    record = await call.body(RECORD_TYPE, limit=MAX_RECORD_LEN)
    if session_id_of(record[_ID]) != call.parameter("session_id"):
        raise ProblemError("malformed_request")
    session, plaintext = await gateway.manager.open(record, aad=REQUEST_AAD)
    if not plaintext and session.closed:
        return NO_CONTENT
    gateway.pacing.record_of(session.client_did)
    peer = Peer(session.client_did, session.peer_key, session.session_id)
    answer, is_http = await gateway.behind.answer(
        peer, plaintext, binary_http=bool(record[_FLAGS_AT] & _BINARY_HTTP)
    )
    return record_answer(
        session.seal(
            answer,
            aad=RESPONSE_AAD + record[:HEADER_LEN],
            answers=record,
            binary_http=is_http,
        )
    )
