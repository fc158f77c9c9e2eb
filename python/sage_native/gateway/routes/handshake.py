"""``/v1/handshake``: M1 to M2, and M3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.gateway.answers import JSON_TYPE, NO_CONTENT
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.limits import ClientGoneError
from sage_native.observability.tracing import handshake
from sage_native.protocol import decode_json
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
    if not events.is_heard(events.HandshakeFinished):
        return await _initiate(call, None)
    arrived = _Arrived()
    try:
        return await _initiate(call, arrived)
    except Exception as error:
        arrived.tell_of(error)
        raise


async def _initiate(call: Call, arrived: _Arrived | None) -> Answer:
    gateway = call.gateway
    gateway.pacing.handshake(call.scope)
    text = await call.unplaced_body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
    now_ms = time.time_ns() // 1_000_000
    request = gateway.identities.read(
        decode_json("initiate", text),
        require_challenge=gateway.challenges.demands(now_ms),
        now_ms=now_ms,
    )
    client_did = request.client_did
    if arrived is None:
        asked = gateway.initiations.ask(request, client_did)
    else:
        arrived.request = request
        asked = gateway.initiations.ask(request, client_did, arrived.at_s)
    with handshake(client_did, request.server_did):
        return await asked


class _Arrived:
    """An M1 that has arrived, for those who listen."""

    __slots__ = ("at_s", "request")

    def __init__(self) -> None:
        self.at_s = time.perf_counter()
        self.request: Request | None = None

    def tell_of(self, error: Exception) -> None:
        """Tell that a handshake ended with M1; of one that was answered, the manager tells."""
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
    text = await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
    asked = call.gateway.confirmations.ask(text)
    with handshake() as span:
        answer = await asked.stored
        if asked.session is not None and span.is_recording:
            span.between(asked.session.client_did, asked.session.server_did)
    return answer or NO_CONTENT
