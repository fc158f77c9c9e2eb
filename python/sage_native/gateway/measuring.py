"""What metrics ask of a gateway: its sessions, its memory of nonces, its tables of keys.

A gateway in an application is asked when the process serves the application's metrics. Under
``sage-native serve`` another process does: see `metrics_app`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from sage_native.gateway.request_nonces import MachineNonces, StoredNonces
from sage_native.observability.metrics.running import running_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.gateway.hot_keys import HotKeys
    from sage_native.gateway.request_nonces import RequestNonces
    from sage_native.observability.metrics.tallies import Tallies
    from sage_native.storage.base import SessionStore

__all__ = ["StoreGauges", "measured"]

CACHED_S: Final = 5.0
"""How long an answer of a store is good for: counting rows is work."""


class StoreGauges:
    """How many sessions and request nonces there are, asked when metrics are scraped.

    What gives no answer is left out until it does.

    Args:
        sessions: The sessions; None where a store is no other process's.
        nonces: Where request nonces are admitted.
    """

    def __init__(self, sessions: SessionStore | None, nonces: RequestNonces) -> None:
        self._sessions = sessions
        self._nonces = nonces
        self._asked_s = -CACHED_S

    async def __call__(self, tallies: Tallies) -> None:
        """Ask, unless it was asked a moment ago."""
        now_s = time.monotonic()
        if now_s - self._asked_s < CACHED_S:
            return
        active = tallies["sage_sessions_active"].tally()
        nonces = tallies["sage_replay_nonces"].tally()
        # Before the store, which may give no answer: this one always does.
        self._ask_memory(tallies)
        if self._sessions is not None:
            active.set(None)
            active.set(await self._sessions.count())
        if isinstance(self._nonces, StoredNonces):
            nonces.set(None)
            nonces.set(await self._nonces.store.count())
        self._asked_s = now_s

    def _ask_memory(self, tallies: Tallies) -> None:
        is_complete = self._nonces.is_complete(time.time_ns() // 1_000_000)
        tallies["sage_replay_memory_complete"].tally().set(int(is_complete))
        if isinstance(self._nonces, MachineNonces):
            held = self._nonces.memory.statistics()
            tallies["sage_replay_nonces"].tally().set(held.live)
            tallies["sage_replay_capacity"].tally().set(held.capacity)


@contextlib.contextmanager
def measured(hot_keys: HotKeys, gauges: StoreGauges) -> Iterator[None]:
    """Have the metrics of this process ask an open gateway, if there are any."""
    metrics = running_metrics()
    if metrics is None:
        yield
        return
    from sage_native.observability.metrics.sources import KeyCaches  # noqa: PLC0415 - as needed

    with contextlib.ExitStack() as stack:
        stack.callback(metrics.watch(KeyCaches(lambda: [hot_keys.statistics()])))
        stack.callback(metrics.ask_at_scrape(gauges))
        yield
