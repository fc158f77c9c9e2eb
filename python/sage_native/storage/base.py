"""The ports: what the rest of the package asks of a store.

A store holds no key, only wrapped ones, and decides nothing about cryptography. What it must get
right are three races, each decided by the backend in one atomic step: a nonce is admitted once, a
session is created once, an epoch is advanced once. Whoever writes an adapter subclasses these three
and runs the suite in `sage_native.storage.contract`.

Every call ends within the adapter's ``timeout_s`` and raises StorageError with the backend's own
error as ``__cause__`` when it did not get an answer: the outcome is unknown then, and unknown means
refused. Cancelling a call gives up the answer, not the deed.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import re
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import (
    CapacityError,
    ReplayDetectedError,
    StorageError,
    UsageError,
)
from sage_native.storage.rows import RequestNonce
from sage_native.storage.sweeping import Sweeper
from sage_native.storage.timing import tell_times, tell_times_of_many

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Context
    from typing import Self, TypeAlias

    from sage_native.protocol import WrappedSession
    from sage_native.storage.guarantee import ReplayGuarantee
    from sage_native.storage.rows import Activity, DidRecord, Page, SessionRow, SessionStatus

    Told: TypeAlias = Callable[[int, BaseException | None], object]

__all__ = ["DidStore", "NonceStore", "Outcome", "SessionStore", "Storage", "nonce_key"]

DEFAULT_HORIZON_MS = 180_000
"""What handshakes need: skew on both sides of the clock, and a margin."""
MAX_DIVERGENCE_MS = 120_000
"""Twice the skew: two signed times that are acceptable at one moment differ by no more."""
MAX_PAGE_LEN = 1000
MAX_NONCE_LEN = 256
MAX_STORE_NAME_LEN = 255
_SESSION_OPERATIONS = (
    *("get", "status_many", "advance", "touch_many", "describe", "delete", "delete_of_did"),
    *("delete_expired", "page", "count"),
)
_SESSION_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Outcome(enum.Enum):
    """The verdict on a request nonce. Only FRESH is accepted."""

    FRESH = "fresh"
    """Not seen before, and remembered from now on."""
    REPLAY = "replay"
    """Admitted before, or of a time that is over or was given up."""
    FULL = "full"
    """No room: nothing was evicted and nothing was admitted."""
    UNKNOWN = "unknown"
    """The store did not answer. Refused, whether or not it was remembered."""


class SessionStore(ABC):
    """Sessions by their id.

    Attributes:
        name: What every row is bound to: wrap and unwrap with ``store=name``. Rows of other names
            in the same backend are never seen.
        kind: What sort of store it is, for events: ``sqlite`` and the like.
        dids: The DID store whose revocations `create` sees: that very object, which keeps its
            records beside the sessions. None where there is none.
    """

    name: str
    kind: str = "other"
    dids: DidStore | None = None

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        # Who has a way of his own to begin creating has one way: creating waits for that.
        create = "begin_create" if "begin_create" in vars(cls) else "create"
        tell_times(cls, (create, *_SESSION_OPERATIONS))
        tell_times_of_many(cls, "begin_create_many")

    @abstractmethod
    async def create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> None:
        """Store a new session.

        A revocation and a creation that meet leave no session. Who revokes a DID waits for
        ``dids.revoke``, and then asks for ``delete_of_did``. So a row is stored either before that
        deletion looks, which finds it, or the revocation stood before the row did, and then
        ``unless_revoked`` sees it. An adapter must leave no third case: a creation that looked
        before the revocation, and whose row comes to light after the deletion has looked. Either
        one transaction at a time writes, or the row comes first and the look at the DID after it.

        Args:
            row: Of an id that is not stored.
            client_limit: The most sessions of one client DID; decided with the insertion.
            unless_revoked: Store nothing if the client's DID is revoked in ``dids``. One that is
                not registered is not revoked.

        Raises:
            AuthenticationError: The client's DID is revoked. Nothing is stored.
            ConflictError: A session of this id is stored. It is untouched.
            CapacityError: The client has that many sessions, or the store is full.
            UsageError: ``unless_revoked``, and there are no ``dids``.
            StorageError: Outcome unknown.
        """

    def begin_create(
        self, row: SessionRow, *, client_limit: int | None = None, unless_revoked: bool = False
    ) -> asyncio.Future[None]:
        """Begin to `create`, for callers who may be cancelled while the answer must not be lost.

        Returns:
            The outcome to come, whatever it is: nothing is raised here. An adapter that has a
            future anyway returns it, and saves a task.
        """
        return asyncio.ensure_future(
            self.create(row, client_limit=client_limit, unless_revoked=unless_revoked)
        )

    def begin_create_many(
        self,
        rows: Sequence[SessionRow],
        told: Told,
        *,
        client_limit: int | None = None,
        unless_revoked: bool = False,
        contexts: Sequence[Context] | None = None,
    ) -> None:
        """Begin to `create` sessions that are asked for at once, each by itself.

        An adapter that stores them together anyway saves a future for each.

        Args:
            rows: One for each session.
            told: Called once for each in the running loop, later: with its place in ``rows``, and
                None or what `create` would have raised. It must not raise.
            client_limit: As of `create`.
            unless_revoked: As of `create`.
            contexts: One for each, none of them entered, to which what is done and told of it alone
                belongs; ``told`` itself is not called in it. This one is, if they are left out.
        """
        begin = partial(self.begin_create, client_limit=client_limit, unless_revoked=unless_revoked)
        for at, row in enumerate(rows):
            creating = begin(row) if contexts is None else contexts[at].run(begin, row)
            creating.add_done_callback(partial(_tell, told, at))

    @abstractmethod
    async def get(self, session_id: str) -> SessionRow | None:
        """Return the row, or None. Rows that are over are returned until they are deleted."""

    @abstractmethod
    async def status_many(self, session_ids: Sequence[str]) -> Mapping[str, SessionStatus]:
        """Return what changed behind a worker's back, without secrets; missing ids are gone."""

    @abstractmethod
    async def advance(
        self, session: WrappedSession, *, from_epoch: int, from_kek_id: str | None = None
    ) -> None:
        """Replace the wrapped secret, epoch and KEK id, if the stored ones are the expected.

        A rekey goes from one epoch to the next, and ends ``restored``; a re-wrap stays in its epoch
        and goes from one KEK to another.

        Args:
            session: The new state.
            from_epoch: The epoch that must be stored.
            from_kek_id: The KEK id that must be stored, if it matters.

        Raises:
            ConflictError: Another epoch or KEK id is stored, or the session is gone.
            StorageError: Outcome unknown: read the row to learn it.
        """

    @abstractmethod
    async def touch_many(self, activities: Sequence[Activity]) -> None:
        """Note use of sessions: times never go back, counts add up, who is gone is ignored."""

    @abstractmethod
    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the metadata of a session; False if it is gone."""

    @abstractmethod
    async def delete(self, session_id: str) -> bool:
        """Delete a session; False if it was gone."""

    @abstractmethod
    async def delete_of_did(self, did: str) -> Sequence[str]:
        """Delete every session in which this DID is client or server; return their ids."""

    @abstractmethod
    async def delete_expired(self, *, grace_ms: int = 0, now_ms: int | None = None) -> int:
        """Delete the sessions that are over by age, or silent for longer than they may.

        Args:
            grace_ms: How much longer silence may last, since it is written behind.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            How many.
        """

    @abstractmethod
    async def page(
        self,
        *,
        client_did: str | None = None,
        kek_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page:
        """List sessions in the order of their ids.

        Args:
            client_did: Only of this client.
            kek_id: Only those wrapped under this KEK.
            after: The cursor of the page before.
            limit: 1 to 1,000 rows.

        Raises:
            UsageError: ``limit`` is out of its range, or ``after`` is no cursor.
        """

    @abstractmethod
    async def count(self, *, client_did: str | None = None) -> int:
        """Count the rows, of one client or of all."""

    def _check_dids(self, *, wanted: bool) -> None:
        if wanted and self.dids is None:
            raise UsageError(
                f"the session store {self.name!r} has no DIDs beside it: ask a registry after "
                "create, not create with unless_revoked"
            )


class NonceStore(ABC):
    """Request nonces, each admitted once.

    Uniqueness is of scope, purpose and nonce, whatever ``remember_until_ms`` is: ends of one nonce
    that are acceptable at one moment differ by at most 120,000 ms. What is deleted is given up
    first: a floor that only grows refuses every end at or before it, whatever a clock does later.

    Attributes:
        guarantee: What is survived, as the backend is configured.
        horizon_ms: How far ahead of the clock ``remember_until_ms`` may lie.
        label: What the store is called in errors and events.
        kind: What sort of store it is, for events: ``sqlite`` and the like.
    """

    kind: str = "other"
    guarantee: ReplayGuarantee
    horizon_ms: int
    label: str

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        tell_times(cls, ("delete_expired", "count"))

    async def admit(
        self,
        scope: str,
        nonce: bytes,
        remember_until_ms: int,
        *,
        purpose: str = "",
        now_ms: int | None = None,
    ) -> None:
        """Admit a nonce the first time, and refuse it ever after.

        Args:
            scope: Whose nonce it is: the client's DID.
            nonce: The random value, 1 to 256 bytes.
            remember_until_ms: Signed time + skew + margin, in ms since the epoch.
            purpose: What it is for.
            now_ms: The time; the clock is asked if it is left out.

        Raises:
            ReplayDetectedError: Admitted before, or of a time that is over or was given up.
            CapacityError: Full. Nothing was evicted and the nonce was not admitted.
            UsageError: The end lies further ahead than ``horizon_ms``.
            StorageError: Outcome unknown, so it is refused; the backend's error is its cause.
        """
        request = RequestNonce(scope, nonce, remember_until_ms, purpose)
        now_ms = self._checked([request], now_ms)
        started_s = time.perf_counter() if events.is_heard(events.StoreAnswered) else None
        try:
            outcome = await self._decide(request, now_ms)
        except StorageError as error:
            events.store_failed(self.label, "admit", error)
            raise
        if started_s is not None and outcome is not Outcome.UNKNOWN:
            events.store_answered(self.kind, "admit", time.perf_counter() - started_s)
        match outcome:
            case Outcome.FRESH:
                return
            case Outcome.REPLAY:
                events.replay_refused("replayed", 1)
                raise ReplayDetectedError("this request nonce was admitted before, or is too old")
            case Outcome.FULL:
                events.replay_refused("full", 1)
                raise CapacityError(f"{self.label} has no room for another nonce")
            case Outcome.UNKNOWN:
                raise StorageError(f"{self.label} gave no answer on a nonce: it is refused")

    async def admit_many(
        self, requests: Sequence[RequestNonce], *, now_ms: int | None = None
    ) -> list[Outcome]:
        """Admit each nonce of a batch by itself; of equal ones the first.

        Returns:
            One outcome for each, in order. UNKNOWN stands where no answer came.

        Raises:
            UsageError: An end lies further ahead than ``horizon_ms``. Nothing was admitted.
        """
        now_ms = self._checked(requests, now_ms)
        if not requests:
            return []
        started_s = time.perf_counter() if events.is_heard(events.StoreAnswered) else None
        try:
            outcomes = await self._decide_many(requests, now_ms)
        except StorageError as error:
            events.store_failed(self.label, "admit_many", error)
            return [Outcome.UNKNOWN] * len(requests)
        if started_s is not None:
            events.store_answered(self.kind, "admit_many", time.perf_counter() - started_s)
        return outcomes

    @abstractmethod
    async def _decide_many(self, requests: Sequence[RequestNonce], now_ms: int) -> list[Outcome]:
        """Decide on a batch, or raise StorageError for all of it."""

    async def _decide(self, request: RequestNonce, now_ms: int) -> Outcome:
        """Decide on one; adapters join concurrent calls here."""
        return (await self._decide_many([request], now_ms))[0]

    @abstractmethod
    async def delete_expired(self, *, now_ms: int | None = None) -> int:
        """Give up, and then delete, what need not be remembered any more.

        The floor follows the clock only as far as the latest end that was admitted, so a clock that
        runs ahead gives up no more than ``horizon_ms``.

        Returns:
            How many nonces were deleted, as far as the backend tells.
        """

    @abstractmethod
    async def count(self) -> int:
        """Count the nonces remembered."""

    @property
    @abstractmethod
    def remembers_since_ms(self) -> int:
        """Since when nothing is missing, in ms since the epoch."""

    @abstractmethod
    async def mark_incomplete(self, *, now_ms: int | None = None) -> None:
        """Note, lastingly, that something from before now may be missing, as after a restore."""

    def is_complete(self, *, now_ms: int | None = None) -> bool:
        """Return False while something from before ``remembers_since_ms`` may still be replayed.

        Demand challenges as long as it is False. A loss may be noticed by any call: ask right
        before ``admit``, with no ``await`` in between, or again after it.
        """
        return now_or_clock(now_ms) >= self.remembers_since_ms + self.horizon_ms

    def _checked(self, requests: Sequence[RequestNonce], now_ms: int | None) -> int:
        now_ms = now_or_clock(now_ms)
        for request in requests:
            if not 1 <= len(request.nonce) <= MAX_NONCE_LEN:
                raise UsageError(
                    f"a nonce has 1 to {MAX_NONCE_LEN} bytes, this one {len(request.nonce)}"
                )
            if request.remember_until_ms > now_ms + self.horizon_ms:
                raise UsageError(
                    f"remember_until_ms {request.remember_until_ms} lies "
                    f"{request.remember_until_ms - now_ms} ms ahead of the clock; "
                    f"{self.label} takes {self.horizon_ms} ms at the most"
                )
        return now_ms


class DidStore(ABC):
    """Registered DIDs.

    Attributes:
        kind: What sort of store it is, for events: ``sqlite`` and the like.
    """

    kind: str = "other"

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        tell_times(cls, ("put", "get", "revoke", "page"))

    @abstractmethod
    async def put(self, record: DidRecord) -> None:
        """Register a DID.

        Raises:
            ConflictError: It is registered or revoked already.
            StorageError: Outcome unknown.
        """

    @abstractmethod
    async def get(self, did: str) -> DidRecord | None:
        """Return the record, revoked or not, or None."""

    @abstractmethod
    async def revoke(self, did: str, *, now_ms: int | None = None) -> bool:
        """Revoke a DID for ever; False if it is unknown. The first revocation stays."""

    @abstractmethod
    async def page(
        self, *, owner: str | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[tuple[DidRecord, ...], str | None]:
        """List DIDs in their order; return records and the next ``after``, None at the end."""


class Storage(ABC):
    """One backend, and the stores in it.

    Use it as an asynchronous context manager: entering begins to give up nonces whose time is over,
    every minute, and leaving closes it. Who does not enter it calls ``nonces.delete_expired``.

    Attributes:
        nonces: The nonce store.
        dids: The DID store, or None where the backend keeps none.
        label: What the backend is called in errors and events, without its password.
    """

    nonces: NonceStore
    dids: DidStore | None
    label: str

    @abstractmethod
    def sessions(self, name: str) -> SessionStore:
        """Return the session store of a name, 1 to 255 bytes; sessions of others are never seen."""

    @abstractmethod
    async def session_store_names(self) -> Sequence[str]:
        """Return the names under which sessions are stored, in order."""

    @abstractmethod
    async def check(self) -> None:
        """Ask the backend for a sign of life.

        Raises:
            StorageError: It gave none in time.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Finish what is under way and let the backend go. Calls after it raise StorageError."""

    async def __aenter__(self) -> Self:
        self._sweeper = Sweeper(self.nonces)
        self._sweeper.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sweeper.stop()
        await self.aclose()


def nonce_key(request: RequestNonce) -> bytes:
    """Return what stores keep of a nonce: 16 bytes that name scope, purpose and value.

    A truncated SHA-256 over the lengths and the parts. No name of a client is stored with a nonce.
    """
    scope, purpose = request.scope.encode(), request.purpose.encode()
    digest = hashlib.sha256(
        b"%d %d %d:%b%b%b"
        % (len(scope), len(purpose), len(request.nonce), scope, purpose, request.nonce)
    )
    return digest.digest()[:16]


def _tell(told: Told, at: int, creating: asyncio.Future[None]) -> None:
    told(at, asyncio.CancelledError() if creating.cancelled() else creating.exception())


def now_or_clock(now_ms: int | None) -> int:
    """Return the time that was handed in, or the clock's, in ms since the epoch."""
    return time.time_ns() // 1_000_000 if now_ms is None else now_ms


def check_page(limit: int, after: str | None = None) -> None:
    """Check the length of a page of sessions, and the cursor that it goes on from.

    Raises:
        UsageError: The length is out of its range, or the cursor is none of ours.
    """
    if not 1 <= limit <= MAX_PAGE_LEN:
        raise UsageError(f"limit must be 1 to {MAX_PAGE_LEN} rows, not {limit}")
    if after is not None and not _SESSION_ID.fullmatch(after):
        raise UsageError("after must be the next_cursor of a page")


def check_store_name(name: str) -> None:
    """Check the name of a session store.

    Raises:
        UsageError: It has no byte, or more than 255.
    """
    if not 1 <= len(name.encode()) <= MAX_STORE_NAME_LEN:
        raise UsageError(
            f"a store's name has 1 to {MAX_STORE_NAME_LEN} bytes, this one {len(name.encode())}"
        )
