"""The DID registry: which keys a DID lists, and whether it is revoked.

Records come from a DID store and are remembered for a bounded time, in bounded memory; a DID that
is not there is remembered too, for a shorter time and in memory of its own, so that a flood of
made-up names drives no real one out. However many ask for a DID at once, the store is asked once.

A revocation is seen at once by the registry that revokes, and by others when what they remember is
over: ``life_s`` at the latest.

Nothing takes a registration back but its revocation, and its keys stay as they are. So keys that
are remembered were checked and are those of today, unless the DID is revoked; who can tell that it
is not needs no look-up.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from sage_native.exceptions import ConflictError, OverloadedError, StorageError, UsageError
from sage_native.keys import VerifyingKey, check_did, resolve_did_key
from sage_native.storage.base import now_or_clock
from sage_native.storage.rows import DidRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sage_native.storage.base import DidStore

__all__ = ["DidRegistry"]

Keys = tuple[VerifyingKey, ...]

MAX_KEYS = 16


class DidRegistry:
    """Finds and registers the keys of DIDs.

    Args:
        store: Where records are kept; None if only ``did:key`` is to be known.
        any_did_key: Resolve every ``did:key`` from itself, registered or not, unless the store has
            it revoked. That admits everybody.
        life_s: How long a record is remembered, in seconds.
        negative_life_s: How long it is remembered that a DID is not there.
        capacity: The most records remembered, and the most names of DIDs that are not there.
        max_lookups: The most DIDs that the store is asked for at a time.
        clock: Seconds that never go back.
    """

    def __init__(  # noqa: PLR0913 - one setting each
        self,
        store: DidStore | None,
        *,
        any_did_key: bool = False,
        life_s: float = 60.0,
        negative_life_s: float = 5.0,
        capacity: int = 100_000,
        max_lookups: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._any_did_key = any_did_key
        self._known = _Remembered(capacity, life_s, clock)
        self._unknown = _Remembered(capacity, negative_life_s, clock)
        self._max_lookups = max_lookups
        # Those whose answer is to be remembered, those that have not asked the store yet, and all.
        self._lookups: dict[str, asyncio.Task[Keys]] = {}
        self._unbegun: dict[str, asyncio.Task[Keys]] = {}
        self._under_way: set[asyncio.Task[Keys]] = set()

    @property
    def store(self) -> DidStore | None:
        """Where records are kept."""
        return self._store

    async def resolve(self, did: str, *, fresh: bool = False) -> Keys:
        """Return the keys that a DID lists.

        Args:
            did: The name.
            fresh: Ask the store, whatever is remembered.

        Returns:
            Its keys; nothing for a DID that is unknown or revoked.

        Raises:
            UsageError: Not a DID.
            OverloadedError: Too many look-ups are under way.
            StorageError: The store did not answer: refuse.

        Cost: about 1 µs for a DID that is remembered.
        """
        if not fresh:
            keys = self.remembered(did)
            if keys is not None:
                return keys
        check_did(did)
        lookup = (self._unbegun if fresh else self._lookups).get(did)
        if lookup is None:
            if len(self._under_way) >= self._max_lookups:
                raise OverloadedError(f"{self._max_lookups} DIDs are being looked up")
            lookup = asyncio.get_running_loop().create_task(self._look_up(did))
            self._lookups[did] = self._unbegun[did] = lookup
            self._under_way.add(lookup)
            lookup.add_done_callback(lambda done: self._looked_up(did, done))
        # Shielded: who is cancelled takes no answer away from the others.
        return await asyncio.shield(lookup)

    def remembered(self, did: str) -> Keys | None:
        """Return what ``resolve`` would return without asking the store; None if it would ask.

        Cost: about 0.5 µs.
        """
        keys = self._known.find(did)
        return self._unknown.find(did) if keys is None else keys

    def remembers(self, did: str, key: bytes) -> bool:
        """Tell whether a DID is remembered to list a key, without asking the store.

        It did then. It does now unless it was revoked meanwhile, which is for the caller to rule
        out: by ``SessionStore.create`` with ``unless_revoked``, where ``store`` is its ``dids``.

        Cost: about 0.5 µs.
        """
        for one in self._known.find(did) or ():  # noqa: SIM110 - a generator costs four times that
            if key == one.to_bytes():
                return True
        return False

    async def register(
        self, did: str, keys: Sequence[bytes], *, owner: str = "", now_ms: int | None = None
    ) -> DidRecord:
        """Register a DID with its keys.

        Args:
            did: The name. A ``did:key`` lists exactly the key that it spells.
            keys: 1 to 16 Ed25519 verifying keys, 32 bytes each.
            owner: Who registers it, in the registry's own terms.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            The record that was stored.

        Raises:
            UsageError: Not a DID; or a key of the wrong length, not canonical, no point of the
                curve, or not of the prime-order subgroup. The text says which.
            ConflictError: The DID is registered or revoked already.
            StorageError: Outcome unknown.
        """
        store = self._writable()
        checked = _checked_keys(did, keys)
        listed = tuple(key.to_bytes() for key in checked)
        record = DidRecord(did, listed, owner, now_or_clock(now_ms))
        try:
            await store.put(record)
        finally:
            self.forget(did)
        return record

    async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
        """Revoke a DID for ever.

        Its open sessions are ended by ``SessionManager.end_of_did``.

        Returns:
            False if it is not registered. A ``did:key`` that is not registered is put into the
            store as revoked, so that it does not resolve from itself any more.

        Raises:
            UsageError: Not a DID.
            StorageError: Outcome unknown: revoke again.
        """
        store = self._writable()
        check_did(did)
        try:
            if await store.revoke(did, now_ms=now_ms):
                return True
            keys = resolve_did_key(did)
            if keys:
                await self._put_revoked(store, did, keys, now_or_clock(now_ms))
            return bool(keys)
        finally:
            self.forget(did)

    def forget(self, did: str) -> None:
        """Ask the store again at the next ``resolve`` of this DID."""
        self._known.drop(did)
        self._unknown.drop(did)
        # An answer that is under way may be older than what just happened.
        self._lookups.pop(did, None)

    async def _put_revoked(self, store: DidStore, did: str, keys: Keys, now_ms: int) -> None:
        # Revoked from the beginning: in no instant does it list a key.
        listed = tuple(key.to_bytes() for key in keys)
        try:
            await store.put(DidRecord(did, listed, "", now_ms, revoked_ms=now_ms))
        except ConflictError:  # somebody has registered it just now
            await store.revoke(did, now_ms=now_ms)

    async def _look_up(self, did: str) -> Keys:
        self._unbegun.pop(did, None)
        record = None if self._store is None else await self._store.get(did)
        if record is None:
            return resolve_did_key(did) if self._any_did_key else ()
        if record.revoked_ms is not None:
            return ()
        remembered = self._known.find(did)
        if remembered and record.keys == tuple(key.to_bytes() for key in remembered):
            return remembered  # checked when they were found first: it is most of what this costs
        try:
            return _checked_keys(did, record.keys)
        except UsageError as error:
            raise StorageError(f"the store lists what must not be listed: {error}") from error

    def _looked_up(self, did: str, lookup: asyncio.Task[Keys]) -> None:
        self._under_way.discard(lookup)
        if self._lookups.get(did) is not lookup:
            if not lookup.cancelled():
                lookup.exception()
            return  # overtaken: its answer is for those who wait, and is not remembered
        del self._lookups[did]
        if lookup.cancelled() or lookup.exception() is not None:
            return
        keys = lookup.result()
        (self._known if keys else self._unknown).keep(did, keys)
        (self._unknown if keys else self._known).drop(did)

    def _writable(self) -> DidStore:
        if self._store is None:
            raise UsageError("this registry has no store: it only knows did:key")
        return self._store


class _Remembered:
    """The latest answers, each for a while."""

    def __init__(self, capacity: int, life_s: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._life_s = life_s
        self._clock = clock
        self._answers: OrderedDict[str, tuple[float, Keys]] = OrderedDict()

    def find(self, did: str) -> Keys | None:
        answer = self._answers.get(did)
        if answer is None:
            return None
        until_s, keys = answer
        if self._clock() >= until_s:
            del self._answers[did]
            return None
        self._answers.move_to_end(did)
        return keys

    def keep(self, did: str, keys: Keys) -> None:
        self._answers[did] = (self._clock() + self._life_s, keys)
        self._answers.move_to_end(did)
        if len(self._answers) > self._capacity:
            self._answers.popitem(last=False)

    def drop(self, did: str) -> None:
        self._answers.pop(did, None)


def _checked_keys(did: str, keys: Sequence[bytes]) -> Keys:
    check_did(did)
    if not 1 <= len(keys) <= MAX_KEYS:
        raise UsageError(f"a DID lists 1 to {MAX_KEYS} keys, not {len(keys)}")
    checked = tuple(VerifyingKey(key) for key in keys)
    if len(set(checked)) != len(checked):
        raise UsageError(f"{did} lists one key twice")
    for key in checked:
        key.check()
    if did.startswith("did:key:") and checked != resolve_did_key(did):
        raise UsageError(f"{did} lists the one Ed25519 key that it spells, and no other")
    return checked
