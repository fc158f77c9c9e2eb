"""Deadlines of connections on servers that are no workers of the gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sage_native.gateway.connections import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["sweep_for_ever"]


async def sweep_for_ever(connections: Iterable[Any], *, every_s: float) -> None:
    """Look at all connections from time to time, as they come and go."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        sweep(connections, loop.time())
