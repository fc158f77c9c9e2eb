"""``/v1/handshake``: M1 to M2, and M3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import AuthenticationError
from sage_native.gateway.answers import JSON_TYPE, NO_CONTENT, json_answer
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.limits import ClientGoneError
from sage_native.gateway.siblings import CONFIRMATION
from sage_native.observability.tracing import handshake
from sage_native.protocol import decode_json, encode_json
from sage_native.sessions.outcomes import outcome_of

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call
    from sage_native.protocol import Request

__all__ = ["complete", "initiate"]


async def initiate(call: Call) -> Answer:
    """Answer an M1, cheapest checks first.

    Source: docs/protocol.md, "Order of work on M1".
    """
    if not events.is_heard():
        return await _initiate(call)
    asked = _Asked()
    try:
        return await _initiate(call, asked)
    except Exception as error:
        asked.tell_of(error)
        raise


async def _initiate(call: Call, asked: _Asked | None = None) -> Answer:
    gateway = call.gateway
    gateway.pacing.handshake(call.scope)
    text = await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
    now_ms = time.time_ns() // 1_000_000
    request = gateway.identities.read(
        decode_json("initiate", text),
        require_challenge=gateway.challenges.demands(now_ms),
        now_ms=now_ms,
    )
    if asked is not None:
        asked.request = request
    with handshake(request.client_did, request.server_did):
        keys = await gateway.admission.keys_of(request.client_did)
        request.authenticate(keys)
        # Once the client is known, and charged once its nonce is new: by its name alone, or with an
        # M1 that they have seen, strangers would spend what is the client's.
        gateway.pacing.check_handshake_of(request.client_did)
        await gateway.nonces.admit(request, now_ms)
        gateway.pacing.handshake_of(request.client_did)
        gateway.admission.hot_keys.proved(keys, request.client_key)
        message, session = gateway.manager.accept(
            request, arrived_s=None if asked is None else asked.arrived_s
        )
    gateway.siblings.mark(bytes.fromhex(session.session_id.replace("-", "")))
    return json_answer(encode_json("accept", message))


class _Asked:
    """A handshake that was asked for, for those who listen."""

    __slots__ = ("arrived_s", "request")

    def __init__(self) -> None:
        self.arrived_s = time.perf_counter()
        self.request: Request | None = None

    def tell_of(self, error: Exception) -> None:
        """Tell that it ended with M1; how one ends that was answered, the manager tells."""
        status, code = outcome_of(error)
        if code == "challenge_required":  # it goes on
            return
        client_did = server_did = None
        if self.request is not None:
            client_did, server_did = self.request.client_did, self.request.server_did
        if isinstance(error, ClientGoneError):
            events.handshake_finished("abandoned", client_did=client_did, server_did=server_did)
        else:
            events.handshake_finished(
                status, code=code, client_did=client_did, server_did=server_did
            )


async def complete(call: Call) -> Answer:
    """Take an M3; the session is stored before this is answered.

    One that waits in another worker is handed over to him.
    """
    message = decode_json("confirm", await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN))
    with handshake() as span:
        try:
            session = await call.gateway.manager.confirm(message)
        except AuthenticationError:
            answer = await call.gateway.siblings.hand_over(CONFIRMATION, message[:16], message)
            if answer is None:
                raise
            return answer
        span.between(session.client_did, session.server_did)
    return NO_CONTENT
