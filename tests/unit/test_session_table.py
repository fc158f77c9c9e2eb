"""The sessions that one process serves."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from sage_native import AuthenticationError, CapacityError, HandshakeError, SessionTable, UsageError
from tests.agents import NOW_MS, Agents


def test_finds_the_session_of_a_record() -> None:
    table, pairs = SessionTable(), [Agents().pair() for _ in range(3)]
    for _, server in pairs:
        table.add(server)
    for number, (client, server) in enumerate(pairs):
        record = client.seal(b"%d" % number, aad=b"aad", now_ms=NOW_MS)
        session, plaintext = table.open(record, aad=b"aad", now_ms=NOW_MS)
        assert (session, plaintext) == (server, b"%d" % number)
        assert session.session_id in table
        assert table.get(session.session_id) is session
    assert len(table) == len(pairs)


def test_unknown_sessions_and_wrong_tags_get_one_answer() -> None:
    table, (client, server) = SessionTable(), Agents().pair()
    record = client.seal(b"x", now_ms=NOW_MS)
    with pytest.raises(AuthenticationError) as unknown:
        table.open(record, now_ms=NOW_MS)
    table.add(server)
    with pytest.raises(AuthenticationError) as forged:
        table.open(record[:-1] + bytes([record[-1] ^ 1]), now_ms=NOW_MS)
    assert str(unknown.value) == str(forged.value)
    assert table.open(record, now_ms=NOW_MS)[1] == b"x"
    for bad in (b"", bytes(63), bytes(100)):
        with pytest.raises(HandshakeError):
            table.open(bad, now_ms=NOW_MS)


def test_adds_once_and_up_to_its_capacity() -> None:
    table = SessionTable(capacity=1)
    (_, first), (_, second) = Agents().pair(), Agents().pair()
    table.add(first)
    with pytest.raises(CapacityError):
        table.add(second)
    assert table.remove(first.session_id) is first
    assert table.remove(first.session_id) is None
    table.add(second)
    larger = SessionTable(capacity=2)
    larger.add(first)
    with pytest.raises(UsageError):
        larger.add(first)


def test_sweep_drops_what_has_ended() -> None:
    table = SessionTable()
    servers = [Agents().pair()[1] for _ in range(3)]
    for server in servers:
        table.add(server)
    servers[0].close()
    assert table.sweep(now_ms=NOW_MS) == 1
    assert servers[0].session_id not in table
    assert table.sweep(now_ms=NOW_MS + 10**9) == 2
    assert len(table) == 0
    assert "not a session id" not in table


def test_a_session_at_work_stops_nobody_else() -> None:
    """While a batch holds a session, who asks for it waits without the interpreter lock."""
    client, _ = Agents().pair()
    batch, done = [bytes(1 << 20)] * 200, threading.Event()
    ticks: list[None] = []

    def seal() -> None:
        client.seal_many(batch, now_ms=NOW_MS)
        done.set()

    def tick() -> None:
        while not done.is_set():
            ticks.append(None)
            time.sleep(0.001)

    threads = [threading.Thread(target=run) for run in (tick, seal)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        assert client.state == "open"
    for thread in threads:
        thread.join()
    assert ticks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_of_a_process_at_work_does_not_hang() -> None:
    """A fork amid a batch leaves the session's lock taken for ever: an error says so."""
    client, _ = Agents().pair()
    batch = [bytes(1 << 20)] * 100
    thread = threading.Thread(target=lambda: client.seal_many(batch, now_ms=NOW_MS))
    thread.start()
    time.sleep(0.005)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            client.seal(b"from the child", now_ms=NOW_MS)
        except Exception as error:  # noqa: BLE001 - the child reports by its exit status alone
            os._exit(0 if type(error).__name__ == "SessionStateError" else 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
