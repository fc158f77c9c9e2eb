"""Two processes that serve one session, through one SQLite file and one file of windows."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from sage_native import Initiator, KeyEncryptionKey, SigningKey
from sage_native.protocol import RecordHeader
from tests.integration.session_worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sage_native import Session
    from tests.integration.session_worker import Outcome

SEED = bytes(range(32))
REKEY_FIRST = ("RekeyRequiredError", "AuthenticationError")


class Alice:
    """A client that counts what is delivered, and never sees a header twice."""

    def __init__(self, worker: Worker) -> None:
        self.worker_key = SigningKey.from_bytes(SEED).verifying_key
        initiator = Initiator(SigningKey.generate(), self.worker_key)
        attempt = initiator.initiate()
        said, reply = worker.does("initiate", attempt.message)
        assert said == "accepted"
        confirmation, self.session = attempt.finish(reply)
        assert worker.does("confirm", confirmation) == ("confirmed", b"")
        self.delivered: set[bytes] = set()
        self.headers: set[bytes] = set()
        self.count = 0

    def record(self) -> bytes:
        self.count += 1
        record = self.session.seal(b"record %d" % self.count)
        self.note(record)
        return record

    def note(self, record: bytes) -> None:
        header = RecordHeader.parse(record)
        name = header.direction.encode() + header.incarnation + record[36:48]
        assert name not in self.headers, "key and nonce repeated"
        self.headers.add(name)

    def took(self, outcome: Outcome) -> bool:
        """Note what came of a record; return whether it was delivered."""
        said, answer = outcome
        if said != "delivered":
            return False
        self.note(answer)
        plaintext = self.session.open(answer)
        assert plaintext not in self.delivered, "delivered twice"
        self.delivered.add(plaintext)
        return True

    def gets_on(self, worker: Worker) -> int:
        """Say something to a worker, with rekeys if it wants them; return how many."""
        for rekeys in range(3):
            outcome = worker.does("record", self.record())
            if self.took(outcome):
                return rekeys
            assert outcome[0] in REKEY_FIRST, outcome
            said, reply = worker.does("rekey", self.session.rekey_request())
            assert said == "rekeyed"
            self.session.accept_rekey(reply)
        raise AssertionError("two rekeys were not enough")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    tmp_path.chmod(0o700)
    running = [Worker(tmp_path, SEED) for _ in range(2)]
    yield running
    for worker in running:
        worker.stop()


def hear(workers: Sequence[Worker]) -> list[list[Outcome]]:
    return [worker.hear() for worker in workers]


def test_each_record_is_delivered_by_one_process(workers: list[Worker]) -> None:
    alice, chance = Alice(workers[0]), random.Random(1)
    for worker in workers:
        assert alice.gets_on(worker) == 0, "the windows are shared"
    records = [alice.record() for _ in range(400)]
    for worker in workers:
        chance.shuffle(records)
        worker.tell(*(("record", record) for record in records * 2))
    outcomes = [outcome for answers in hear(workers) for outcome in answers]
    assert sum(alice.took(outcome) for outcome in outcomes) == 400
    refused = {said for said, _ in outcomes} - {"delivered"}
    assert refused == {"ReplayDetectedError"}
    assert len(alice.delivered) == 402


def test_rekeys_and_records_at_both_at_once_lead_nowhere_apart(workers: list[Worker]) -> None:
    """No livelock, no double delivery, no key and nonce twice, whoever is asked to rekey."""
    alice, chance = Alice(workers[0]), random.Random(2)
    old: list[bytes] = []
    for _ in range(40):
        request = alice.session.rekey_request()
        records = [alice.record() for _ in range(10)]
        for worker in workers:
            steps = [("record", record) for record in records]
            steps += [("record", record) for record in chance.sample(old, min(5, len(old)))]
            steps += [("rekey", request)] * chance.randrange(3)
            chance.shuffle(steps)
            worker.tell(*steps)
        outcomes = [outcome for answers in hear(workers) for outcome in answers]
        for outcome in outcomes:
            # Before R2, since an answer from a new process of the past epoch would not open.
            alice.took(outcome)
        replies = {data for said, data in outcomes if said == "rekeyed"}
        assert len(replies) <= 1, "one R2 for one epoch"
        if replies:
            alice.session.accept_rekey(replies.pop())
        for worker in chance.sample(workers, 2):
            assert alice.gets_on(worker) <= 1
        old += records
    assert (alice.session.epoch or 0) > 20


def test_two_processes_of_the_client_ask_at_once(workers: list[Worker]) -> None:
    alice = Alice(workers[0])
    for worker in workers:
        alice.gets_on(worker)
    for _ in range(20):
        request, other = alice.session.rekey_request(), _other_request(alice.session)
        workers[0].tell(("rekey", request), ("rekey", other))
        workers[1].tell(("rekey", other), ("rekey", request))
        outcomes = [outcome for answers in hear(workers) for outcome in answers]
        assert [said for said, _ in outcomes] == ["rekeyed"] * 4
        replies = [data for _, data in outcomes]
        assert len({reply[:64] for reply in replies}) == 1
        assert sorted(map(len, replies)) == [64, 64, 148, 148]
        assert (replies[0], replies[1]) == (replies[3], replies[2])
        alice.session.accept_rekey(replies[0])
        for worker in workers:
            assert alice.gets_on(worker) == 0


def _other_request(session: Session) -> bytes:
    kek = KeyEncryptionKey("client", os.urandom(32))
    row = session.wrap(kek, store="client")
    assert row is not None
    with row.unwrap(kek, store="client") as other:
        return other.rekey_request()


def test_a_killed_process_is_replaced_and_forgets_nothing(
    workers: list[Worker], tmp_path: Path
) -> None:
    alice, chance = Alice(workers[0]), random.Random(3)
    sent: list[bytes] = []
    for number in range(6):
        records = [alice.record() for _ in range(50)]
        sent += records
        for worker in workers:
            steps = [("record", record) for record in chance.sample(sent, min(200, len(sent)))]
            worker.tell(*steps)
        dying = number % 2
        time.sleep(chance.uniform(0, 0.02))
        for outcome in workers[1 - dying].hear():
            alice.took(outcome)
        if chance.random() < 0.5:
            for outcome in workers[dying].hear():
                alice.took(outcome)
        workers[dying].kill()
        workers[dying] = Worker(tmp_path, SEED)
        assert alice.gets_on(workers[dying]) == 0, "it goes on where the other was"
    for worker in workers:
        worker.tell(*(("record", record) for record in sent))
    for outcome in [outcome for answers in hear(workers) for outcome in answers]:
        alice.took(outcome)
    for worker in workers:
        for record in sent:
            assert worker.does("record", record)[0] == "ReplayDetectedError"


def test_what_is_closed_at_one_process_is_gone_at_the_other(workers: list[Worker]) -> None:
    alice = Alice(workers[0])
    for worker in workers:
        alice.gets_on(worker)
    record = alice.record()
    assert workers[0].does("record", alice.session.seal_close())[0] == "delivered"
    assert workers[0].does("record", record)[0] == "AuthenticationError"
    deadline = time.monotonic() + 10
    # Until it has asked, a record that was sent before the close may still be delivered there.
    late = workers[1].does("record", record)[0]
    while late != "AuthenticationError":
        assert late in ("delivered", "ReplayDetectedError")
        assert time.monotonic() < deadline
        time.sleep(0.05)
        late = workers[1].does("record", record)[0]
