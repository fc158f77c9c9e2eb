"""An application with metrics on two workers of granian: ``python -m … PORT``.

It answers ``/pid`` with the process that answers, and ``/metrics`` with the numbers of both.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sage_native import AeadKey
from sage_native.observability.metrics import MetricsMiddleware, start_metrics

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["SEALED_COUNT"]

SEALED_COUNT = 10
"""How many messages each answer of ``/pid`` seals, for the native counters."""

_KEY = AeadKey.generate()
_NONCES = [number.to_bytes(12, "big") for number in range(SEALED_COUNT)]


async def pid(_request: Request) -> PlainTextResponse:
    _KEY.seal_many(_NONCES, [b"message"] * SEALED_COUNT)
    return PlainTextResponse(str(os.getpid()))


def loaded(*_: object) -> MetricsMiddleware:
    """Make the application, in the worker."""
    metrics = start_metrics()
    routes = [Route("/pid", pid), Route("/metrics", metrics.app)]
    return MetricsMiddleware(Starlette(routes=routes), metrics=metrics)


if __name__ == "__main__":
    Granian(
        "metrics",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        workers=2,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
    ).serve(target_loader=loaded, wrap_loader=False)
