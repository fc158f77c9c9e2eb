"""How often addresses and DIDs may ask, as the settings say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sage_native.gateway.limits import ClientAddresses, TokenBuckets
from sage_native.gateway.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        # Until when addresses and DIDs are turned away; empty as long as nobody asks too often.
        self._away_until_s: dict[str, float] = {}

    def address_of(self, scope: Mapping[str, Any]) -> str:
        """Name the client of a scope: its address, or the /64 of it."""
        return self._addresses.of(scope)

    def request(self, scope: Scope, cost: float = 1) -> None:
        """Count a request of an address, before anything of it is read.

        Raises:
            ProblemError: ``rate_limited``, with the time to wait.
        """
        if self._is_on:
            wait_s = self._requests.take(self._addresses.of(scope), time.monotonic(), cost)
            if wait_s:
                raise ProblemError("rate_limited", retry_after_s=wait_s)

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

    def check_record_of(self, session_id: str, client_of: Callable[[str], str | None]) -> None:
        """Turn a record away before it is opened, if its client has sent too many.

        Args:
            session_id: What its header says.
            client_of: Returns the client of a session that is served here.

        Raises:
            ProblemError: ``rate_limited``. The same bytes may be sent again.

        Cost: nothing as long as nobody has.
        """
        if self._away_until_s:
            did = client_of(session_id)
            if did is not None:
                self._check_away(did)

    def handshake(self, scope: Scope) -> None:
        """Count a handshake of an address; raises as ``request``."""
        if self._is_on:
            wait_s = self._handshakes.take(self._addresses.of(scope), time.monotonic())
            if wait_s:
                raise ProblemError("rate_limited", retry_after_s=wait_s)

    def check_handshake_of(self, did: str) -> None:
        """Refuse a handshake of a client that has begun too many; raises as ``request``.

        It takes nothing: an M1 that was answered before must not cost its client a second time.
        """
        if self._is_on:
            wait_s = self._handshakes_of_did.wait(did, time.monotonic())
            if wait_s:
                raise ProblemError("rate_limited", retry_after_s=wait_s)

    def handshake_of(self, did: str) -> None:
        """Count a handshake of a client, once its nonce was new."""
        if self._is_on:
            self._handshakes_of_did.charge(did, time.monotonic())

    def record_of(self, did: str) -> None:
        """Count a record of a client, once it was opened.

        It is delivered in any case: it cannot be opened a second time. If it was one too many, it
        is owed for, and the next ones of its client are turned away, unopened, until that is paid.
        """
        if self._is_on:
            now_s = time.monotonic()
            wait_s = self._records_of_did.charge(did, now_s)
            if wait_s:
                self._turn_away(did, now_s + wait_s)

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
