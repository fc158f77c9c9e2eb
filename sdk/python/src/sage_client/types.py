"""What callers hand in and get back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_native.keys import VerifyingKey

__all__ = ["ClientSettings", "HttpAnswer", "ServerIdentity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How patient the client is.

    Attributes:
        timeout_s: For one exchange, from its first byte to its last.
        connect_timeout_s: For one connection, TLS included.
        attempts: How often one thing is tried, the first time included.
        total_s: No further try begins later than this after the first.
        backoff_s: The first wait between tries; it doubles, and a random part is left out.
        max_wait_s: The longest wait between tries. A server that asks for more is not asked again.
        max_lifetime_s: The longest session life that this client accepts from a server.
        max_connections: How many connections are open at once.
    """

    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    attempts: int = 4
    total_s: float = 60.0
    backoff_s: float = 0.1
    max_wait_s: float = 10.0
    max_lifetime_s: int = 86_400
    max_connections: int = 100

    def __post_init__(self) -> None:
        for name in ("timeout_s", "connect_timeout_s", "attempts", "max_connections"):
            self._check(name, positive=True)
        for name in ("total_s", "backoff_s", "max_wait_s"):
            self._check(name, positive=False)

    def _check(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise UsageError(
                f"{name} is {value}; it must be {'above 0' if positive else '0 or more'}"
            )


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server says of itself, unauthenticated: to compare with what was pinned.

    Attributes:
        keys: The keys it answers with and the DID of each, the announced one first.
        dids: The DIDs it answers to.
        suites: The suites it supports.
        confirmation: Whether an M3 must be signed. This client signs in any case.
        challenges: When it asks for challenges.
        limits: Its limits by name; lengths in bytes, times with their unit in the name.
    """

    keys: tuple[tuple[str, VerifyingKey], ...]
    dids: tuple[str, ...]
    suites: tuple[int, ...]
    confirmation: Literal["mac", "signature"]
    challenges: Literal["always", "when_needed"]
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The application's answer to an HTTP request that travelled inside a record.

    Attributes:
        status: Its status, 200 to 599.
        headers: Names in lower case and values, in the order of the application.
        content: Its body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None if it is not there. Case does not matter."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key == wanted), None)
