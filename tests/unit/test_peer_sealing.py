"""The peer that seals records does what a sender must: numbers, budgets, state, fork."""

from __future__ import annotations

import os

import pytest

from benches.peers import sealing
from benches.peers.errors import RefusedError
from benches.peers.records import Session
from benches.peers.sealing import RecordSealer
from tests.reference.records import S2C, Header, RecordKey

SECRET, SESSION_ID = bytes(32), bytes(range(16))


def open_session(half_open_until_ms: int | None = None) -> Session:
    return Session(
        SESSION_ID,
        bytes(32),
        now_ms=0,
        expires_at_ms=10**6,
        idle_timeout_s=1,
        half_open_until_ms=half_open_until_ms,
    )


def test_records_are_those_of_the_reference() -> None:
    sealer = RecordSealer(open_session(), SECRET)
    for seq, aad in enumerate((b"", b"aad")):
        record = sealer.seal(b"plaintext", 0, aad)
        header = Header(1, S2C, 0, SESSION_ID, record[20:36], 0, seq)
        key = RecordKey.derive(SECRET, record[20:36])
        assert key.seal(header, b"plaintext", aad) == record
    assert (sealer.sealed_count, sealer.sealed_len) == (2, 18)


def test_budgets() -> None:
    sealer = RecordSealer(open_session(), SECRET)
    assert sealer.seal(b"", 0)[3] == 0
    sealer.sealed_count = sealing.SOFT_BUDGET_COUNT
    assert sealer.seal(b"", 0)[3] == 2
    sealer.sealed_count = sealing.HARD_BUDGET_COUNT
    with pytest.raises(RefusedError, match="rekey_required"):
        sealer.seal(b"", 0)
    sealer.sealed_count, sealer.sealed_len = 0, sealing.HARD_BUDGET_LEN
    with pytest.raises(RefusedError, match="rekey_required"):
        sealer.seal(b"x", 0)
    with pytest.raises(RefusedError, match="payload_too_large"):
        sealer.seal(bytes(sealing.MAX_PLAINTEXT_LEN + 1), 0)


def test_state() -> None:
    with pytest.raises(RuntimeError, match="half-open"):
        RecordSealer(open_session(half_open_until_ms=10), SECRET).seal(b"", 0)
    session = open_session()
    with pytest.raises(RefusedError, match="authentication_failed"):
        RecordSealer(session, SECRET).seal(b"", 1000)
    session.closed = True
    with pytest.raises(RuntimeError, match="closed"):
        RecordSealer(session, SECRET).seal(b"", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_is_another_sender() -> None:
    sealer = RecordSealer(open_session(), SECRET)
    ours = sealer.seal(b"", 0)[20:36]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, sealer.seal(b"", 0)[20:48])
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 28)
    os.close(reader)
    os.close(writer)
    assert theirs[:16] != ours
    assert theirs[20:] == bytes(8)
