"""Replay sets in files: one memory for all processes, that outlives them, or a clear refusal."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage_native import (
    ConfigurationError,
    ReplayDetectedError,
    ReplaySet,
    ReplayWindowTable,
    StorageError,
)
from tests.agents import NOW_MS

CAPACITY = 100
HORIZON_MS = 180_000
SOON_MS = NOW_MS + 120_000
# Time enough for a set to look again whether its file is still there.
MOMENT_MS = 2000
ALICE = "did:example:alice"
FIRST_PAGE_LEN = 4096

CHILD = f"""
import sys
from sage_native import ReplayDetectedError, ReplaySet

replays = ReplaySet.open(sys.argv[1], capacity={CAPACITY}, now_ms={NOW_MS})
for nonce in sys.argv[2:]:
    try:
        replays.admit("{ALICE}", nonce.encode(), {SOON_MS}, now_ms={NOW_MS})
    except ReplayDetectedError:
        print("refused", nonce, flush=True)
    else:
        print("admitted", nonce, flush=True)
sys.stdin.read()
"""
# A file may not become longer than the first page: a disk with too little room.
NO_ROOM = f"""
import resource, sys
from sage_native import ReplaySet, StorageError

resource.setrlimit(resource.RLIMIT_FSIZE, ({FIRST_PAGE_LEN}, {FIRST_PAGE_LEN}))
try:
    ReplaySet.open(sys.argv[1], capacity=100_000)
except StorageError as error:
    assert isinstance(error.__cause__, OSError), error.__cause__
    print(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replays"


def opened(path: Path, *, now_ms: int = NOW_MS) -> ReplaySet:
    return ReplaySet.open(path, capacity=CAPACITY, now_ms=now_ms)


def is_admitted(
    replays: ReplaySet, nonce: bytes, until_ms: int = SOON_MS, *, now_ms: int = NOW_MS
) -> bool:
    try:
        replays.admit(ALICE, nonce, until_ms, now_ms=now_ms)
    except ReplayDetectedError:
        return False
    return True


def edit(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


# One memory.


def test_two_that_open_a_file_have_one_memory(path: Path) -> None:
    one = opened(path)
    other = ReplaySet(CAPACITY, path=str(path), now_ms=NOW_MS)
    assert is_admitted(one, b"one")
    assert not is_admitted(other, b"one")
    assert is_admitted(other, b"other")
    assert not is_admitted(one, b"other")
    assert len(one) == len(other) == 2
    assert [one.statistics().admitted, other.statistics().admitted] == [1, 1]


def test_two_files_are_two_memories(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "one"), opened(tmp_path / "other")
    assert is_admitted(one, b"nonce")
    assert is_admitted(other, b"nonce")


def test_outlives_every_object(path: Path) -> None:
    for number in range(5):
        replays = opened(path)
        for earlier in range(number):
            assert not is_admitted(replays, bytes([earlier]))
        assert is_admitted(replays, bytes([number]))
        del replays
        gc.collect()
    assert len(opened(path)) == 5


def test_is_one_file_that_nobody_else_may_open(path: Path) -> None:
    replays = opened(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == replays.statistics().memory_len


def test_says_where_it_lies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replays = opened(path)
    assert replays.path == path
    assert ReplaySet(CAPACITY, path=str(path)).path == path
    assert repr(replays) == f"ReplaySet({CAPACITY}, horizon_ms={HORIZON_MS}, path='{path}')"
    monkeypatch.chdir(path.parent)
    here = ReplaySet.open(path.name, capacity=CAPACITY)
    assert here.path == Path(path.name)
    assert is_admitted(here, b"nonce")
    assert not is_admitted(replays, b"nonce")


def test_many_that_make_a_file_at_once_make_one(tmp_path: Path) -> None:
    thread_count = 8
    for turn in range(10):
        path, started = tmp_path / str(turn), threading.Barrier(thread_count)
        admitted: list[bool] = []

        def present(
            path: Path = path,
            started: threading.Barrier = started,
            admitted: list[bool] = admitted,
        ) -> None:
            started.wait()
            admitted.append(is_admitted(opened(path), b"nonce"))

        threads = [threading.Thread(target=present) for _ in range(thread_count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(admitted) == [False] * 7 + [True]
    assert len(list(tmp_path.iterdir())) == 10


def test_a_process_that_is_killed_leaves_what_it_admitted(path: Path) -> None:
    replays = opened(path)
    assert is_admitted(replays, b"parent")
    command = [sys.executable, "-c", CHILD, str(path), "parent", "child", "child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().decode().rstrip() for _ in range(3)]
        assert said == ["refused parent", "admitted child", "refused child"]
        assert not is_admitted(replays, b"child")
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert not is_admitted(replays, b"child")
    assert not is_admitted(opened(path), b"child")
    assert len(replays) == 2


# Refusals.


@pytest.mark.parametrize("capacity", [1, CAPACITY - 1, CAPACITY + 1, 1_000_000])
def test_another_capacity_is_refused_with_both(path: Path, capacity: int) -> None:
    opened(path)
    says = f"{path} was made with capacity {CAPACITY}, not {capacity}: "
    with pytest.raises(ConfigurationError, match=says):
        ReplaySet.open(path, capacity=capacity)


@pytest.mark.parametrize("horizon_ms", [1, HORIZON_MS - 1, 86_400_000])
def test_another_horizon_is_refused_with_both(path: Path, horizon_ms: int) -> None:
    opened(path)
    says = f"{path} was made with a horizon of {HORIZON_MS} ms, not {horizon_ms}: "
    with pytest.raises(ConfigurationError, match=says):
        ReplaySet.open(path, capacity=CAPACITY, horizon_ms=horizon_ms)


def test_windows_are_no_set(path: Path) -> None:
    ReplayWindowTable.open(path, capacity=CAPACITY, horizon_ms=HORIZON_MS)
    with pytest.raises(ConfigurationError, match="holds replay windows, not a replay set"):
        opened(path)
    path.unlink()
    opened(path)
    with pytest.raises(ConfigurationError, match="holds a replay set, not replay windows"):
        ReplayWindowTable.open(path, capacity=CAPACITY, horizon_ms=HORIZON_MS)


@pytest.mark.parametrize(
    "content", [b"", b"x", bytes(FIRST_PAGE_LEN - 1), bytes(FIRST_PAGE_LEN), b"x" * 100_000]
)
def test_another_file_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"{path} is not a replay table"):
        opened(path)
    assert path.read_bytes() == content


# Bytes of the first page, see the core's `header.rs`.
@pytest.mark.parametrize(
    ("at", "data", "says"),
    [
        (0, b"x", "is not a replay table"),
        (9, b"\x09", "version 9, which this version of the library does not read"),
        (16, b"\x63", "is damaged"),
        (48, b"key", "is damaged"),
        (64, b"sum", "is damaged"),
    ],
    ids=["magic", "version", "capacity", "key", "checksum"],
)
def test_a_damaged_file_is_refused(path: Path, at: int, data: bytes, says: str) -> None:
    assert is_admitted(opened(path), b"nonce")
    edit(path, at, data)
    with pytest.raises(ConfigurationError, match=says):
        opened(path)


def test_a_file_of_another_length_is_refused(path: Path) -> None:
    opened(path)
    file_len = path.stat().st_size
    for other_len in (file_len - 1, file_len + 1, FIRST_PAGE_LEN):
        os.truncate(path, other_len)
        with pytest.raises(ConfigurationError, match=r"another length .* damaged"):
            opened(path)
    os.truncate(path, FIRST_PAGE_LEN - 1)
    with pytest.raises(ConfigurationError, match="too short"):
        opened(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o777])
def test_a_file_that_others_may_open_is_refused(path: Path, mode: int) -> None:
    opened(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"mode {mode:03o}\): chmod 600"):
        opened(path)
    path.chmod(0o600)
    opened(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    opened(path)
    os.chown(path, 65534, -1)
    with pytest.raises(ConfigurationError, match=r"belongs to user 65534, .* runs as 0"):
        opened(path)


def test_a_symbolic_link_is_refused(path: Path) -> None:
    opened(path)
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(ConfigurationError, match=f"{link} is a symbolic link"):
        opened(link)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{link} is a symbolic link"):
        opened(link)
    assert not path.exists()


def test_what_is_no_regular_file_is_refused(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        opened(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError) as refused:
        opened(path)
    assert isinstance(refused.value.__cause__, IsADirectoryError)


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(StorageError, match=str(missing)) as refused:
        opened(missing / "replays")
    assert isinstance(refused.value.__cause__, FileNotFoundError)
    assert not missing.exists()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """They could put another file in the place of this one. Not where the sticky bit is set."""
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"{directory} .*\(mode {mode:04o}\).*chmod go-w"):
        opened(directory / "replays")
    assert not list(directory.iterdir())
    directory.chmod(mode | 0o1000)
    opened(directory / "replays")


def test_what_has_no_room_is_not_half_made(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("cannot reserve ")
    assert not list(path.parent.iterdir())


# Lost, copied, restored.


def test_a_file_that_is_removed_is_noticed_by_who_still_uses_it(path: Path) -> None:
    replays = opened(path)
    assert is_admitted(replays, b"before")
    path.unlink()
    later_ms = NOW_MS + MOMENT_MS
    for _ in range(3):
        with pytest.raises(StorageError, match="removed or replaced"):
            replays.admit(ALICE, b"after", SOON_MS, now_ms=later_ms)
        with pytest.raises(StorageError, match="removed or replaced"):
            replays.admit_many(ALICE, [b"one", b"two"], SOON_MS, now_ms=later_ms)
    assert len(replays) == 1
    again = opened(path, now_ms=later_ms)
    assert not again.is_complete(now_ms=later_ms)
    assert is_admitted(again, b"after", now_ms=later_ms)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_file_that_is_replaced_is_noticed_by_who_still_uses_it(
    path: Path,
    is_kept: bool,  # noqa: FBT001 - drawn
) -> None:
    replays = opened(path)
    assert is_admitted(replays, b"before")
    if is_kept:
        path.rename(path.with_name("kept"))
    another = path.with_name("another")
    opened(another)
    another.rename(path)
    with pytest.raises(StorageError, match="removed or replaced"):
        replays.admit(ALICE, b"after", SOON_MS, now_ms=NOW_MS + MOMENT_MS)


def test_a_file_that_comes_back_is_used_again(path: Path) -> None:
    replays, elsewhere = opened(path), path.with_name("elsewhere")
    assert is_admitted(replays, b"before")
    path.rename(elsewhere)
    later_ms = NOW_MS + MOMENT_MS
    with pytest.raises(StorageError, match="removed or replaced"):
        replays.admit(ALICE, b"after", SOON_MS, now_ms=later_ms)
    elsewhere.rename(path)
    assert not is_admitted(replays, b"before", now_ms=later_ms)
    assert is_admitted(replays, b"after", now_ms=later_ms)


def test_a_directory_that_one_leaves_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    replays = ReplaySet.open(path.name, capacity=CAPACITY, now_ms=NOW_MS)
    monkeypatch.chdir("/")
    assert is_admitted(replays, b"nonce", now_ms=NOW_MS + MOMENT_MS)


def test_is_complete_when_all_that_came_before_is_over(path: Path) -> None:
    replays = opened(path)
    assert replays.remembers_since_ms == NOW_MS
    for later_ms in (0, 1, 60_000, HORIZON_MS):
        assert not replays.is_complete(now_ms=NOW_MS + later_ms)
    for later_ms in (HORIZON_MS + MOMENT_MS, 10 * HORIZON_MS):
        assert replays.is_complete(now_ms=NOW_MS + later_ms)
    assert not replays.is_complete(now_ms=NOW_MS), "a clock that runs back"
    # Opening it again is no new beginning.
    later = opened(path, now_ms=NOW_MS + 10 * HORIZON_MS)
    assert later.remembers_since_ms == NOW_MS
    assert later.is_complete(now_ms=NOW_MS + 10 * HORIZON_MS)


def test_is_not_complete_at_once_by_the_clocks_of_the_machine(path: Path) -> None:
    for _ in range(2):
        assert not ReplaySet.open(path, capacity=CAPACITY).is_complete()


def test_a_copy_says_that_something_may_be_missing(path: Path) -> None:
    replays = opened(path)
    assert is_admitted(replays, b"before")
    copy, later_ms = path.with_name("copy"), NOW_MS + 50_000
    shutil.copy(path, copy)
    copied = opened(copy, now_ms=later_ms)
    assert copied.remembers_since_ms == later_ms
    assert not copied.is_complete(now_ms=later_ms + HORIZON_MS)
    assert copied.is_complete(now_ms=later_ms + HORIZON_MS + MOMENT_MS)
    assert not is_admitted(copied, b"before", now_ms=later_ms), "what it has is not forgotten"
    assert replays.remembers_since_ms == NOW_MS
    assert opened(copy, now_ms=later_ms + 1).remembers_since_ms == later_ms
