"""``/v1/handshake``: M1 to M2, and M3."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.gateway.answers import JSON_TYPE
from sage_native.gateway.endpoint import MAX_HANDSHAKE_LEN
from sage_native.gateway.limits import ClientGoneError
from sage_native.gateway.limits.bodies import WHOLE_KEY, whole_body
from sage_native.gateway.taskless import placed
from sage_native.observability.tracing import handshake
from sage_native.sessions.outcomes import outcome_of

if TYPE_CHECKING:
    from starlette.types import Scope

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call
    from sage_native.gateway.gateway import Gateway
    from sage_native.gateway.taskless import Done
    from sage_native.protocol import Request

__all__ = ["begin_complete", "begin_initiate", "complete", "initiate"]


async def initiate(call: Call) -> Answer:
    """Answer an M1, cheapest checks first.

    Source: docs/protocol.md, "Order of work on M1".
    """
    answer = _Answer()
    arrived = _Arrived(answer.done)
    try:
        call.gateway.pacing.handshake(call.scope)
        text = await call.unplaced_body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
        request = arrived.begin(call.gateway, text)
        with handshake(request.client_did, request.server_did):
            return await answer.future
    except Exception as error:
        arrived.tell_of(error)
        raise
    finally:
        del answer, arrived  # what was raised holds this frame


def begin_initiate(gateway: Gateway, scope: Scope, done: Done) -> None:
    """Do what ``initiate`` does, for a `TasklessEndpoint`."""
    arrived = _Arrived(done)
    try:
        gateway.pacing.handshake(scope)
        arrived.begin(gateway, _text_of(scope))
    except Exception as error:  # noqa: BLE001 - what it is decides what is said
        arrived.done(None, error)


async def complete(call: Call) -> Answer:
    """Take an M3; the session is stored before this is answered."""
    text = await call.body(JSON_TYPE, limit=MAX_HANDSHAKE_LEN)
    answer = _Answer()
    try:
        with handshake() as span:
            asked = call.gateway.confirmations.begin(text, answer.done)
            given = await answer.future
            if asked.session is not None and span.is_recording:
                span.between(asked.session.client_did, asked.session.server_did)
        return given
    finally:
        del answer  # what was raised holds this frame


def begin_complete(gateway: Gateway, scope: Scope, done: Done) -> None:
    """Do what ``complete`` does, for a `TasklessEndpoint`."""
    try:
        text = _text_of(scope)
        done = placed(gateway.in_flight, done)
    except Exception as error:  # noqa: BLE001 - what it is decides what is said
        done(None, error)
    else:
        gateway.confirmations.begin(text, done)


def _text_of(scope: Scope) -> bytes:
    return whole_body(*scope[WHOLE_KEY], limit=MAX_HANDSHAKE_LEN, content_type=JSON_TYPE)


class _Answer:
    """An answer for a task that waits for it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def done(self, answer: Answer | None, error: BaseException | None) -> None:
        if self.future.done():  # the task was cancelled
            return
        if answer is not None:
            self.future.set_result(answer)
        else:
            self.future.set_exception(error or RuntimeError("there is no answer"))


class _Arrived:
    """An M1 that has arrived, for those who listen to how handshakes end."""

    __slots__ = ("_at_s", "_done", "_request")

    def __init__(self, done: Done) -> None:
        is_heard = events.is_heard(events.HandshakeFinished)
        self._at_s = time.perf_counter() if is_heard else None
        self._request: Request | None = None
        self._done = done

    def begin(self, gateway: Gateway, text: bytes) -> Request:
        """Have it answered; raises as ``Initiations.begin``."""
        self._request = request = gateway.initiations.begin(text, self._at_s, self.done)
        return request

    def done(self, answer: Answer | None, error: BaseException | None) -> None:
        """Hand on what became of it."""
        if error is not None:
            self.tell_of(error)
        self._done(answer, error)

    def tell_of(self, error: BaseException) -> None:
        """Tell once that it ended with M1; of one that was answered, the manager tells."""
        if self._at_s is None:
            return
        self._at_s = None
        status, code = outcome_of(error)
        if code == "challenge_required":  # it goes on
            return
        client_did = server_did = None
        if self._request is not None:
            client_did, server_did = self._request.client_did, self._request.server_did
        if isinstance(error, ClientGoneError):
            events.handshake_finished("abandoned", client_did=client_did, server_did=server_did)
        else:
            events.handshake_finished(
                status, code=code, client_did=client_did, server_did=server_did
            )
