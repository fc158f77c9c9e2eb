"""What another worker hands over: an M3 or a first record, for a session that waits here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.answers import NO_CONTENT, record_answer
from sage_native.gateway.endpoint import answer_of
from sage_native.gateway.problems import problem
from sage_native.gateway.routes.records import exchange
from sage_native.gateway.siblings import CONFIRMATION
from sage_native.observability.middleware import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.gateway import Gateway

__all__ = ["taker"]

_SCOPE = {"method": "a message", ROUTE_KEY: "of another worker"}


def taker(gateway: Gateway) -> Callable[[bytes, bytes], Awaitable[Answer]]:
    """Return what answers such messages, as the endpoints would; it hands nothing on."""

    async def take(kind: bytes, message: bytes) -> Answer:
        try:
            with gateway.in_flight:
                if kind == CONFIRMATION:
                    await gateway.manager.confirm(message)
                    return NO_CONTENT
                record = await exchange(gateway, message)
                return NO_CONTENT if record is None else record_answer(record)
        except Exception as error:  # noqa: BLE001 - what it is decides what is said
            return answer_of(error, gateway, _SCOPE) or problem("internal_error")

    return take
