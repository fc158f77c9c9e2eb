"""How often addresses and DIDs may ask, as the settings say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sage_native.gateway.limits import ClientAddresses, TokenBuckets
from sage_native.gateway.problems import ProblemError

if TYPE_CHECKING:
    from starlette.types import Scope

    from sage_native.config import Settings
    from sage_native.config.settings import RateSettings

__all__ = ["Pacing"]

MAX_AWAY_COUNT = 4096
"""How many addresses are remembered that failed too often; beyond that all are let in again."""


class Pacing:
    """The token buckets of one worker; several workers each allow the full rate.

    Args:
        settings: Their rates; without the feature ``rate_limiting`` nothing is refused.
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._is_on = settings.features.rate_limiting
        self._addresses = ClientAddresses(settings.server.trusted_proxies)
        slots = limits.buckets
        self._requests = _buckets(limits.requests_per_address, slots)
        self._handshakes = _buckets(limits.handshakes_per_address, slots)
        self._handshakes_of_did = _buckets(limits.handshakes_per_did, slots)
        self._records_of_did = _buckets(limits.records_per_did, slots)
        # Until when addresses and sessions are turned away; empty as long as nobody asks too often.
        self._away_until_s: dict[str, float] = {}

    def request(self, scope: Scope, cost: float = 1) -> None:
        """Count a request of an address, before anything of it is read.

        Raises:
            ProblemError: ``rate_limited``, with the time to wait.
        """
        if self._is_on:
            _take(self._requests, self._addresses.of(scope), cost)

    def failed(self, scope: Scope) -> None:
        """Count what is paid for only because it failed; raises as ``request``."""
        if not self._is_on:
            return
        address, now_s = self._addresses.of(scope), time.monotonic()
        wait_s = self._requests.take(address, now_s)
        if wait_s:
            self._turn_away(address, now_s + wait_s)
            raise ProblemError("rate_limited", retry_after_s=wait_s)

    def check(self, scope: Scope) -> None:
        """Turn an address away that has failed too often, before any work; raises as ``request``.

        Cost: nothing as long as nobody has.
        """
        if self._away_until_s:
            self._check_away(self._addresses.of(scope))

    def check_session(self, session_id: str) -> None:
        """Turn a record away before it is opened, if its client has sent too many.

        Raises:
            ProblemError: ``rate_limited``. The same bytes may be sent again.

        Cost: nothing as long as nobody has.
        """
        if self._away_until_s:
            self._check_away(session_id)

    def handshake(self, scope: Scope) -> None:
        """Count a handshake of an address; raises as ``request``."""
        if self._is_on:
            _take(self._handshakes, self._addresses.of(scope), 1)

    def handshake_of(self, did: str) -> None:
        """Count a handshake of a client that was authenticated; raises as ``request``."""
        if self._is_on:
            _take(self._handshakes_of_did, did, 1)

    def record_of(self, did: str, session_id: str) -> None:
        """Count a record of a client, once it was opened.

        It is delivered in any case: it cannot be opened a second time. If it was one too many, the
        next ones of its session are turned away, unopened, until there is room again.
        """
        if self._is_on:
            now_s = time.monotonic()
            wait_s = self._records_of_did.take(did, now_s)
            if wait_s:
                self._turn_away(session_id, now_s + wait_s)

    def _turn_away(self, whom: str, until_s: float) -> None:
        if len(self._away_until_s) >= MAX_AWAY_COUNT:
            self._away_until_s.clear()
        self._away_until_s[whom] = until_s

    def _check_away(self, whom: str) -> None:
        until_s = self._away_until_s.get(whom)
        if until_s is None:
            return
        wait_s = until_s - time.monotonic()
        if wait_s > 0:
            raise ProblemError("rate_limited", retry_after_s=wait_s)
        del self._away_until_s[whom]


def _buckets(rate: RateSettings, slots: int) -> TokenBuckets:
    return TokenBuckets(rate.rate, rate.burst, slots)


def _take(buckets: TokenBuckets, key: str, cost: float) -> None:
    wait_s = buckets.take(key, time.monotonic(), cost)
    if wait_s:
        raise ProblemError("rate_limited", retry_after_s=wait_s)
