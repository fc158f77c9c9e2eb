"""Events: who listens is told, and changes nothing."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import pytest

from sage_native import (
    CapacityError,
    ReplayDetectedError,
    ReplaySet,
    ReplayWindowTable,
    UsageError,
    events,
)
from sage_native.events import Event, ReplayMemoryOpened, ReplayRefused, subscribe
from tests.agents import NOW_MS, Agents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = "did:example:alice"
SOON_MS = NOW_MS + 120_000
HORIZON_MS = 180_000
REPLAYED = ReplayRefused("replayed", 1)


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """Everything that happens in a test."""
    events: list[Event] = []
    unsubscribe = subscribe(events.append)
    yield events
    unsubscribe()


@pytest.fixture
def replays() -> ReplaySet:
    """A set that has admitted one nonce."""
    replays = ReplaySet(100)
    replays.admit(ALICE, b"nonce", SOON_MS, now_ms=NOW_MS)
    return replays


def replay(replays: ReplaySet) -> None:
    with pytest.raises(ReplayDetectedError):
        replays.admit(ALICE, b"nonce", SOON_MS, now_ms=NOW_MS)


# Who listens.


def test_is_told_until_it_unsubscribes(replays: ReplaySet) -> None:
    events: list[Event] = []
    unsubscribe = subscribe(events.append)
    replay(replays)
    unsubscribe()
    replay(replays)
    unsubscribe()
    assert events == [REPLAYED]


def test_a_hook_that_subscribes_twice_is_told_twice(replays: ReplaySet) -> None:
    events: list[Event] = []
    first, second = subscribe(events.append), subscribe(events.append)
    replay(replays)
    assert events == [REPLAYED] * 2
    first()
    first()
    replay(replays)
    assert events == [REPLAYED] * 3, "unsubscribing twice ends one subscription"
    second()
    replay(replays)
    assert events == [REPLAYED] * 3


def test_hooks_are_told_in_order_and_in_the_thread_where_it_happens(replays: ReplaySet) -> None:
    seen: list[tuple[str, int]] = []
    ends = [
        subscribe(lambda _: seen.append(("first", threading.get_ident()))),
        subscribe(lambda _: seen.append(("second", threading.get_ident()))),
    ]
    thread = threading.Thread(target=replay, args=(replays,))
    thread.start()
    thread.join()
    for unsubscribe in ends:
        unsubscribe()
    assert seen == [("first", thread.ident), ("second", thread.ident)]


def test_a_hook_may_unsubscribe_itself(replays: ReplaySet, told: list[Event]) -> None:
    events: list[Event] = []

    def once(event: Event) -> None:
        events.append(event)
        unsubscribe()

    unsubscribe = subscribe(once)
    for _ in range(3):
        replay(replays)
    assert events == [REPLAYED]
    assert told == [REPLAYED] * 3


def test_a_hook_may_use_the_set(replays: ReplaySet, told: list[Event]) -> None:
    unsubscribe = subscribe(lambda _: replays.admit(ALICE, b"of the hook", SOON_MS, now_ms=NOW_MS))
    replay(replays)
    unsubscribe()
    assert len(replays) == 2
    assert told == [REPLAYED]


def test_a_hook_that_raises_changes_nothing(
    replays: ReplaySet, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError(event)

    ends = [subscribe(broken), subscribe(events.append)]
    replay(replays)
    found = replays.admit_many(ALICE, [b"nonce", b"fresh"], SOON_MS, now_ms=NOW_MS)
    for unsubscribe in ends:
        unsubscribe()
    assert found.admitted.tolist() == [False, True]
    assert events == [REPLAYED] * 2, "the next hook is told all the same"
    assert len(caplog.records) == 2
    for report in caplog.records:
        assert report.name == "sage_native.events"
        assert report.getMessage() == f"Exception ignored in the event hook {broken.__qualname__}"
        assert report.exc_info is not None
        _, error, trace = report.exc_info
        assert isinstance(error, ValueError)
        assert error.args == (REPLAYED,)
        assert trace is not None


def test_a_hook_that_raises_disturbs_no_process_without_logs() -> None:
    """As the interpreter starts: nothing of pytest's, which takes what others would not."""
    code = """
from sage_native import events

def broken(event):
    raise ValueError("told")

events.subscribe(broken)
events.session_started("initiator")
print("goes on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"
    assert "Exception ignored in the event hook broken" in done.stderr
    assert "ValueError: told" in done.stderr


def test_a_handler_of_logs_that_raises_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(logging.Logger, "error", raising)
    events.report(raising, ValueError(), "Exception ignored in")


# What is told.


def test_admissions_are_not_told(told: list[Event]) -> None:
    replays = ReplaySet(100)
    replays.admit(ALICE, b"nonce", SOON_MS, now_ms=NOW_MS)
    replays.admit_many(ALICE, [b"one", b"two"], SOON_MS, now_ms=NOW_MS)
    replays.admit_many(ALICE, [], SOON_MS, now_ms=NOW_MS)
    assert not told


def test_each_refusal_has_its_reason(replays: ReplaySet, told: list[Event]) -> None:
    replay(replays)
    assert told == [ReplayRefused("replayed", 1)]
    with pytest.raises(ReplayDetectedError):
        replays.admit(ALICE, b"another", NOW_MS, now_ms=NOW_MS)
    assert told[1:] == [ReplayRefused("given_up", 1)]


def test_a_full_set_is_told(told: list[Event]) -> None:
    replays = ReplaySet(1)
    replays.admit_many(ALICE, [bytes([number]) for number in range(20)], SOON_MS, now_ms=NOW_MS)
    [flooded] = told
    assert isinstance(flooded, ReplayRefused)
    assert flooded == ReplayRefused("full", 20 - len(replays))
    with pytest.raises(CapacityError):
        replays.admit(ALICE, b"nonce", SOON_MS, now_ms=NOW_MS)
    assert told[1:] == [ReplayRefused("full", 1)]


def test_a_batch_tells_each_reason_once(replays: ReplaySet, told: list[Event]) -> None:
    ends_ms = [SOON_MS, SOON_MS, NOW_MS, NOW_MS, NOW_MS, SOON_MS]
    nonces = [b"nonce", b"fresh", b"one", b"two", b"three", b"fresh"]
    found = replays.admit_many(ALICE, nonces, ends_ms, now_ms=NOW_MS)
    assert found.admitted.tolist() == [False, True, False, False, False, False]
    assert len(told) == 2
    assert set(told) == {ReplayRefused("replayed", 2), ReplayRefused("given_up", 3)}


def test_the_callers_mistakes_are_not_told(replays: ReplaySet, told: list[Event]) -> None:
    with pytest.raises(UsageError):
        replays.admit(ALICE, b"another", NOW_MS + 10 * HORIZON_MS, now_ms=NOW_MS)
    with pytest.raises(UsageError):
        replays.admit_many([ALICE], [b"one", b"two"], SOON_MS, now_ms=NOW_MS)
    assert not told


def test_windows_tell_refusals_too(told: list[Event]) -> None:
    table, end_ms = ReplayWindowTable(1), NOW_MS + 3_600_000

    def admit(seq: int, *, epoch: int = 0, now_ms: int = NOW_MS) -> None:
        table.admit(
            str(uuid.UUID(int=1)),
            peer_did=ALICE,
            epoch=epoch,
            incarnation=bytes(16),
            seq=seq,
            expires_ms=end_ms,
            now_ms=now_ms,
        )

    admit(0)
    assert not told
    with pytest.raises(ReplayDetectedError):
        admit(0)
    with pytest.raises(ReplayDetectedError):
        admit(1, now_ms=end_ms)
    assert told == [ReplayRefused("replayed", 1), ReplayRefused("given_up", 1)]

    def flood() -> None:
        for epoch in range(1, 20):
            admit(0, epoch=epoch)

    with pytest.raises(CapacityError):
        flood()
    assert told[2:] == [ReplayRefused("full", 1)]


def test_records_that_are_replayed_are_told(told: list[Event]) -> None:
    client, server = Agents().pair()
    records = client.seal_many([b"x"] * 10, now_ms=NOW_MS)
    server.open_many(records[:5], now_ms=NOW_MS)
    assert told == []
    with pytest.raises(ReplayDetectedError):
        server.open(records[0], now_ms=NOW_MS)
    assert told == [ReplayRefused("replayed", 1)]
    server.open_many(records, now_ms=NOW_MS)
    assert told == [ReplayRefused("replayed", 1), ReplayRefused("replayed", 5)]


def test_a_memory_that_is_opened_is_told(tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "replays"
    ReplaySet.open(path, capacity=100, now_ms=NOW_MS)
    assert told == [ReplayMemoryOpened(path, NOW_MS, is_complete=False)]
    later_ms = NOW_MS + 10 * HORIZON_MS
    ReplaySet.open(path, capacity=100, now_ms=later_ms)
    assert told[1:] == [ReplayMemoryOpened(path, NOW_MS, is_complete=True)]


def test_windows_that_are_opened_are_told(tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "windows"
    ReplayWindowTable.open(path, capacity=8, now_ms=NOW_MS)
    ReplayWindowTable.open(path, capacity=8, now_ms=NOW_MS + 1000)
    assert told == [
        ReplayMemoryOpened(path, NOW_MS, is_complete=False),
        ReplayMemoryOpened(path, NOW_MS, is_complete=True),
    ]


def test_memory_of_one_process_is_not_told(told: list[Event]) -> None:
    ReplaySet(100)
    ReplayWindowTable(8)
    assert not told


def test_events_are_frozen(tmp_path: Path) -> None:
    for event in (REPLAYED, ReplayMemoryOpened(tmp_path, NOW_MS, is_complete=False)):
        for field in dataclasses.fields(event):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(event, field.name, None)
    assert hash(REPLAYED) == hash(ReplayRefused("replayed", 1))


# Which kinds are heard.


def test_a_hook_is_told_of_the_kinds_that_it_named(replays: ReplaySet) -> None:
    refused: list[Event] = []
    ended: list[Event] = []
    first = subscribe(refused.append, ReplayRefused)
    second = subscribe(ended.append, events.SessionsEnded, events.SessionStarted)
    replay(replays)
    events.sessions_ended("closed", 2)
    events.session_rekeyed(1)
    first()
    replay(replays)
    events.session_started("responder")
    second()
    events.session_started("responder")
    assert refused == [REPLAYED]
    assert ended == [events.SessionsEnded("closed", 2), events.SessionStarted("responder")]


def test_only_kinds_that_somebody_named_are_heard() -> None:
    kinds = (ReplayRefused, events.StoreFailed)
    assert not events.is_heard()
    unsubscribe = subscribe(print, *kinds)
    assert [events.is_heard(kind) for kind in events.KINDS] == [
        kind in kinds for kind in events.KINDS
    ]
    assert events.is_heard()
    assert events.is_heard(events.SessionStarted, ReplayRefused)
    assert not events.is_heard(events.SessionStarted, events.SessionsEnded)
    unsubscribe()
    assert not events.is_heard(*events.KINDS)
