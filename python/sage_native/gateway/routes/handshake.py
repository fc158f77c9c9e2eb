"""``/v1/handshake``: M1 to M2, and M3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError
from sage_native.gateway.answers import JSON_TYPE, NO_CONTENT, json_answer
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.siblings import CONFIRMATION
from sage_native.protocol import decode_json, encode_json

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["complete", "initiate"]


async def initiate(call: Call) -> Answer:
    """Answer an M1, cheapest checks first.

    Source: docs/protocol.md, "Order of work on M1".
    """
    gateway = call.gateway
    gateway.pacing.handshake(call.scope)
    text = await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
    now_ms = time.time_ns() // 1_000_000
    request = gateway.identities.read(
        decode_json("initiate", text),
        require_challenge=gateway.challenges.demands(now_ms),
        now_ms=now_ms,
    )
    keys = await gateway.admission.keys_of(request.client_did)
    request.authenticate(keys)
    # Once the client is known, and charged once its nonce is new: by its name alone, or with an M1
    # that they have seen, strangers would spend what is the client's.
    gateway.pacing.check_handshake_of(request.client_did)
    await gateway.nonces.admit(request, now_ms)
    gateway.pacing.handshake_of(request.client_did)
    gateway.admission.hot_keys.proved(keys, request.client_key)
    message, session = gateway.manager.accept(request)
    gateway.siblings.mark(bytes.fromhex(session.session_id.replace("-", "")))
    return json_answer(encode_json("accept", message))


async def complete(call: Call) -> Answer:
    """Take an M3; the session is stored before this is answered.

    One that waits in another worker is handed over to him.
    """
    message = decode_json("confirm", await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN))
    try:
        await call.gateway.manager.confirm(message)
    except AuthenticationError:
        answer = await call.gateway.siblings.hand_over(CONFIRMATION, message[:16], message)
        if answer is None:
            raise
        return answer
    return NO_CONTENT
