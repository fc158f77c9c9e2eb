"""Sessions whose replay windows lie in a table of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native import (
    CapacityError,
    KeyEncryptionKey,
    RekeyRequiredError,
    ReplayDetectedError,
    ReplayWindowTable,
    SessionStateError,
    StorageError,
    UsageError,
)
from tests.agents import NOW_MS, Agents

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native import Session

STORE = "sessions"
HOUR_MS = 3_600_000


def pair(agents: Agents, windows: ReplayWindowTable) -> tuple[Session, Session]:
    """Shake hands; the server shares its windows."""
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply, server = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    confirmation, client = attempt.finish(reply, now_ms=NOW_MS)
    server.share_windows(windows, now_ms=NOW_MS)
    server.confirm(confirmation, now_ms=NOW_MS)
    return client, server


def test_each_record_is_opened_by_one_worker(tmp_path: Path) -> None:
    """Both workers opened the table by its path, and the second had only the row."""
    tables = [ReplayWindowTable.open(tmp_path / "windows", now_ms=NOW_MS) for _ in range(2)]
    kek = KeyEncryptionKey("1", bytes(32))
    client, first = pair(Agents(), tables[0])
    row = first.wrap(kek, store=STORE, now_ms=NOW_MS)
    assert row is not None
    second = row.unwrap(kek, store=STORE, windows=tables[1], now_ms=NOW_MS)
    records = [client.seal(bytes([number]), now_ms=NOW_MS) for number in range(40)]
    for number, record in enumerate(records):
        opens, refuses = (first, second) if number % 3 else (second, first)
        assert opens.open(record, now_ms=NOW_MS) == bytes([number])
        with pytest.raises(ReplayDetectedError):
            refuses.open(record, now_ms=NOW_MS)
    assert len(tables[0]) == 1
    answers = [worker.seal(b"answer", now_ms=NOW_MS) for worker in (first, second)]
    assert [client.open(answer, now_ms=NOW_MS) for answer in answers] == [b"answer"] * 2


def test_another_table_demands_a_rekey() -> None:
    kek = KeyEncryptionKey("1", bytes(32))
    client, server = pair(Agents(), ReplayWindowTable(100, now_ms=NOW_MS))
    row = server.wrap(kek, store=STORE, now_ms=NOW_MS)
    assert row is not None
    for windows in (None, ReplayWindowTable(100, now_ms=NOW_MS)):
        restored = row.unwrap(kek, store=STORE, windows=windows, now_ms=NOW_MS)
        with pytest.raises(RekeyRequiredError):
            restored.open(client.seal(b"", now_ms=NOW_MS), now_ms=NOW_MS)


def test_windows_are_shared_before_the_first_record() -> None:
    client, server = pair(Agents(), ReplayWindowTable(100, now_ms=NOW_MS))
    server.open(client.seal(b"", now_ms=NOW_MS), now_ms=NOW_MS)
    with pytest.raises(SessionStateError, match="before the first record"):
        server.share_windows(ReplayWindowTable(100, now_ms=NOW_MS), now_ms=NOW_MS)


def test_a_session_must_not_outlive_its_window() -> None:
    with pytest.raises(UsageError, match="looks ahead"):
        pair(Agents(), ReplayWindowTable(100, horizon_ms=HOUR_MS - 1, now_ms=NOW_MS))
    pair(Agents(), ReplayWindowTable(100, horizon_ms=HOUR_MS, now_ms=NOW_MS))


def test_a_full_table_refuses_the_record() -> None:
    windows, refused_count = ReplayWindowTable(1, now_ms=NOW_MS), 0
    for _ in range(10):
        client, server = pair(Agents(), windows)
        record = client.seal(b"", now_ms=NOW_MS)
        try:
            server.open(record, now_ms=NOW_MS)
        except CapacityError:
            refused_count += 1
    assert refused_count == 3, "one line has seven places"


def test_a_lost_table_refuses_every_record(tmp_path: Path) -> None:
    path = tmp_path / "windows"
    client, server = pair(Agents(), ReplayWindowTable.open(path, now_ms=NOW_MS))
    server.open(client.seal(b"", now_ms=NOW_MS), now_ms=NOW_MS)
    path.unlink()
    later_ms = NOW_MS + 2_000
    with pytest.raises(StorageError, match="removed or replaced"):
        server.open(client.seal(b"", now_ms=later_ms), now_ms=later_ms)
