"""M1s, those of one turn of the event loop together.

What costs most of an M1, verifying, agreeing and signing, costs less if it is done side by side::

    read ─▶ gathered ─▶ keys ─▶ authenticated ─▶ nonce admitted ─▶ accepted
                          │                          │
                          └─ if the registry must look, or the store must admit it: later, alone

Each is answered or refused by itself, whatever becomes of the others, and the order of work on each
is that of docs/protocol.md, "Order of work on M1".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native.exceptions import AuthenticationError, OverloadedError
from sage_native.gateway.answers import json_answer
from sage_native.gateway.taskless import placed
from sage_native.gateway.together import Asked, Together
from sage_native.observability.context import context_here
from sage_native.protocol import authenticate_many, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from sage_native.gateway.gateway import Gateway
    from sage_native.gateway.taskless import Done
    from sage_native.keys import VerifyingKey
    from sage_native.protocol import Request

__all__ = ["Initiation", "Initiations"]


class Initiation(Asked):
    """An M1 that is worked on.

    Attributes:
        request: What was read of it.
        client_did: Who claims to call.
        arrived_s: When it came, on the clock of ``time.perf_counter``; None if nobody listens.
        keys: Those of the client; None while they are not known.
        has_place: Whether it has a place of its own among the requests at work.
    """

    __slots__ = ("arrived_s", "client_did", "has_place", "keys", "request")

    def __init__(
        self,
        request: Request,
        client_did: str,
        keys: Sequence[VerifyingKey] | None,
        arrived_s: float | None,
        done: Done,
    ) -> None:
        super().__init__(done, context_here())
        self.request = request
        self.client_did = client_did
        self.keys = keys
        self.arrived_s = arrived_s
        self.has_place = False


class Initiations:
    """Answers M1s.

    An M1 that has to wait has a place among the requests at work, from the time that it was read;
    all others of a turn have one together, since nothing else is worked on until they are done.

    Args:
        gateway: What it works with.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._together: Together[Initiation] = Together(self._work)

    def begin(self, text: bytes, arrived_s: float | None, done: Done) -> Request:
        """Read an M1, and have it answered.

        Args:
            text: Its JSON carrier.
            arrived_s: As of ``SessionManager.accept``.
            done: Called once with the answer, or with what ``Request.authenticate``,
                ``RequestNonces.admit``, ``SessionManager.accept`` or the pacing of clients raises.

        Returns:
            What was read.

        Raises:
            HandshakeError: As ``Identities.read``; ``done`` is not called.
            OverloadedError: It would have to wait, and there is no place.
        """
        gateway = self._gateway
        now_ms = time.time_ns() // 1_000_000
        request = gateway.identities.read(
            decode_json("initiate", text),
            require_challenge=gateway.challenges.demands(now_ms),
            now_ms=now_ms,
        )
        client_did = request.client_did
        keys = gateway.admission.remembered_keys_of(client_did)
        waits = keys is None or gateway.nonces.waits
        if waits:
            done = placed(gateway.in_flight, done)
        asked = Initiation(request, client_did, keys, arrived_s, done)
        asked.has_place = waits
        self._together.add(asked)
        return request

    def _work(self, gathered: list[Initiation]) -> None:
        in_flight = self._gateway.in_flight
        try:
            in_flight.enter()
        except OverloadedError as error:
            for asked in gathered:
                if not asked.has_place:
                    asked.refuse(error)
            self._answer([asked for asked in gathered if asked.has_place])
            return
        try:
            self._answer(gathered)
        finally:
            in_flight.leave()

    def _answer(self, gathered: list[Initiation]) -> None:
        known = []
        for asked in gathered:
            if asked.keys is None:
                self._together.do_later(asked, self._look_up(asked))
            else:
                known.append(asked)
        self._go_on(known)

    async def _look_up(self, asked: Initiation) -> None:
        asked.keys = await self._gateway.admission.keys_of(asked.client_did)
        self._go_on([asked])

    def _go_on(self, known: list[Initiation]) -> None:
        """Go on with those whose clients' keys are known."""
        if not known:
            return
        now_ms = time.time_ns() // 1_000_000
        verdicts = authenticate_many(
            [asked.request for asked in known], [asked.keys or () for asked in known]
        )
        admitted = []
        for asked, is_authentic in zip(known, verdicts, strict=True):
            try:
                if not is_authentic:
                    raise AuthenticationError("authentication failed")  # noqa: TRY301
                waits = asked.context.run(self._admit, asked, now_ms)
            except Exception as error:  # noqa: BLE001 - it is this one's own
                asked.refuse(error)
            else:
                if waits is None:
                    admitted.append(asked)
                else:
                    self._together.do_later(asked, self._wait_and_accept(asked, waits))
        self._accept(admitted)

    def _admit(self, asked: Initiation, now_ms: int) -> Awaitable[None] | None:
        # Once the client is known, and charged once its nonce is new: by its name alone, or with an
        # M1 that they have seen, strangers would spend what is the client's.
        self._gateway.pacing.check_handshake_of(asked.client_did)
        waits = self._gateway.nonces.admit(asked.request, now_ms)
        if waits is None:
            self._admitted(asked)
        return waits

    async def _wait_and_accept(self, asked: Initiation, admission: Awaitable[None]) -> None:
        await admission
        self._admitted(asked)
        self._accept([asked])

    def _admitted(self, asked: Initiation) -> None:
        gateway = self._gateway
        gateway.pacing.handshake_of(asked.client_did)
        gateway.admission.hot_keys.proved(asked.keys or (), asked.request.client_key)

    def _accept(self, admitted: list[Initiation]) -> None:
        """Answer those whose nonces were admitted."""
        if not admitted:
            return
        gateway = self._gateway
        outcomes = gateway.manager.accept_many([(one.request, one.arrived_s) for one in admitted])
        for asked, outcome in zip(admitted, outcomes, strict=True):
            if isinstance(outcome, Exception):
                asked.refuse(outcome)
                continue
            message, session = outcome
            try:
                gateway.siblings.mark(bytes.fromhex(session.session_id.replace("-", "")))
                answer = json_answer(encode_json("accept", message))
            except Exception as error:  # noqa: BLE001 - it is this one's own
                asked.refuse(error)
            else:
                asked.answer(answer)
