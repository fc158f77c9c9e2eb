"""Lines on their way out: whole, in order, never waited for, and counted when they are lost."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from sage_native.observability import writer
from sage_native.observability.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def lost(count: int) -> bytes:
    return b"lost %d" % count


def until(holds: Callable[..., object], *of: object) -> None:
    deadline_s = time.monotonic() + 30
    while not holds(*of):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def noting_gathers(lines: LineWriter, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return for how long the thread was to wait for others, each time, as it begins to."""
    gather, waits_s = lines._gather, []

    def noted(wait_s: float) -> None:
        waits_s.append(wait_s)
        gather(wait_s)

    monkeypatch.setattr(lines, "_gather", noted)
    return waits_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def lines(path: Path) -> Iterator[LineWriter]:
    lines = LineWriter(str(path), say_lost=lost)
    yield lines
    lines.close()


def test_lines_are_written_in_order(lines: LineWriter, path: Path) -> None:
    expected = [b"line %d" % number for number in range(2000)]
    for line in expected:
        lines.append(line)
    assert lines.flush()
    assert path.read_bytes().splitlines() == expected
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_come_without_a_flush(lines: LineWriter, path: Path) -> None:
    for number in range(3):
        lines.append(b"line")
        until(lambda before: path.read_bytes().count(b"\n") > before, number)


def test_a_thread_that_cannot_be_started_is_started_later(
    lines: LineWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        lines.append(b"first")
        assert not lines.flush(0.01)
        assert path.read_bytes() == b""
    lines.append(b"second")
    assert lines.flush()
    assert path.read_bytes() == b"first\nsecond\n"


def test_many_threads_lose_nothing(lines: LineWriter, path: Path) -> None:
    def write(name: int) -> None:
        for number in range(500):
            lines.append(b"%d %d" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines.flush(30)
    found = [tuple(map(int, line.split())) for line in path.read_bytes().splitlines()]
    assert len(found) == 4000
    for name in range(8):
        assert [number for of, number in found if of == name] == list(range(500))


def test_lines_whose_appending_was_interrupted_hold_up_no_others(
    lines: LineWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal whose handler raises: before the line was queued, or before the thread woke."""
    monkeypatch.setattr(writer, "IDLE_S", 0.01)
    monkeypatch.setattr(writer, "BUSY_GATHER_S", 0.001)
    lines.append(b"first")
    assert lines.flush()

    class Interrupting(deque[tuple[bytes, int]]):
        def extend(self, _pieces: object) -> None:
            raise KeyboardInterrupt

    def interrupt() -> None:
        raise KeyboardInterrupt

    for name, broken in (("_queue", Interrupting()), ("_wake", interrupt)):
        with monkeypatch.context() as patch:
            patch.setattr(lines, name, broken)
            with pytest.raises(KeyboardInterrupt):
                lines.append(b"interrupted")
        lines._wanted.set()  # the thread may still wait as long as usual
        until(lambda: not lines._waiting_count)
    lines.append(b"last")
    until(lambda: path.read_bytes().endswith(b"last\n"))
    assert path.read_bytes() == b"first\ninterrupted\nlast\n"


def test_half_a_queue_does_not_wait_for_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BUSY_GATHER_S", 3600.0)
    lines = LineWriter(str(path), say_lost=lost, queue_len=100)
    waits_s = noting_gathers(lines, monkeypatch)
    lines.append(b"first")
    until(lambda: writer.BUSY_GATHER_S in waits_s)
    for _ in range(49):
        lines.append(b"more")
    assert path.read_bytes() == b"first\n"
    lines.append(b"half")
    until(lambda: path.read_bytes() == b"first\n" + 49 * b"more\n" + b"half\n")
    lines.close()


def test_half_a_queue_at_once_does_not_wait_either(
    lines: LineWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATHER_S", "BUSY_GATHER_S"):
        monkeypatch.setattr(writer, name, 3600.0)
    waits_s = noting_gathers(lines, monkeypatch)
    lines.append_many([(b"\n".join([b"first"] * writer.MANY_COUNT), writer.MANY_COUNT)])
    until(lambda: waits_s)
    count = writer.QUEUE_LEN // 2
    lines.append_many([(b"\n".join([b"line"] * count), count)])
    until(lambda: path.read_bytes().endswith(b"line\n"))


def test_many_lines_after_a_pause_do_not_wait(
    lines: LineWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER_S", 3600.0)
    lines.append_many([(b"\n".join([b"line"] * writer.MANY_COUNT), writer.MANY_COUNT)])
    until(lambda: path.read_bytes() == writer.MANY_COUNT * b"line\n")


def test_a_moved_file_is_opened_anew(lines: LineWriter, path: Path, tmp_path: Path) -> None:
    lines.append(b"before")
    assert lines.flush()
    path.rename(tmp_path / "log.1")
    lines.append(b"after")
    assert lines.flush()
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == b"after\n"
    path.unlink()
    lines.append(b"at last")
    assert lines.flush()
    assert path.read_bytes() == b"at last\n"


def test_a_file_that_cannot_be_made_anew_is_kept(
    lines: LineWriter, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    path.rename(moved)

    def refuse(*_: object) -> int:
        raise OSError(30, "read-only")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        lines.append(b"kept")
        assert lines.flush()
    assert moved.read_bytes() == b"kept\n"


def test_two_writers_share_a_file(path: Path) -> None:
    writers = [LineWriter(str(path), say_lost=lost) for _ in range(2)]
    for number in range(1000):
        for name, one in enumerate(writers):
            one.append(b"%d %d %s" % (name, number, b"x" * 200))
    for one in writers:
        assert one.flush(30)
        one.close()
    found = [line.split() for line in path.read_bytes().splitlines()]
    assert len(found) == 2000
    assert all(len(line) == 3 and len(line[2]) == 200 for line in found)


def test_a_reader_that_takes_nothing_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setitem(writer._STREAMS, "stderr", writing)
    lines = LineWriter("stderr", say_lost=lost, queue_len=100)
    taken: list[bytes] = []
    try:
        # The pipe takes a few of these, the queue a hundred.
        for _ in range(2000):
            lines.append(b"x" * 4096)
        assert lines.dropped_count > 1000
        assert not lines.flush(0.05)

        def read() -> None:
            while chunk := os.read(reading, 1 << 16):
                taken.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        assert lines.flush(30)
        lines.append(b"goes on")
        assert lines.flush(30)
        lines.close()
        os.close(writing)
        reader.join()
    finally:
        os.close(reading)
    found = b"".join(taken).splitlines()
    told = [int(line.split()[1]) for line in found if line.startswith(b"lost ")]
    assert sum(told) == lines.dropped_count
    assert found.count(b"x" * 4096) == 2000 - lines.dropped_count
    assert b"goes on" in found


def test_a_closed_pipe_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setitem(writer._STREAMS, "stdout", writing)
    os.close(reading)
    lines = LineWriter("stdout", say_lost=lost)
    before = writer.dropped_count()
    lines.append(b"nobody reads")
    assert lines.flush()
    assert writer.dropped_count() == before + 1
    lines.close()
    os.close(writing)
    assert lines.dropped_count == 1


def write_by(monkeypatch: pytest.MonkeyPatch, write: Callable[[int, memoryview], int]) -> None:
    """Have all writing done by one function, whichever call of the system it was meant for."""
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(
        os, "writev", lambda descriptor, pieces: write(descriptor, memoryview(b"".join(pieces)))
    )


def test_a_disk_that_is_full_tears_no_line_and_the_loss_is_told_truly(
    lines: LineWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, room_len = os.write, 10

    def write(descriptor: int, text: memoryview) -> int:
        nonlocal room_len
        if not room_len:
            raise OSError(errno.ENOSPC, "No space left on device")
        written_len = really(descriptor, text[:room_len])
        room_len -= written_len
        return written_len

    write_by(monkeypatch, write)
    for number in range(5):
        lines.append(b"first %d" % number)
    assert lines.flush()
    assert path.read_bytes() == b"first 0\nfi"
    for number in range(3):  # in batches of their own, which do not get through either
        lines.append(b"second %d" % number)
        assert lines.flush()
        assert lines.dropped_count == 5 + number
    room_len = 1_000_000
    lines.append(b"third")
    assert lines.flush()
    assert path.read_bytes() == b"first 0\nfi\nthird\nlost 7\n"
    lines.append(b"fourth")
    assert lines.flush()
    assert path.read_bytes().endswith(b"lost 7\nfourth\n"), "it is told once"
    assert lines.dropped_count == 7


def test_a_file_that_is_moved_while_the_queue_is_never_empty_is_opened_anew(
    lines: LineWriter, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, moved = os.write, tmp_path / "moved"

    def write(descriptor: int, text: memoryview) -> int:
        if not moved.exists():
            path.rename(moved)
        return really(descriptor, text)

    write_by(monkeypatch, write)
    for _ in range(1000):
        lines.append(b"line")
    assert lines.flush()
    moved_count, count = (one.read_bytes().count(b"\n") for one in (moved, path))
    assert moved_count + count == 1000
    assert count >= 1000 - 2 * 256


def test_a_slow_reader_of_a_pipe_that_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    monkeypatch.setitem(writer._STREAMS, "stdout", writing)
    lines = LineWriter("stdout", say_lost=lost)
    for _ in range(100):
        lines.append(b"x" * 4096)
    taken = b""
    while len(taken) < 100 * 4097:
        taken += os.read(reading, 1 << 16)
    assert taken == (b"x" * 4096 + b"\n") * 100
    lines.close()
    for descriptor in (reading, writing):
        os.close(descriptor)
    assert lines.dropped_count == 0


def test_what_is_synced_is_brought_to_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.stat().st_size))
    lines = LineWriter(str(path), say_lost=lost, is_synced=True)
    lines.append(b"one")
    lines.append(b"two")
    assert lines.flush()
    lines.close()
    assert synced == [8], "once for those that came together"


def test_a_forked_child_writes_its_own_lines_and_no_other(lines: LineWriter, path: Path) -> None:
    lines.append(b"of the parent")
    child = os.fork()
    if not child:
        lines.append(b"of the child")
        os._exit(0 if lines.flush() else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert lines.flush()
    assert sorted(path.read_bytes().splitlines()) == [b"of the child", b"of the parent"]


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        LineWriter(str(tmp_path / "none" / "log"), say_lost=lost)


def test_closing_twice_and_writing_after_it_does_nothing(lines: LineWriter, path: Path) -> None:
    lines.append(b"last")
    lines.close()
    lines.close()
    lines.append(b"too late")
    assert path.read_bytes() == b"last\n"
