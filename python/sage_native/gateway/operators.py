"""Operators show a token; nothing else makes one."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.gateway.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call
    from sage_native.gateway.gateway import Gateway

__all__ = ["OperatorOnly"]

_SCHEME = b"bearer "


class OperatorOnly:
    """Lets calls through that carry the operator token in force.

    Args:
        gateway: Knows the token; a rotation changes it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __call__(
        self, work: Callable[[Call], Awaitable[Answer]]
    ) -> Callable[[Call], Awaitable[Answer]]:
        """Guard an endpoint's work."""

        async def guarded(call: Call) -> Answer:
            if not self._is_operator(call):
                events.operator_acted("token_refused", None, "refused")
                raise ProblemError("unauthorized")
            return await work(call)

        return guarded

    def _is_operator(self, call: Call) -> bool:
        token = self._gateway.rotation.operator_token
        shown = [value for name, value in call.scope["headers"] if name == b"authorization"]
        if token is None or len(shown) != 1 or shown[0][: len(_SCHEME)].lower() != _SCHEME:
            return False
        # In constant time for tokens of one length, whatever they have in common.
        return hmac.compare_digest(shown[0][len(_SCHEME) :].strip(), token)
