"""Replay windows: each sequence number once, by one process or by all workers of a machine."""

from __future__ import annotations

import copy
import pickle
import shutil
import threading
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_native import (
    CapacityError,
    ConfigurationError,
    ReplayDetectedError,
    ReplayWindow,
    ReplayWindowTable,
    StorageError,
    UsageError,
)
from tests.agents import NOW_MS, code_of
from tests.reference.window import WINDOW_LEN, Window

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
END_MS = NOW_MS + HOUR_MS
SEQ_END = 1 << 24
REPLAYED = "replay_detected"


def is_admitted(window: ReplayWindow, seq: int) -> bool:
    return code_of(window.admit, seq) is None


@dataclass(frozen=True)
class Name:
    """Which window of a table."""

    session_id: str = str(uuid.UUID(int=1))
    peer_did: str = "did:example:alice"
    direction: Literal["c2s", "s2c"] = "c2s"
    epoch: int = 0
    incarnation: bytes = bytes(16)

    def admit(
        self, table: ReplayWindowTable, seq: int, *, end_ms: int = END_MS, now_ms: int = NOW_MS
    ) -> None:
        table.admit(
            self.session_id,
            peer_did=self.peer_did,
            epoch=self.epoch,
            incarnation=self.incarnation,
            seq=seq,
            expires_ms=end_ms,
            direction=self.direction,
            now_ms=now_ms,
        )

    def is_admitted(
        self, table: ReplayWindowTable, seq: int, *, end_ms: int = END_MS, now_ms: int = NOW_MS
    ) -> bool:
        try:
            self.admit(table, seq, end_ms=end_ms, now_ms=now_ms)
        except ReplayDetectedError:
            return False
        return True


NAME = Name()


# The window of one process.


def test_a_window_accepts_once() -> None:
    window = ReplayWindow()
    for seq in (0, 5, 3, 1023, 4):
        assert window.is_fresh(seq)
        assert is_admitted(window, seq)
        assert not window.is_fresh(seq)
        assert not is_admitted(window, seq)


def test_a_window_reaches_1024_back() -> None:
    window = ReplayWindow()
    assert is_admitted(window, 5000)
    assert is_admitted(window, 5000 - 1023)
    assert not window.is_fresh(5000 - 1024)
    assert not is_admitted(window, 5000 - 1024)
    assert is_admitted(window, 5001)
    assert not is_admitted(window, 5001 - 1024)
    assert is_admitted(window, 5001 - 1023 + 1)


def test_a_window_ends_with_the_numbers() -> None:
    window, last = ReplayWindow(), 2**64 - 1
    assert is_admitted(window, 0)
    assert is_admitted(window, last)
    assert is_admitted(window, last - 1023)
    for seq in (0, 1, last - 1024, last - 1023, last):
        assert not window.is_fresh(seq)
        assert not is_admitted(window, seq)
    assert window.highest == last


@pytest.mark.parametrize("seq", [-1, 2**64])
def test_what_is_no_sequence_number_moves_nothing(seq: int) -> None:
    window = ReplayWindow()
    with pytest.raises(OverflowError):
        window.admit(seq)
    with pytest.raises(OverflowError):
        window.is_fresh(seq)
    assert window.highest is None


def test_asking_moves_nothing() -> None:
    window = ReplayWindow()
    assert is_admitted(window, 10)
    assert window.is_fresh(1 << 40)
    assert window.highest == 10
    assert is_admitted(window, 9)


def test_a_window_says_how_far_it_has_come() -> None:
    window = ReplayWindow()
    assert (window.highest, repr(window)) == (None, "ReplayWindow()")
    for seq, highest in [(0, 0), (7, 7), (3, 7), (3, 7), (2000, 2000), (9, 2000)]:
        is_admitted(window, seq)
        assert (window.highest, repr(window)) == (highest, f"ReplayWindow(highest={highest})")


JUMPS = st.lists(st.integers(-1100, 1100) | st.integers(-3000, 3000), max_size=200)


@given(st.integers(0, 2**64 - 1), JUMPS)
def test_a_window_is_what_the_reference_says(start: int, jumps: list[int]) -> None:
    window, expected, seq = ReplayWindow(), Window(), start
    for jump in [0, *jumps]:
        seq = min(max(0, seq + jump), 2**64 - 1)
        fresh = expected.admit(seq)
        assert window.is_fresh(seq) == fresh
        assert is_admitted(window, seq) == fresh


# The table.


def test_two_that_open_a_table_accept_once(tmp_path: Path) -> None:
    one, other = (ReplayWindowTable.open(tmp_path / "windows", capacity=8) for _ in range(2))
    for seq in (5, 3, 2000):
        assert NAME.is_admitted(one, seq)
        assert not NAME.is_admitted(other, seq)
    assert NAME.is_admitted(other, 4000)
    assert not NAME.is_admitted(one, 4000 - WINDOW_LEN)
    assert NAME.is_admitted(one, 4000 - WINDOW_LEN + 1)
    assert len(one) == len(other) == 1
    del one, other
    assert not NAME.is_admitted(ReplayWindowTable.open(tmp_path / "windows", capacity=8), 5)


def test_every_part_of_a_name_counts() -> None:
    table = ReplayWindowTable(100)
    names = [
        NAME,
        replace(NAME, session_id=str(uuid.UUID(int=2))),
        replace(NAME, session_id=str(uuid.UUID(int=1 << 127))),
        replace(NAME, peer_did="did:example:bob"),
        replace(NAME, peer_did=""),
        replace(NAME, direction="s2c"),
        replace(NAME, epoch=1),
        replace(NAME, epoch=2**32 - 1),
        replace(NAME, incarnation=bytes(15) + b"\1"),
        replace(NAME, incarnation=b"\1" + bytes(15)),
    ]
    for expected in (True, False):
        assert all(name.is_admitted(table, 7) is expected for name in names)
    assert len(table) == len(names)


def test_an_incarnation_is_its_bytes_whatever_holds_them() -> None:
    table = ReplayWindowTable(100)
    assert NAME.is_admitted(table, 7)
    for held in (bytearray(16), memoryview(bytes(16))):
        assert not replace(NAME, incarnation=cast("Any", held)).is_admitted(table, 7)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        *(
            (replace(NAME, session_id=bad), "session_id must be lower-case hex, 8-4-4-4-12")
            for bad in ("", "1", str(uuid.UUID(int=10**37)).upper(), uuid.UUID(int=1).hex, "g" * 36)
        ),
        *(
            (replace(NAME, direction=cast("Any", bad)), f"direction must be c2s or s2c, not {bad}")
            for bad in ("", "C2S", "up")
        ),
        *(
            (replace(NAME, incarnation=bytes(bad)), f"incarnation must be 16 bytes long, not {bad}")
            for bad in (0, 15, 17)
        ),
    ],
)
def test_what_is_no_name_is_refused(name: Name, says: str) -> None:
    table = ReplayWindowTable(100)
    with pytest.raises(UsageError, match=says):
        name.admit(table, 0)
    assert len(table) == 0


def test_numbers_beyond_the_budget_are_refused() -> None:
    table = ReplayWindowTable(100)
    assert NAME.is_admitted(table, 0)
    for seq in (SEQ_END, SEQ_END + 1, 2**64 - 1):
        with pytest.raises(UsageError, match=f", {seq}, is beyond the budget"):
            NAME.admit(table, seq)
    assert NAME.is_admitted(table, 1), "nothing has moved"
    assert NAME.is_admitted(table, SEQ_END - 1)
    assert NAME.is_admitted(table, SEQ_END - WINDOW_LEN)
    assert not NAME.is_admitted(table, SEQ_END - WINDOW_LEN - 1)


def test_a_session_ends_once() -> None:
    table = ReplayWindowTable(100)
    assert NAME.is_admitted(table, 0)
    for end_ms in (NOW_MS + HOUR_MS // 2, END_MS + HOUR_MS):
        with pytest.raises(UsageError, match="first used with another expires_ms"):
            NAME.admit(table, 1, end_ms=end_ms)
    assert NAME.is_admitted(table, 1)


def test_a_session_that_is_over_accepts_nothing() -> None:
    table = ReplayWindowTable(100)
    assert NAME.is_admitted(table, 0, now_ms=END_MS - 1)
    for now_ms in (END_MS, END_MS + 1, END_MS + DAY_MS):
        with pytest.raises(ReplayDetectedError, match="time that is over") as refused:
            NAME.admit(table, 1, now_ms=now_ms)
        assert refused.value.code == REPLAYED


def test_a_session_may_not_outlive_the_horizon() -> None:
    table = ReplayWindowTable(100, horizon_ms=HOUR_MS)
    assert NAME.is_admitted(table, 0, end_ms=NOW_MS + HOUR_MS)
    other = replace(NAME, epoch=1)
    with pytest.raises(UsageError, match=rf"for {DAY_MS} ms, .* {HOUR_MS} ms ahead"):
        other.admit(table, 0, end_ms=NOW_MS + DAY_MS)
    assert len(table) == 1


def test_table_ids_name_what_is_remembered(tmp_path: Path) -> None:
    def opened(name: str) -> ReplayWindowTable:
        return ReplayWindowTable.open(tmp_path / name, capacity=8)

    one = opened("one")
    assert isinstance(one.table_id, bytes)
    assert len(one.table_id) == 16
    assert opened("one").table_id == one.table_id
    others = [opened("other"), ReplayWindowTable(8), ReplayWindowTable(8)]
    (tmp_path / "one").unlink()
    others.append(opened("one"))
    assert len({one.table_id, *(other.table_id for other in others)}) == 5


def test_says_since_when_it_has_been_there(tmp_path: Path) -> None:
    path = tmp_path / "windows"
    for now_ms in (NOW_MS, NOW_MS + DAY_MS, NOW_MS - DAY_MS):
        table = ReplayWindowTable.open(path, capacity=8, now_ms=now_ms)
        assert table.remembers_since_ms == NOW_MS
    path.unlink()
    again = ReplayWindowTable.open(path, capacity=8, now_ms=NOW_MS + DAY_MS)
    assert again.remembers_since_ms == NOW_MS + DAY_MS
    assert ReplayWindowTable(8, now_ms=NOW_MS).remembers_since_ms == NOW_MS


def test_a_copy_has_no_window_and_another_id(tmp_path: Path) -> None:
    path, copied = tmp_path / "windows", tmp_path / "copy"
    table = ReplayWindowTable.open(path, capacity=8, now_ms=NOW_MS)
    assert NAME.is_admitted(table, 7)
    shutil.copy(path, copied)
    other = ReplayWindowTable.open(copied, capacity=8, now_ms=NOW_MS + 1)
    assert (len(other), other.remembers_since_ms) == (0, NOW_MS + 1)
    assert other.table_id != table.table_id


def test_a_file_that_is_removed_is_noticed_by_who_still_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "windows"
    table = ReplayWindowTable.open(path, capacity=8, now_ms=NOW_MS)
    assert NAME.is_admitted(table, 7)
    path.unlink()
    with pytest.raises(StorageError, match="removed or replaced"):
        NAME.admit(table, 8, now_ms=NOW_MS + 2000)


def test_a_flood_of_windows_evicts_none() -> None:
    table, names = ReplayWindowTable(8), [replace(NAME, epoch=number) for number in range(500)]
    admitted = [name for name in names if fits(table, name)]
    assert 8 <= len(admitted) < 500
    assert len(table) == len(admitted)
    assert table.statistics().full == 500 - len(admitted)
    for name in admitted:
        assert not name.is_admitted(table, 5)
        assert name.is_admitted(table, 6), "a window that is there goes on"
    full = next(name for name in names if name not in admitted)
    with pytest.raises(CapacityError, match=r"the table is made for 8$"):
        full.admit(table, 5)


def fits(table: ReplayWindowTable, name: Name) -> bool:
    try:
        return name.is_admitted(table, 5)
    except CapacityError:
        return False


def test_a_place_is_taken_over_clean() -> None:
    """Sessions that come after others begin at numbers that were seen in their place."""
    table = ReplayWindowTable(1)
    for day in range(20):
        now_ms = NOW_MS + day * DAY_MS
        name, end_ms = Name(session_id=str(uuid.UUID(int=day))), now_ms + 20 * HOUR_MS
        for seq, expected in [(2000, True), (40, False), (1999, True), (2000, False)]:
            assert name.is_admitted(table, seq, end_ms=end_ms, now_ms=now_ms) is expected
        assert len(table) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1100, 2500)), max_size=200))
def test_a_table_is_a_window_for_each_name(jumps: list[tuple[int, int]]) -> None:
    table = ReplayWindowTable(8)
    names = [replace(NAME, epoch=number) for number in range(3)]
    windows, at = [ReplayWindow() for _ in names], [5000] * 3
    for number, jump in jumps:
        seq = at[number] = max(0, at[number] + jump)
        assert names[number].is_admitted(table, seq) == is_admitted(windows[number], seq)


def test_of_many_threads_one_delivers_each_record() -> None:
    table, count, thread_count = ReplayWindowTable(8), 1000, 4
    started = threading.Barrier(thread_count)
    delivered: list[list[int]] = [[] for _ in range(thread_count)]

    def deliver(mine: list[int], step: int) -> None:
        started.wait()
        mine += [seq for seq in range(count)[::step] if NAME.is_admitted(table, seq)]

    threads = [
        threading.Thread(target=deliver, args=(mine, 1 if at % 2 else -1))
        for at, mine in enumerate(delivered)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seq for mine in delivered for seq in mine) == list(range(count))


def test_statistics_count_windows_and_answers() -> None:
    table = ReplayWindowTable(100)
    for seq in (1, 2, 1):
        NAME.is_admitted(table, seq)
    replace(NAME, epoch=1).is_admitted(table, 1)
    NAME.is_admitted(table, 3, now_ms=END_MS)
    held = table.statistics()
    assert (held.capacity, held.live, held.spent) == (100, 2, 0)
    assert (held.admitted, held.replayed, held.given_up, held.full) == (3, 1, 1, 0)
    [(forgotten_ms, live)] = held.generations
    assert live == 2
    assert forgotten_ms > END_MS


def test_a_table_says_what_it_is(tmp_path: Path) -> None:
    default = ReplayWindowTable()
    assert (default.capacity, default.horizon_ms, default.path) == (65_536, DAY_MS, None)
    assert repr(default) == f"ReplayWindowTable(65536, horizon_ms={DAY_MS})"
    assert bool(default)
    assert len(default) == 0
    path = tmp_path / "windows"
    table = ReplayWindowTable.open(path, capacity=8, horizon_ms=HOUR_MS)
    assert (table.capacity, table.horizon_ms, table.path) == (8, HOUR_MS, path)
    assert repr(table) == f"ReplayWindowTable(8, horizon_ms={HOUR_MS}, path='{path}')"
    with pytest.raises(ConfigurationError, match="capacity 8, not 9"):
        ReplayWindowTable.open(path, capacity=9, horizon_ms=HOUR_MS)


@pytest.mark.parametrize(
    ("capacity", "horizon_ms", "name"),
    [
        (0, DAY_MS, "capacity"),
        (2**32 + 1, DAY_MS, "capacity"),
        (8, 0, "horizon_ms"),
        (8, 31 * DAY_MS + 1, "horizon_ms"),
    ],
)
def test_a_size_out_of_range_is_refused(capacity: int, horizon_ms: int, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be 1 to"):
        ReplayWindowTable(capacity, horizon_ms=horizon_ms)


@pytest.mark.parametrize("windows", [ReplayWindow(), ReplayWindowTable(8)], ids=["one", "table"])
def test_not_pickled_and_not_copied(windows: ReplayWindow | ReplayWindowTable) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(windows, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            copied(windows)
