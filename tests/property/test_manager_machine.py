"""Two workers of one server and a client, over a network and a store that do what they like.

Records, R1s and replies are lost, repeated, reordered and handed to either worker, or to both at
once. Workers and client die, the store fails before or after it did its work, and each call of a
worker has its own idea of the time.

Held over every history: no record is delivered twice and none altered; no two records share
(direction, incarnation, epoch, sequence number); and from wherever they are, two rekey round trips
bring client and any worker together, unless the session has ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sage_native import ReplayWindowTable, Session
from sage_native.exceptions import (
    AuthenticationError,
    PeerError,
    RekeyRequiredError,
    SessionStateError,
    StorageError,
)
from sage_native.protocol import RecordHeader, WrappedSession
from sage_native.sessions import SessionManager, SessionPolicy
from tests.agents import NOW_MS
from tests.managers import KEK, Site

if TYPE_CHECKING:
    from collections.abc import Coroutine

HOUR_MS = 3_600_000
CLIENT_STORE = "client"
REFUSALS = (PeerError, SessionStateError)

Answer = TypeVar("Answer")
indexes = st.integers(0, 1 << 16)
workers = st.integers(0, 1)
# Mostly right, else far off in either direction: dead by silence, by age, or before it was made.
skews = st.sampled_from([0, 0, 0, 0, -HOUR_MS, -500, 400, 2 * HOUR_MS, 30 * HOUR_MS])
troubles = st.sampled_from(["", "", "", "down", "lost"])


class Workers(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now_ms = NOW_MS
        self.records: list[tuple[bytes, bytes]] = []
        self.pushed: list[tuple[bytes, bytes]] = []
        self.requests: list[bytes] = []
        self.replies: list[bytes] = []
        self.delivered: set[bytes] = set()
        self.headers: set[bytes] = set()
        self.ended = False
        self.count = 0

    @initialize(shared=st.booleans())
    def meet(self, shared: bool) -> None:  # noqa: FBT001 - drawn
        policy = SessionPolicy(lifetime_s=86_400, max_epochs_per_client=1_000_000)
        horizon_ms = 86_400_000 + HOUR_MS
        windows = ReplayWindowTable(1000, horizon_ms=horizon_ms, now_ms=NOW_MS) if shared else None
        self.site = Site(windows=windows, policy=policy)
        self.workers: list[SessionManager] = [self.site.worker(), self.site.worker()]
        self.client: Session = self.run(self.site.meet(self.workers[0], NOW_MS))
        self.client_row: WrappedSession = self.stored_client()

    def run(self, call: Coroutine[object, object, Answer]) -> Answer:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        try:
            self.gets_on(0)
            self.gets_on(1)
            for worker in self.workers:
                self.run(worker.drain())
                assert len(worker) == 0
        finally:
            self.loop.close()

    # Records.

    @rule()
    def seal(self) -> None:
        self.count += 1
        plaintext = b"record %d" % self.count
        try:
            record = self.client.seal(plaintext, now_ms=self.now_ms)
        except REFUSALS:
            return
        self.note(record)
        self.records.append((record, plaintext))

    def note(self, record: bytes) -> None:
        header = RecordHeader.parse(record)
        name = record[2:3] + header.incarnation + record[36:48]
        assert name not in self.headers, "key and nonce repeated"
        self.headers.add(name)

    @precondition(lambda self: self.records)
    @rule(worker=workers, index=indexes, recent=st.booleans(), skew=skews, trouble=troubles)
    def deliver(self, worker: int, index: int, recent: bool, skew: int, trouble: str) -> None:  # noqa: FBT001
        last = self.records[-4:] if recent else self.records
        record, plaintext = last[index % len(last)]
        self.troubled(trouble)
        self.took(self.run(self.opened(worker, record, skew)), plaintext)
        self.troubled("")

    @precondition(lambda self: self.records)
    @rule(index=indexes, times=st.integers(2, 4), skew=skews)
    def deliver_to_both_at_once(self, index: int, times: int, skew: int) -> None:
        record, plaintext = self.records[index % len(self.records)]

        async def deliver() -> list[bytes | None]:
            return await asyncio.gather(
                *(self.opened(number % 2, record, skew) for number in range(times))
            )

        for opened in self.run(deliver()):
            self.took(opened, plaintext)

    @precondition(lambda self: self.records)
    @rule(worker=workers, index=indexes, epoch=st.integers(0, 5), skew=skews)
    def deliver_forged(self, worker: int, index: int, epoch: int, skew: int) -> None:
        record = bytearray(self.records[index % len(self.records)][0])
        record[36:40] = epoch.to_bytes(4, "big")
        record[-1] ^= 1
        assert self.run(self.opened(worker, bytes(record), skew)) is None

    async def opened(self, worker: int, record: bytes, skew: int) -> bytes | None:
        try:
            _, plaintext = await self.workers[worker].open(record, now_ms=self.now_ms + skew)
        except (*REFUSALS, StorageError):
            return None
        return plaintext

    def took(self, opened: bytes | None, plaintext: bytes) -> None:
        if opened is not None:
            assert opened == plaintext
            assert plaintext not in self.delivered, "delivered twice"
            self.delivered.add(plaintext)

    @rule(worker=workers, skew=skews)
    def push(self, worker: int, skew: int) -> None:
        self.count += 1
        plaintext, now_ms = b"push %d" % self.count, self.now_ms + skew
        try:
            session = self.run(self.workers[worker].get(self.client.session_id, now_ms=now_ms))
            if session is None:
                return
            record = session.seal(plaintext, now_ms=now_ms)
        except REFUSALS:
            return
        self.note(record)
        self.pushed.append((record, plaintext))

    @precondition(lambda self: self.pushed)
    @rule(index=indexes)
    def receive(self, index: int) -> None:
        record, plaintext = self.pushed[index % len(self.pushed)]
        try:
            self.took(self.client.open(record, now_ms=self.now_ms), plaintext)
        except REFUSALS:
            return

    # Rekeys.

    @rule()
    def ask(self) -> None:
        try:
            self.requests.append(self.client.rekey_request(now_ms=self.now_ms))
        except REFUSALS:
            return

    @rule()
    def ask_from_another_process(self) -> None:
        other = self.client_row.unwrap(KEK, store=CLIENT_STORE, now_ms=self.now_ms)
        self.requests.append(other.rekey_request(now_ms=self.now_ms))

    @precondition(lambda self: self.requests)
    @rule(worker=workers, index=indexes, recent=st.booleans(), skew=skews, trouble=troubles)
    def answer(self, worker: int, index: int, recent: bool, skew: int, trouble: str) -> None:  # noqa: FBT001
        last = self.requests[-2:] if recent else self.requests
        self.troubled(trouble)
        self.run(self.answered(worker, last[index % len(last)], skew))
        self.troubled("")

    @precondition(lambda self: len(self.requests) > 1)
    @rule(first=indexes, second=indexes)
    def answer_two_at_once(self, first: int, second: int) -> None:
        asked = [self.requests[-1 - at % min(4, len(self.requests))] for at in (first, second)]

        async def answer() -> None:
            await asyncio.gather(
                *(self.answered(worker, request, 0) for worker, request in enumerate(asked))
            )

        self.run(answer())

    @precondition(lambda self: self.requests)
    @rule(worker=workers, index=indexes, turns=st.integers(0, 6))
    def answer_and_give_up(self, worker: int, index: int, turns: int) -> None:
        async def give_up() -> None:
            request = self.requests[index % len(self.requests)]
            asking = asyncio.create_task(self.answered(worker, request, 0))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        self.run(give_up())

    async def answered(self, worker: int, request: bytes, skew: int) -> None:
        try:
            reply = await self.workers[worker].rekey(request, now_ms=self.now_ms + skew)
        except (*REFUSALS, StorageError):
            return
        self.replies.append(reply)

    @precondition(lambda self: self.replies)
    @rule(index=indexes, recent=st.booleans(), dies=st.booleans())
    def accept(self, index: int, recent: bool, dies: bool) -> None:  # noqa: FBT001 - drawn
        """Let the client take a reply; it may die before it stores."""
        last = self.replies[-2:] if recent else self.replies
        try:
            self.client.accept_rekey(last[index % len(last)], now_ms=self.now_ms)
        except REFUSALS:
            return
        if dies:
            self.restart_client()
        else:
            self.client_row = self.stored_client()

    def stored_client(self) -> WrappedSession:
        row = self.client.wrap(KEK, store=CLIENT_STORE, now_ms=self.now_ms)
        assert row is not None
        return row

    # What else happens.

    @rule()
    def restart_client(self) -> None:
        if not self.client.closed:
            row = self.client_row
            self.client = row.unwrap(KEK, store=CLIENT_STORE, now_ms=self.now_ms)

    @rule(worker=workers, gently=st.booleans())
    def restart_worker(self, worker: int, gently: bool) -> None:  # noqa: FBT001 - drawn
        if gently:
            self.run(self.workers[worker].drain())
        self.workers[worker] = self.site.worker()

    @rule(worker=workers)
    def refresh(self, worker: int) -> None:
        self.run(self.workers[worker].touch())

    @rule(worker=workers, skew=skews)
    def sweep(self, worker: int, skew: int) -> None:
        self.workers[worker]._served.sweep(self.now_ms + skew)

    @rule()
    def clean_up(self) -> None:
        grace_ms = self.site.policy.grace_ms
        self.run(self.site.store.delete_expired(grace_ms=grace_ms, now_ms=self.now_ms))

    @rule()
    def wait(self) -> None:
        self.now_ms += 60_000

    @precondition(lambda self: self.count > 12)
    @rule(worker=workers, how=st.sampled_from(["worker", "client", "revoked"]))
    def close(self, worker: int, how: str) -> None:
        if how == "worker":
            self.run(self.workers[worker].close(self.client.session_id))
        elif how == "revoked":
            self.run(self.workers[worker].end_of_did(self.site.alice))
        else:
            try:
                record = self.client.seal_close(now_ms=self.now_ms)
            except REFUSALS:
                return
            self.note(record)
            if self.run(self.opened(worker, record, 0)) is None:
                self.client.close()
                self.run(self.workers[worker].close(self.client.session_id))
        self.ended = True
        for one in self.workers:
            self.run(one.touch())

    def troubled(self, trouble: str) -> None:
        self.site.store.down.clear()
        self.site.store.lost.clear()
        if trouble:
            getattr(self.site.store, trouble).add("*")

    # What must hold.

    @rule(worker=workers)
    def gets_on(self, worker: int) -> None:
        """Two rekeys are enough, and one that has ended stays so."""
        if self.has_ended():
            for record, _ in self.records[-3:]:
                assert self.run(self.opened(worker, record, 0)) is None
            return
        self.count += 1
        for rekeys in range(3):
            plaintext = b"together %d, %d" % (self.count, rekeys)
            try:
                record = self.client.seal(plaintext, now_ms=self.now_ms)
                self.note(record)
                self.records.append((record, plaintext))
                self.took(self.run(self.opened_here(worker, record)), plaintext)
            except (RekeyRequiredError, AuthenticationError):
                assert rekeys < 2, "two rekeys were not enough"
                self.rekey(worker)
            else:
                return

    async def opened_here(self, worker: int, record: bytes) -> bytes:
        return (await self.workers[worker].open(record, now_ms=self.now_ms))[1]

    def rekey(self, worker: int) -> None:
        request = self.client.rekey_request(now_ms=self.now_ms)
        reply = self.run(self.workers[worker].rekey(request, now_ms=self.now_ms))
        self.client.accept_rekey(reply, now_ms=self.now_ms)
        self.client_row = self.stored_client()

    def has_ended(self) -> bool:
        self.client.sweep(now_ms=self.now_ms)
        row = self.run(self.site.store.get(self.client.session_id))
        over = row is None or row.is_over(self.now_ms, self.site.policy.grace_ms)
        self.ended |= over or self.client.closed
        return self.ended


Workers.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestWorkers = Workers.TestCase
