"""Attacks on records, rekeys and rows. Each docstring begins with its row of the table."""

from __future__ import annotations

import random
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sage_native import KeyEncryptionKey
from sage_native.exceptions import KeyUnavailableError, RekeyRequiredError
from sage_native.protocol import RecordHeader, WrappedSession
from tests.agents import NOW_MS, REFUSED, Agents, code_of, rekey, state_of

if TYPE_CHECKING:
    from sage_native import Session

REPLAYED, REKEY_REQUIRED = "replay_detected", "rekey_required"
KEK = KeyEncryptionKey("kek-1", b"\1" * 32)
STORE = "sessions"


def seal(session: Session, plaintext: bytes = b"message", aad: bytes = b"") -> bytes:
    return session.seal(plaintext, aad=aad, now_ms=NOW_MS)


def deliver(session: Session, record: bytes, aad: bytes = b"") -> str | None:
    """Return the code, None for a delivered message."""
    return code_of(session.open, record, aad=aad, now_ms=NOW_MS)


def stored(session: Session) -> WrappedSession:
    row = session.wrap(KEK, store=STORE, now_ms=NOW_MS)
    assert row is not None
    return row


def restarted(session: Session) -> Session:
    return stored(session).unwrap(KEK, store=STORE, now_ms=NOW_MS)


def wishes(*sessions: Session) -> list[bool]:
    """Return who wants a rekey."""
    return [session.rekey_wanted for session in sessions]


def test_replayed_record() -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    client, server = Agents().pair()
    record = seal(client)
    assert deliver(server, record) is None
    assert deliver(server, record) == REPLAYED, "at once"
    for newer in client.seal_many([b"newer"] * 2_000, now_ms=NOW_MS):
        assert deliver(server, newer) is None
    assert deliver(server, record) == REPLAYED, "after the window slid"
    rekey(client, server)
    assert deliver(server, record) == REPLAYED, "after a rekey"
    assert deliver(restarted(server), record) == REFUSED, "after a restart, its epoch is gone"


def test_replay_to_a_restarted_server() -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    client, server = Agents().pair()
    record = seal(client)
    assert deliver(server, record) is None
    server = restarted(server)
    assert deliver(server, record) == REKEY_REQUIRED
    rekey(client, server)
    assert deliver(server, record) == REFUSED


def test_replay_to_a_restarted_client() -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    client, server = Agents().pair()
    answer = seal(server)
    assert deliver(client, answer) is None
    client = restarted(client)
    assert deliver(client, answer) == REKEY_REQUIRED
    rekey(client, server)
    assert deliver(client, answer) == REFUSED, "its windows were lost: nobody knows what came"


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_reordered_records(order: str) -> None:
    """records in reverse or random order inside the window"""
    client, server = Agents().pair()
    records = client.seal_many(
        [number.to_bytes(2, "big") for number in range(1_024)], now_ms=NOW_MS
    )
    shuffled = records[::-1]
    if order == "random":
        random.Random(1024).shuffle(shuffled)
    delivered = [server.open(record, now_ms=NOW_MS) for record in shuffled]
    assert sorted(delivered) == [number.to_bytes(2, "big") for number in range(1_024)]
    assert {deliver(server, record) for record in records} == {REPLAYED}


def test_the_edge_of_the_window() -> None:
    client, server = Agents().pair()
    first, second, *_, last = client.seal_many([b""] * 1_025, now_ms=NOW_MS)
    assert deliver(server, last) is None
    assert deliver(server, first) == REPLAYED, "older than what is remembered"
    assert deliver(server, second) is None


def test_forged_sequence_number() -> None:
    """forged record with seq 2^63"""
    client, server = Agents().pair()
    record = seal(client)
    forged = record[:40] + (2**63).to_bytes(8, "big") + record[48:]
    assert deliver(server, forged) == REFUSED
    assert deliver(server, record) is None, "the window did not move"


def test_misplaced_records() -> None:
    """bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session \
A on session B"""
    agents = Agents()
    (client, server), (_, other) = agents.pair(), agents.pair()
    request, answer = seal(client), seal(server)
    assert deliver(client, request) == REFUSED, "own record reflected"
    assert deliver(server, answer) == REFUSED, "own record reflected"
    for record, receiver in ((request, client), (answer, server)):
        turned = record[:2] + bytes((record[2] ^ 1,)) + record[3:]
        assert deliver(receiver, turned) == REFUSED, "direction changed"
    assert deliver(other, request) == REFUSED, "another session"
    renamed = request[:4] + bytes.fromhex(other.session_id.replace("-", "")) + request[20:]
    assert deliver(other, renamed) == REFUSED, "another session, its id written in"
    assert deliver(server, request) is None
    assert deliver(client, answer) is None


def test_swapped_answers() -> None:
    """answer to request A given for request B; forged `rekey_required` after delivery"""
    client, server = Agents().pair()
    requests = [seal(client, name) for name in (b"A", b"B")]
    bound = [b"SAGE-HTTP/1 response" + request[:48] for request in requests]
    answers = [seal(server, b"answer", aad) for aad in bound]
    for answer, aad in zip(answers, bound[::-1], strict=True):
        assert deliver(client, answer, aad) == REFUSED
    for answer, aad in zip(answers, bound, strict=True):
        assert deliver(client, answer, aad) is None


def test_forged_rekey_required_after_delivery() -> None:
    """answer to request A given for request B; forged `rekey_required` after delivery"""
    client, server = Agents().pair()
    first, transfer = seal(client), seal(client, b"transfer once")
    assert deliver(server, transfer) is None
    rekey(client, server)
    assert deliver(server, transfer) == REPLAYED, "executed: never rekey_required"
    assert deliver(server, first) == REKEY_REQUIRED, "not executed"
    assert deliver(server, first) == REKEY_REQUIRED, "and still not"


def test_lost_and_repeated_rekey() -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the \
first record"""
    client, server = Agents().pair()
    request = client.rekey_request(now_ms=NOW_MS)
    lost = server.answer_rekey(request, now_ms=NOW_MS)
    assert client.rekey_request(now_ms=NOW_MS) == request
    assert server.answer_rekey(request, now_ms=NOW_MS) == lost
    client.accept_rekey(lost, now_ms=NOW_MS)
    assert deliver(server, seal(client)) is None
    assert code_of(server.answer_rekey, request, now_ms=NOW_MS) == REFUSED, "secret of n is gone"


def test_two_requests_at_once() -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the \
first record"""
    client, server = Agents().pair()
    row = stored(client)
    workers = [row.unwrap(KEK, store=STORE, now_ms=NOW_MS) for _ in range(2)]
    requests = [worker.rekey_request(now_ms=NOW_MS) for worker in workers]
    replies = [server.answer_rekey(request, now_ms=NOW_MS) for request in requests]
    assert replies[1] == replies[0] + requests[0], "the committed R1 and R2"
    incarnations = set()
    for worker, reply in zip(workers, replies, strict=True):
        worker.accept_rekey(reply, now_ms=NOW_MS)
        record = seal(worker)
        incarnations.add(RecordHeader.parse(record).incarnation)
        assert deliver(server, record) is None
    assert len(incarnations) == 2


def test_crash_after_the_commit() -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the \
first record"""
    client, server = Agents().pair()
    prepared = server.prepare_rekey(client.rekey_request(now_ms=NOW_MS), now_ms=NOW_MS)
    row = server.wrap(KEK, store=STORE, prepared=prepared, now_ms=NOW_MS)
    assert row is not None
    reply = server.commit_rekey(prepared, now_ms=NOW_MS)
    server.close()
    server = row.unwrap(KEK, store=STORE, now_ms=NOW_MS)
    request = client.rekey_request(now_ms=NOW_MS)
    assert server.answer_rekey(request, now_ms=NOW_MS) == reply
    client.accept_rekey(reply, now_ms=NOW_MS)
    assert deliver(server, seal(client)) == REKEY_REQUIRED, "its windows are lost"
    rekey(client, server)
    assert deliver(server, seal(client)) is None


def test_a_prepared_rekey_is_stored_only_where_it_belongs() -> None:
    agents = Agents()
    (client, server), (_, other) = agents.pair(), agents.pair()
    prepared = server.prepare_rekey(client.rekey_request(now_ms=NOW_MS), now_ms=NOW_MS)
    for wrong in (other, client):
        assert code_of(wrong.wrap, KEK, store=STORE, prepared=prepared, now_ms=NOW_MS) == REFUSED
    rekey(client, server)
    assert code_of(server.wrap, KEK, store=STORE, prepared=prepared, now_ms=NOW_MS) == REFUSED


@pytest.mark.parametrize(
    ("soft", "hard"),
    [
        ({"records": 2**20}, {"records": 2**24}),
        ({"plaintext_bytes": 2**34}, {"plaintext_bytes": 2**36}),
    ],
    ids=["records", "bytes"],
)
def test_budget(soft: dict[str, int], hard: dict[str, int]) -> None:
    """budget reached"""
    client, server = Agents().pair()
    assert not RecordHeader.parse(seal(client)).rekey_wanted
    client.skip(**soft, now_ms=NOW_MS)
    asking = seal(client)
    assert RecordHeader.parse(asking).rekey_wanted
    assert deliver(server, asking) is None
    assert wishes(client, server) == [True, True]
    client.skip(**hard, now_ms=NOW_MS)
    for _ in range(2):
        with pytest.raises(RekeyRequiredError, match="budget"):
            seal(client)
    rekey(client, server)
    assert RecordHeader.parse(seal(client)).seq == 0
    assert wishes(client, server) == [False, False]


def test_the_last_record_of_a_budget() -> None:
    client, _ = Agents().pair()
    client.skip(records=2**24 - 1, now_ms=NOW_MS)
    assert RecordHeader.parse(seal(client)).seq == 2**24 - 1
    with pytest.raises(RekeyRequiredError):
        seal(client)


def test_a_late_wish_does_not_ask_for_a_second_rekey() -> None:
    client, server = Agents().pair()
    assert deliver(client, seal(server)) is None
    server.skip(records=2**20, now_ms=NOW_MS)
    late = seal(server)
    rekey(client, server)
    assert deliver(client, late) is None
    assert not client.rekey_wanted


def test_sessions_that_are_not_there() -> None:
    """expired, deleted, half-open, unknown, other tenant's session"""
    agents, signing = Agents(), Agents(signed=True)
    client, server = agents.pair()
    record, much_later_ms = seal(client), NOW_MS + 3_600_000
    (_, unknown), half_open = agents.pair(), signing.meet()
    assert deliver(unknown, record) == REFUSED
    assert deliver(half_open.server, seal(half_open.client)) == REFUSED
    r1 = half_open.client.rekey_request(now_ms=NOW_MS)
    assert code_of(half_open.server.answer_rekey, r1, now_ms=NOW_MS) == REFUSED
    assert state_of(half_open.server) == "half_open"
    assert code_of(server.open, record, now_ms=much_later_ms) == REFUSED
    assert deliver(server, record) == REFUSED, "no revival when the clock goes back"
    assert state_of(server) == "expired"
    client, server = agents.pair()
    server.close()
    assert deliver(server, seal(client)) == REFUSED
    assert state_of(server) == "closed"


def test_delete_in_flight() -> None:
    """delete while 1,000 requests are in flight"""
    client, server = Agents().pair()
    records = client.seal_many([b"request"] * 1_000, now_ms=NOW_MS)
    outcomes: list[str | None] = []
    started = threading.Barrier(4)

    def work(mine: list[bytes]) -> None:
        started.wait()
        for number, record in enumerate(mine):
            outcomes.append(deliver(server, record))
            outcomes.append(code_of(server.seal, b"answer", now_ms=NOW_MS))
            if mine[0] is records[0] and number == 50:
                server.close()

    threads = [threading.Thread(target=work, args=(records[at::4],)) for at in range(4)]
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch_interval_s)
    assert len(outcomes) == 2_000
    assert outcomes.count(None) >= 100
    assert outcomes.count(REFUSED) >= 2 * 199
    assert server.closed


ROW_FIELDS = [
    "session_id",
    "client_did",
    "server_did",
    "created_ms",
    "expires_ms",
    "epoch",
    "wrapped_secret",
]


def with_field(row: WrappedSession, name: str, value: object) -> WrappedSession:
    """Return a row with one column changed."""
    fields = {field: getattr(row, field) for field in (*ROW_FIELDS, "kek_id")}
    return WrappedSession(**(fields | {name: value}))


def refuses(row: WrappedSession, kek: KeyEncryptionKey = KEK, store: str = STORE) -> bool:
    with pytest.raises(KeyUnavailableError) as caught:
        row.unwrap(kek, store=store, now_ms=NOW_MS)
    return caught.value.code == "key_unavailable"


@pytest.mark.parametrize("name", ROW_FIELDS)
def test_edited_and_swapped_rows(name: str) -> None:
    """stored row swapped, edited, wrong KEK"""
    agents = Agents()
    (client, server), (_, other) = agents.pair(), Agents().pair()
    rekey(client, server)
    row, others = stored(server), stored(other)
    value = getattr(row, name)
    edited = value + 1 if isinstance(value, int) else getattr(others, name)
    assert refuses(with_field(row, name, edited))
    restored = row.unwrap(KEK, store=STORE, now_ms=NOW_MS)
    rekey(client, restored)
    assert deliver(restored, seal(client)) is None, "only the edited row is affected"


def test_wrong_kek() -> None:
    """stored row swapped, edited, wrong KEK"""
    _, server = Agents().pair()
    row = stored(server)
    assert refuses(row, KeyEncryptionKey("kek-1", b"\2" * 32))
    assert refuses(row, KeyEncryptionKey("kek-2", b"\1" * 32))
    assert refuses(with_field(row, "kek_id", "kek-2"), KeyEncryptionKey("kek-2", b"\1" * 32))
    assert refuses(row, store="another store")
    for cut in (b"", row.wrapped_secret[:27], row.wrapped_secret[:-1], row.wrapped_secret + b"\0"):
        assert refuses(with_field(row, "wrapped_secret", cut))


def test_a_row_says_nothing_of_its_secret() -> None:
    _, server = Agents().pair()
    row = stored(server)
    assert row.wrapped_secret.hex() not in repr(row)
    assert stored(server).wrapped_secret != row.wrapped_secret, "a fresh nonce each time"
