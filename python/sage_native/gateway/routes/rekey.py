"""``/v1/sessions/{session_id}/rekey``: R1 to R2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.answers import JSON_TYPE, json_answer
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.problems import ProblemError
from sage_native.protocol import decode_json, encode_json
from sage_native.sessions.naming import session_id_of

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["rekey"]


async def rekey(call: Call) -> Answer:
    """Decide an R1 in the store, and answer it."""
    request = decode_json("rekey_request", await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN))
    if session_id_of(request) != call.parameter("session_id"):
        raise ProblemError("malformed_request")
    return json_answer(encode_json("rekey_reply", await call.gateway.manager.rekey(request)))
