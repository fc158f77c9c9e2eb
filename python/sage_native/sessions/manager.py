"""The home of sessions: memory for those in use, a store for all of them.

::

    accept(M1)                 half-open, in memory only
        │ confirm(M3), or the first record
        ▼
    stored and served ◀──────── loaded when a record or an R1 names it: after a restart, in another
        │                       worker, or one epoch ahead of what this process serves
        │ rekey: compare-and-set in the store first, then here
        ▼
    ended: close, close record, age, silence, message budget, revocation, deletion by another worker

A session in use is opened without the store. So this process may be behind what others have done,
and finds out in three ways: a record or R1 of a later epoch makes it look into the store; a
compare-and-set that loses makes it look again; and it asks for the state of what was used every
``refresh_interval_s``, and of the rest once in ``cleanup_interval_s``. A session stays served while
no news come for ``max_stale_s``, and is refused after that.

With a `ReplayWindowTable` that all workers of a machine share, they serve one session together and
a record is delivered by one of them. Without it, or on another machine, a session that is loaded
demands a rekey before anything else.

The manager belongs to one event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import (
    AuthenticationError,
    ConflictError,
    ExpiredError,
    HandshakeError,
    RekeyRequiredError,
    SageError,
    SessionStateError,
)
from sage_native.protocol import accept_many
from sage_native.sessions.admission import Admission
from sage_native.sessions.loading import Loader
from sage_native.sessions.making import Maker
from sage_native.sessions.naming import session_id_of
from sage_native.sessions.pace import Pace
from sage_native.sessions.policy import SessionPolicy
from sage_native.sessions.rekeying import Rekeyer
from sage_native.sessions.served import Served
from sage_native.sessions.upkeep import Upkeep
from sage_native.sessions.waiters import waiting
from sage_native.storage.rows import check_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Context
    from typing import Self

    from sage_native.dids import DidRegistry
    from sage_native.protocol import Request, Session
    from sage_native.replay import ReplayWindowTable
    from sage_native.sessions.key_ring import KeyRing
    from sage_native.sessions.making import Making
    from sage_native.storage.base import SessionStore
    from sage_native.storage.rows import Page

__all__ = ["SessionManager"]

M3_LENS = (48, 112)
_SECOND_LOOK = (AuthenticationError, ExpiredError, RekeyRequiredError, SessionStateError)
"""What a record may be refused with that another object of its session would open."""


class SessionManager:
    """Creates, finds, keeps and ends the sessions of one role.

    Use it as an asynchronous context manager: entering starts its upkeep, leaving drains it.
    Without upkeep it serves for ``max_stale_s``, and as long again after each ``touch``.

    Args:
        store: Where sessions live. Its name binds every row: use another for each role, and for
            each group of peers whose session ids may meet.
        keys: Wrap and unwrap what is stored.
        policy: The limits.
        windows: The replay windows that all workers of this machine share.
        registry: Asked whether a client is still listed: past what it remembers when its session
            is made to last, else a revocation in that instant would be missed; and when its session
            comes out of the store, which may have lost a revocation's deletion in a crash. If its
            DIDs lie in the storage of ``store``, as ``storage.dids`` and ``storage.sessions(…)``
            do, the first question is part of storing the session, and costs nothing.

    Raises:
        ConfigurationError: The windows do not look an hour further ahead than sessions live.
    """

    def __init__(
        self,
        store: SessionStore,
        keys: KeyRing,
        *,
        policy: SessionPolicy | None = None,
        windows: ReplayWindowTable | None = None,
        registry: DidRegistry | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._policy = SessionPolicy() if policy is None else policy
        self._served = Served(self._policy)
        self._admission = Admission(self._served, self._policy, windows)
        self._table = self._served.table
        # Asked at every record, so without a call in between.
        self._unconfirmed = self._served.half_open.sessions
        self._loader = Loader(
            store, keys, self._served, policy=self._policy, windows=windows, registry=registry
        )
        self._upkeep = Upkeep(store, self._served, self._loader, self._policy)
        self._maker = Maker(
            store, keys, self._served, self._loader, policy=self._policy, registry=registry
        )
        epochs = self._policy.epochs_of_client(None if windows is None else windows.capacity)
        self._pace = Pace(epochs, self._policy.lifetime_s)
        self._rekeyer = Rekeyer(
            store,
            keys,
            self._served,
            self._loader,
            pace=self._pace,
            settled=self._maker.settled,
        )

    async def __aenter__(self) -> Self:
        await self._upkeep.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    def accept(
        self, request: Request, *, arrived_s: float | None = None, now_ms: int | None = None
    ) -> tuple[bytes, Session]:
        """Answer an M1 that was authenticated and whose nonce was admitted.

        Args:
            request: What ``Responder.read`` returned.
            arrived_s: When the M1 came, on the clock of ``time.perf_counter``, so that
                `sage_native.events.HandshakeFinished` tells how the handshake ended. Nothing is
                told if it is left out.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            M2 in its binary carrier, and the session, half-open and in no store.

        Raises:
            CapacityError: Too many sessions, of this client or in all, or the manager drains.
            RateLimitedError: The client begins too many epochs.
            HandshakeError, SessionStateError: As ``Request.accept``.

        Cost: as ``Request.accept``, 40 µs; no I/O.
        """
        (outcome,) = self.accept_many([(request, arrived_s)], now_ms=now_ms)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def accept_many(
        self, asked: Sequence[tuple[Request, float | None]], *, now_ms: int | None = None
    ) -> list[tuple[bytes, Session] | Exception]:
        """Answer M1s as ``accept`` does, each by itself, for a fraction of what that costs.

        Args:
            asked: The requests, and when each arrived.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            For each, in their order, what ``accept`` would have returned or raised.

        Raises:
            UsageError, SessionStateError: As ``accept``; then none was answered.

        Cost: 15 to 25 µs each, by processor; no I/O.
        """
        refused: list[SageError | None] = []
        of_client: dict[str, int] = {}
        ahead_count = 0
        for request, _ in asked:
            client_did = request.client_did
            try:
                self._admission.check_room(
                    client_did,
                    now_ms,
                    ahead_count=ahead_count,
                    ahead_of_client=of_client.get(client_did, 0),
                )
                self._pace.spend(client_did)
            except SageError as error:
                refused.append(error.with_traceback(None))  # it would hold this frame
            else:
                of_client[client_did] = of_client.get(client_did, 0) + 1
                ahead_count += 1
                refused.append(None)
        # By responder: there are two while an identity is being replaced.
        taken: dict[bytes, list[Request]] = {}
        for (request, _), refusal in zip(asked, refused, strict=True):
            if refusal is None:
                taken.setdefault(request.server_key, []).append(request)
        accepted = {
            server_key: iter(
                accept_many(
                    requests,
                    lifetime_s=self._policy.lifetime_s,
                    idle_timeout_s=self._policy.idle_timeout_s,
                    now_ms=now_ms,
                )
            )
            for server_key, requests in taken.items()
        }
        return [
            refusal or self._kept(next(accepted[request.server_key]), arrived_s, now_ms)
            for (request, arrived_s), refusal in zip(asked, refused, strict=True)
        ]

    def _kept(
        self,
        outcome: tuple[bytes, Session] | HandshakeError,
        arrived_s: float | None,
        now_ms: int | None,
    ) -> tuple[bytes, Session] | Exception:
        if isinstance(outcome, HandshakeError):
            return outcome
        session = outcome[1]
        try:
            self._keep(session, arrived_s, now_ms)
        except Exception as error:  # noqa: BLE001 - this one's own, whatever it is
            self._served.end(session.session_id)
            session.close()
            return error
        return outcome

    def _keep(self, session: Session, arrived_s: float | None, now_ms: int | None) -> None:
        self._admission.prepare(session, now_ms)
        self._table.add(session)
        self._served.half_open.add(session, arrived_s)

    async def confirm(self, message: bytes, *, now_ms: int | None = None) -> Session:
        """Take a client's M3, and make its session last.

        Args:
            message: M3 in its binary carrier, 48 or 112 bytes.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            The session, open and stored.

        Raises:
            HandshakeError: Another length.
            AuthenticationError: An unknown session, or a wrong confirmation.
            ExpiredError, SessionStateError: As ``Session.confirm``.
            CapacityError: The client has its most sessions. This one is ended.
            StorageError: It could not be stored, so it is ended. Or it was confirmed before, and
                its store has not answered for too long.
        """
        waiter, stored = waiting()
        session = self.begin_confirm(message, stored, now_ms=now_ms)
        await waiter
        return session

    def begin_confirm(
        self,
        message: bytes,
        stored: Callable[[BaseException | None], object],
        *,
        now_ms: int | None = None,
    ) -> Session:
        """Take a client's M3, as ``confirm`` does, and wait for nothing.

        Args:
            message: M3 in its binary carrier, 48 or 112 bytes.
            stored: Called once the session is stored, with None, or with what ``confirm`` would
                have raised then.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            The session.

        Raises:
            SageError: As ``confirm``, where no store need be asked; ``stored`` is not called.
        """
        gathered: list[Making] = []
        try:
            return self._begin_confirm(message, stored, now_ms, gathered)
        finally:
            self._maker.store(gathered)

    def begin_confirm_many(
        self,
        asked: Sequence[tuple[bytes, Callable[[BaseException | None], object], Context]],
        *,
        now_ms: int | None = None,
    ) -> list[Session | BaseException]:
        """Take M3s as ``begin_confirm`` does, each by itself, and have all stored at once.

        Args:
            asked: For each the message, what ``stored`` is, and the context in which all that is
                done that concerns it alone.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            For each, in their order, what ``begin_confirm`` would have returned or raised.
        """
        gathered: list[Making] = []
        try:
            return [
                self._begun(context, message, stored, now_ms, gathered)
                for message, stored, context in asked
            ]
        finally:
            self._maker.store(gathered)

    def _begun(
        self,
        context: Context,
        message: bytes,
        stored: Callable[[BaseException | None], object],
        now_ms: int | None,
        gathered: list[Making],
    ) -> Session | BaseException:
        try:
            return context.run(self._begin_confirm, message, stored, now_ms, gathered)
        except SageError as error:
            return error.with_traceback(None)  # it would hold this frame, and those that called it
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - this one's own, whatever it is
            return error

    def _begin_confirm(
        self,
        message: bytes,
        stored: Callable[[BaseException | None], object],
        now_ms: int | None,
        gathered: list[Making],
    ) -> Session:
        if len(message) not in M3_LENS:
            raise HandshakeError("confirmation must be 48 or 112 bytes long")
        session_id = session_id_of(message)
        session = self._table.get(session_id)
        if session is None:
            raise AuthenticationError("authentication failed")
        session.confirm(message, now_ms=now_ms)
        if session_id in self._unconfirmed:
            self._maker.begin_confirm(session, session_id, stored, now_ms, gathered)
        else:
            if self._upkeep.in_doubt:
                self._upkeep.check()
            stored(None)
        return session

    async def create(
        self,
        session: Session,
        *,
        metadata: Mapping[str, str] | None = None,
        now_ms: int | None = None,
    ) -> None:
        """Store and serve a session that is open: an initiator's, or a responder's from elsewhere.

        Args:
            session: Not used yet, if windows are shared.
            metadata: Notes to keep with it, in clear.
            now_ms: The time; the clock is asked if it is left out.

        Raises:
            UsageError: A session of this id is served.
            SessionStateError: Half-open or ended.
            AuthenticationError: The client is not listed any more, or the session was ended
                meanwhile. It is closed.
            CapacityError: There are too many.
            ConflictError: A session of this id is stored.
            StorageError: Outcome unknown; the session is not served, and not closed. Or it is
                closed, since the registry's store did not answer.
        """
        self._admission.check_room(session.client_did, now_ms)
        self._admission.prepare(session, now_ms)
        await self._maker.create(session, metadata, now_ms)

    async def open(
        self, record: bytes, *, aad: bytes | None = None, now_ms: int | None = None
    ) -> tuple[Session, bytes]:
        """Open a record in the session that its header names, exactly once.

        Args:
            record: ``header(48) || ciphertext || tag(16)``.
            aad: The associated data that it was sealed with.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            Session and plaintext. A close record gives ``b""``, and the session has ended. Seal the
            answer with ``answers=record``, and do not keep the session: after a rekey at another
            worker ``get`` returns another object.

        Raises:
            AuthenticationError: Unknown session, or a wrong tag; nothing tells which.
            HandshakeError, ReplayDetectedError, RekeyRequiredError, ExpiredError,
            SessionStateError: As ``Session.open``.
            KeyUnavailableError: The stored secret does not open.
            CapacityError: Too many look-ups are under way.
            StorageError: The store did not answer; this record was not delivered.

        Cost: as ``SessionTable.open`` and 0.3 µs for a session in use, without the store.
        """
        if self._upkeep.in_doubt:
            self._upkeep.check()
        try:
            session, plaintext = self._table.open(record, aad=aad, now_ms=now_ms)
        except _SECOND_LOOK as error:
            opened = self._served.open_past(record, aad=aad, now_ms=now_ms)
            if opened is None:
                if isinstance(error, RekeyRequiredError) or not await self._loader.has_newer(
                    record, now_ms
                ):
                    raise
                error.__traceback__ = None
                opened = self._table.open(record, aad=aad, now_ms=now_ms)
            session, plaintext = opened
        if not plaintext and session.closed:
            await self._loader.end(session.session_id, "closed by peer")
        elif self._unconfirmed and session.session_id in self._unconfirmed:
            await self._maker.confirm(session, now_ms)
        return session, plaintext

    async def get(self, session_id: str, *, now_ms: int | None = None) -> Session | None:
        """Return a session: as it is served, or out of the store.

        Returns:
            None if it is unknown or has ended.

        Raises:
            KeyUnavailableError, CapacityError, StorageError: As ``open``.

        Cost: 0.3 µs for a session in use, without the store.
        """
        if self._upkeep.in_doubt:
            self._upkeep.check()
        session = self._table.get(session_id)
        if session is not None and not session.closed:
            return session
        return await self._loader.load(session_id, now_ms)

    def client_of(self, session_id: str) -> str | None:
        """Return the client DID of a session that this process serves; None if it serves none.

        Cost: 0.3 µs.
        """
        session = self._table.get(session_id)
        return None if session is None else session.client_did

    async def rekey(self, request: bytes, *, now_ms: int | None = None) -> bytes:
        """Responder: decide an R1, in the store first, and answer it.

        Args:
            request: R1 in its binary carrier, 84 bytes.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            R2 in its binary carrier. Whoever asks for this epoch, at whichever worker, gets the R2
            that was committed.

        Raises:
            HandshakeError: Another length.
            AuthenticationError: Unknown session, another epoch, or a wrong MAC.
            ExpiredError, SessionStateError: As ``Session.prepare_rekey``.
            KeyUnavailableError, CapacityError: As ``open``.
            RateLimitedError: The client begins too many epochs.
            StorageError: The store did not answer. The client may ask again.

        Cost: a read or two and a write in the store.
        Source: docs/protocol.md, "Rekey and resume".
        """
        return await self._rekeyer.answer(
            request, lambda session_id: self.get(session_id, now_ms=now_ms), now_ms
        )

    async def save(self, session: Session, *, now_ms: int | None = None) -> None:
        """Initiator: store the epoch that ``Session.accept_rekey`` has led to.

        Call it before the first record of that epoch is sent: who loses it in a crash needs a new
        handshake.

        Raises:
            ConflictError: Another epoch than the one before is stored, or the session is gone.
            StorageError: Outcome unknown: save again.
        """
        row = session.wrap(self._keys.current, store=self._store.name, now_ms=now_ms)
        if row is None:
            return
        try:
            await self._store.advance(row, from_epoch=row.epoch - 1)
        except ConflictError:
            # One epoch has one secret: whoever was first, this call or another, stored ours.
            stored = await self._store.status_many([row.session_id])
            if row.session_id not in stored or stored[row.session_id].epoch != row.epoch:
                raise

    async def close(self, session_id: str) -> bool:
        """End a session here and in the store, without telling the peer.

        Another worker may serve it for ``refresh_interval_s`` more if it is in use there, and else
        for ``cleanup_interval_s``. To tell the peer, send what ``Session.seal_close`` returned, and
        then call this.

        Returns:
            False if it was unknown.

        Raises:
            StorageError: It is ended here, but perhaps not in the store. If it was served here, its
                row is deleted as soon as the store answers; otherwise close it again.
        """
        session = self._served.end(session_id)
        stored = await self._loader.delete(session_id, surely=session is not None)
        if session is not None or stored:
            events.sessions_ended("closed", 1)
        return session is not None or stored

    async def end_of_did(self, did: str) -> int:
        """End every session in which this DID is client or server, as after its revocation.

        Other workers learn of it as with ``close``.

        Returns:
            How many stored sessions that were.

        Raises:
            StorageError: They are ended here, but perhaps not in the store: end them again.
        """
        served = self._served.end_of_did(did)
        stored = await self._store.delete_of_did(did)
        self._loader.distrust()
        for session_id in stored:
            self._served.end(session_id)
        self._served.stored_count -= len(stored)
        count = len({*stored, *(session.session_id for session in served)})
        events.sessions_ended("revoked", count)
        return len(stored)

    async def page(
        self, client_did: str | None = None, *, after: str | None = None, limit: int = 100
    ) -> Page:
        """List stored sessions, of one client or all, in the order of their ids.

        Args:
            client_did: Only of this client.
            after: ``next_cursor`` of the page before.
            limit: 1 to 1,000 rows.
        """
        return await self._store.page(client_did=client_did, after=after, limit=limit)

    async def describe(self, session_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the notes kept with a session; False if it is not stored.

        Raises:
            UsageError: Notes that some store could not keep.
        """
        check_metadata(metadata)
        return await self._store.describe(session_id, metadata)

    async def touch(self) -> None:
        """Write the use of sessions to the store now, and learn what others have done.

        It happens by itself every ``refresh_interval_s``.

        Raises:
            StorageError: The store did not answer, or takes no more. Nothing is lost; it is tried
                again.
        """
        await self._upkeep.refresh()

    async def drain(self) -> None:
        """Take no new session, finish what is being stored, write use behind, and erase all keys.

        Stored sessions stay, for the workers that go on. Idempotent.
        """
        self._admission.close()
        try:
            await self._maker.finish()
            await self._upkeep.stop()
            await self._maker.finish()
        finally:
            self._loader.close()
            self._served.close()

    def __len__(self) -> int:
        """Return how many sessions this process serves, half-open ones included."""
        return len(self._table)

    def __bool__(self) -> bool:
        return True
