"""``/v1/health`` and ``/v1/ready``: alive, and fit to serve; in detail for operators."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sage_native import __version__
from sage_native.exceptions import SageError
from sage_native.gateway.answers import json_answer
from sage_native.gateway.request_nonces import MachineNonces

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call
    from sage_native.gateway.gateway import Gateway

__all__ = ["detail", "health", "ready"]

CHECK_S = 1.0
_under_way: WeakKeyDictionary[Gateway, asyncio.Task[dict[str, str]]] = WeakKeyDictionary()
"""However many ask, the store and what is behind are asked by one: nobody pays for a question."""


async def health(_call: Call) -> Answer:
    """Tell that the process lives, whatever the store does."""
    return json_answer({"status": "ok"})


async def ready(call: Call) -> Answer:
    """Tell whether new work should come here: not while draining or without store or upstream."""
    checks = await _checks(call.gateway)
    is_ready = all(state == "ok" for state in checks.values())
    if is_ready:
        return json_answer({"status": "ready", "checks": checks})
    answer = json_answer({"status": "not_ready", "checks": checks}, status=503)
    return answer._replace(headers=(*answer.headers, (b"retry-after", b"1")))


async def detail(call: Call) -> Answer:
    """Operator: tell what this process holds."""
    gateway = call.gateway
    now_ms = time.time_ns() // 1_000_000
    nonces = gateway.nonces
    return json_answer(
        {
            "version": __version__,
            "profile": gateway.settings.profile,
            "uptime_s": int(time.monotonic() - gateway.started_s),
            "checks": await _checks(gateway),
            "in_flight": gateway.in_flight.count,
            "sessions_served": len(gateway.manager),
            "replay_complete": nonces.is_complete(now_ms),
            "challenges_demanded": gateway.challenges.demands(now_ms),
            "replay": asdict(nonces.memory.statistics())
            if isinstance(nonces, MachineNonces)
            else None,
            "windows": asdict(gateway.windows.statistics()),
        }
    )


async def _checks(gateway: Gateway) -> dict[str, str]:
    checking = _under_way.get(gateway)
    if checking is None or checking.done():
        checking = asyncio.get_running_loop().create_task(_states(gateway))
        _under_way[gateway] = checking
    # Shielded: who is cancelled takes no answer away from the others.
    states = await asyncio.shield(checking)
    return {"accepting": "ok" if gateway.is_open else "draining", **states}


async def _states(gateway: Gateway) -> dict[str, str]:
    return {
        "store": await _state(gateway.storage.check()),
        "behind": await _state(gateway.behind.check()),
    }


async def _state(check: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await check
    except (SageError, TimeoutError):
        return "unavailable"
    return "ok"
