"""Secrets kept for a while, asked for once, and outliving a back end that is down.

Each name is in one of these states. *Fresh*: read less than ``cache_s`` ago, answered from memory.
*Due*: older, so that the next `get` reads again. *Stale*: due, and the last attempt failed because
the back end is in trouble; the last known value is served until ``stale_s`` after it was last read,
and after that nothing is: closed. While stale, or while a first read failed, the back end is asked
again at most every ``retry_s``, so that nobody can make a back end that is down worse.

Only trouble is outlived. A secret that is not there any more, or may not be read any more, is a
decision, and is forgotten at once.

Whoever asks for a name that is being read waits for that read (single flight). A read that began
before a `set` of its name is not kept. All on one event loop.

Trouble that somebody was spared of is told to whoever listens to `events`, as ``StoreFailed``.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.config.secrets.base import SecretProvider, checked_name
from sage_native.config.secrets.errors import SecretUnavailableError
from sage_native.exceptions import SageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DEFAULT_STALE_S", "CachedProvider", "Refreshed"]

DEFAULT_STALE_S = 600.0
"""How long after its last read a secret is served while the back end is down, in seconds."""
RETRY_S = 1.0
"""How often a back end in trouble is asked again, in seconds."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a `CachedProvider.refresh` found.

    Attributes:
        changed: Names whose value is another than at the last `refresh`, or than at the first
            `get`: read them again.
        stale: Names whose last known value is still served, since the back end is in trouble.
        lost: Names that were got once and have no value now, with the reason.
    """

    changed: frozenset[str]
    stale: frozenset[str]
    lost: Mapping[str, SageError]


@dataclass(slots=True)
class _Entry:
    """What is known of one name. ``told`` is a digest of the value that others go by."""

    value: bytes | None = field(default=None, repr=False)
    told: bytes | None = field(default=None, repr=False)
    is_due: bool = False
    read_s: float = 0.0
    failed_s: float = 0.0
    trouble: SecretUnavailableError | None = None


class CachedProvider(SecretProvider):
    """Any provider, with a memory.

    Args:
        inner: Who is asked; closed with this one.
        cache_s: How long a value is fresh. 0 asks for each `get`.
        stale_s: How long after its last read a value is served while ``inner`` is in trouble; no
            less than ``cache_s``, so that 0 serves nothing stale.
        retry_s: How often ``inner`` is asked while it is in trouble.
        clock: Seconds that never run backwards.

    Attributes:
        inner: As given.
    """

    def __init__(
        self,
        inner: SecretProvider,
        *,
        cache_s: float = 60.0,
        stale_s: float = DEFAULT_STALE_S,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min(cache_s, stale_s, retry_s) < 0:
            raise UsageError(
                f"times are not negative: cache_s {cache_s}, stale_s {stale_s}, retry_s {retry_s}"
            )
        self.inner = inner
        self.name = inner.name
        self._cache_s = cache_s
        self._stale_s = max(stale_s, cache_s)
        self._retry_s = retry_s
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._flights: dict[str, asyncio.Task[bytes | SageError]] = {}
        self._running: set[asyncio.Task[bytes | SageError]] = set()

    def place(self, name: str) -> str:
        """Return how errors call the place of a secret."""
        return self.inner.place(name)

    async def refresh(self) -> Refreshed:
        """Ask again for every secret that was ever got: keys rotate without a restart.

        Never raises for a back end's trouble; what is lost stays lost until it is there again.

        Cost: one read of the back end for each name, all at once.
        """
        names = list(self._entries)
        outcomes = await asyncio.gather(*map(self._outcome, names))
        changed, stale, lost = set(), set(), dict[str, SageError]()
        for name, outcome in zip(names, outcomes, strict=True):
            entry = self._entries.setdefault(name, _Entry())
            if isinstance(outcome, bytes):
                digest = _digest(outcome)
                if digest != entry.told:
                    changed.add(name)
                if entry.trouble is not None:
                    stale.add(name)
                entry.told = digest
            else:
                lost[name] = outcome
                entry.told = None
        return Refreshed(frozenset(changed), frozenset(stale), lost)

    async def aclose(self) -> None:
        """Forget all secrets, end reads that are under way, and close the provider inside."""
        flights = list(self._running)
        self._flights.clear()
        self._entries.clear()
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self.inner.aclose()

    async def _read(self, name: str) -> bytes:
        entry = self._entries.get(name)
        if entry is not None:
            now_s = self._clock()
            is_fresh = not entry.is_due and now_s - entry.read_s < self._cache_s
            if entry.value is not None and is_fresh:
                return entry.value
            if entry.trouble is not None and now_s - entry.failed_s < self._retry_s:
                return _value_or_raise(self._spared(entry, now_s))
        return _value_or_raise(await self._outcome(name))

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:
        self._flights.pop(name, None)
        try:
            await self.inner.set(name, value, only_new=only_new)
        finally:
            # Whatever came of it: what was known before, or was read meanwhile, may be old.
            self._flights.pop(name, None)
            if name in self._entries:
                self._entries[name].is_due = True
                self._entries[name].trouble = None

    async def _outcome(self, name: str) -> bytes | SageError:
        """Read a name, or wait for who reads it already. Cancelling gives up the answer only."""
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.create_task(self._fly(name), name=f"secret {checked_name(name)}")
            self._flights[name] = flight
            self._running.add(flight)
            flight.add_done_callback(self._running.discard)
        return await asyncio.shield(flight)

    async def _fly(self, name: str) -> bytes | SageError:
        flight = asyncio.current_task()
        outcome: bytes | SageError
        is_kept = False
        try:
            outcome = await self.inner.get(name)
        except SageError as error:
            outcome = error
        finally:
            # If not, a secret was set, or all was closed meanwhile.
            if self._flights.get(name) is flight:
                del self._flights[name]
                is_kept = True
        return self._kept(name, outcome) if is_kept else outcome

    def _kept(self, name: str, outcome: bytes | SageError) -> bytes | SageError:
        now_s = self._clock()
        entry = self._entries.get(name)
        if isinstance(outcome, bytes):
            told = _digest(outcome) if entry is None else entry.told
            self._entries[name] = _Entry(outcome, told=told, read_s=now_s)
            return outcome
        if not isinstance(outcome, SecretUnavailableError):
            # Known by its name alone, so that `refresh` sees it come back.
            if entry is not None:
                self._entries[name] = _Entry(told=entry.told)
            return outcome
        if entry is None:
            entry = self._entries[name] = _Entry()
        entry.trouble, entry.failed_s = outcome, now_s
        events.store_failed(f"secrets {self.name}", f"get {name}", outcome)
        return self._spared(entry, now_s)

    def _spared(self, entry: _Entry, now_s: float) -> bytes | SageError:
        assert entry.trouble is not None  # noqa: S101 - callers saw it
        if entry.value is not None and now_s - entry.read_s < self._stale_s:
            return entry.value
        entry.value = None
        return entry.trouble


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _value_or_raise(outcome: bytes | SageError) -> bytes:
    if isinstance(outcome, bytes):
        return outcome
    # Several may raise one outcome: each its own, or tracebacks grow on each other.
    cause = outcome.__cause__
    if isinstance(outcome, SecretUnavailableError):
        raise SecretUnavailableError(str(outcome), reason=outcome.reason) from cause
    raise type(outcome)(*outcome.args) from cause
