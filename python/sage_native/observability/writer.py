"""Lines on their way out: a bounded queue, and a thread that writes.

::

    loop, threads ──append──▶ queue ──up to 100 ms─▶ thread ──write──▶ file, pipe, terminal

Whoever logs never waits for a disk or for the reader of a pipe. When the queue is full lines are
dropped and counted, and the first line that gets through again says how many. A file is opened
anew when it was renamed or removed, so that no signal is needed after logs were rotated. Batches
end at the end of a line and are written to the end of the file, so that several processes can share
one.

The thread is woken when nothing waited, and then waits for what else comes, if that was little: in
a busy process it wakes ten times a second and not for each line, and whenever half of the queue has
filled. Whenever it wakes, and after each call of the system, it takes the interpreter lock from
those who answer requests. So it sleeps on as long as there was something each time, and until it is
woken once there was nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LineWriter", "dropped_count"]

QUEUE_LEN: Final = 8192
"""Lines that may wait."""
GATHER_S: Final = 0.01
"""How long the first line after a pause waits for others."""
BUSY_GATHER_S: Final = 0.1
"""How long lines wait for others while there are some all the time."""
MANY_COUNT: Final = 64
"""So many lines do not wait for others after a pause."""
IDLE_S: Final = 5.0
"""When the thread looks unasked: who appends may be interrupted before it has woken the thread."""
MAX_VAIN_COUNT: Final = 20
"""How often the thread looks for lines that were counted and do not come."""
CLOSE_S: Final = 2.0
"""How long `LineWriter.close` waits for a reader that takes nothing."""
_BATCH_LEN = 256
_STREAMS = {"stdout": 1, "stderr": 2}


class LineWriter:
    """Writes lines to a file, or to a stream of this process.

    Args:
        output: ``stderr``, ``stdout``, or the path of a file; that is made with mode 0600.
        say_lost: Makes the line that says how many were dropped.
        queue_len: How many lines may wait.
        is_synced: Bring each batch to the disk before the next.

    Attributes:
        dropped_count: Lines that were dropped since the start.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(
        self,
        output: str,
        *,
        say_lost: Callable[[int], bytes],
        queue_len: int = QUEUE_LEN,
        is_synced: bool = False,
    ) -> None:
        self._stream_fd = _STREAMS.get(output)
        self._path = None if self._stream_fd is not None else Path(output)
        self._say_lost = say_lost
        self._queue_len = queue_len
        self._half_len = max(1, queue_len // 2)
        self._is_synced = is_synced
        # Each with how many lines it is.
        self._queue: deque[tuple[bytes, int]] = deque()
        self._counting = threading.Lock()
        self._waiting_count = 0
        self.dropped_count = 0
        self._said_count = 0
        self._is_torn = False
        self._descriptor = -1 if self._stream_fd is None else self._stream_fd
        self._identity: tuple[int, int] | None = None
        self._reopen_if_moved()
        self._begin()
        _writers.add(self)

    def append(self, line: bytes) -> None:
        """Have a line written, without its newline. It never waits, and never raises.

        Cost: 0.2 µs; 2 µs for the first after a pause.
        """
        self.append_many(((line, 1),))

    def append_many(self, pieces: Sequence[tuple[bytes, int]]) -> None:
        """Have many lines written, or none of them; cost and rest as ``append``.

        Args:
            pieces: Some lines each, with a newline between two of them, and how many there are.
        """
        count = sum([lines for _, lines in pieces])
        with self._counting:
            if self._waiting_count >= self._queue_len:
                self.dropped_count += count
                return
            waited_count = self._waiting_count
            self._waiting_count += count
        self._queue.extend(pieces)
        if waited_count < self._half_len <= waited_count + count:
            self._hurries.set()
        # While something waits, the thread looks again by itself: at what it counts, not at the
        # queue, into which this thread may not have come yet.
        if waited_count <= 0 or self._thread is None:
            self._wake()

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was appended before is written; return whether it was."""
        deadline_s = time.monotonic() + timeout_s
        while self._queue:
            self._hurries.set()
            self._wake()
            if time.monotonic() >= deadline_s or self._is_over:
                return False
            time.sleep(0.001)
        return True

    def close(self) -> None:
        """Write what waits, for two seconds at most, and let the file go."""
        self.flush()
        self._is_over = True
        self._hurries.set()
        self._wanted.set()
        thread = self._thread
        if thread is not None:
            thread.join(CLOSE_S)
        if self._path is not None and self._descriptor >= 0 and not (thread and thread.is_alive()):
            os.close(self._descriptor)
            self._descriptor = -1
        _writers.discard(self)

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wanted = threading.Event()
        self._hurries = threading.Event()
        self._is_over = False

    def _wake(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._is_over:
                    thread = threading.Thread(target=self._run, name="log lines", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError:  # the system has no more: the next line tries again
                        return
                    self._thread = thread
        self._wanted.set()

    def _run(self) -> None:
        while not self._is_over:
            self._wanted.wait(IDLE_S)
            self._wanted.clear()
            if 0 < self._waiting_count < MANY_COUNT:
                self._gather(GATHER_S)
            vain_count = 0
            while (self._queue or self._waiting_count > 0) and not self._is_over:
                vain_count = 0 if self._queue else vain_count + 1
                if vain_count > MAX_VAIN_COUNT:
                    self._recount()
                    break
                self._drain()
                self._gather(BUSY_GATHER_S)

    def _recount(self) -> None:
        """Forget what was counted and did not come: something was raised where it was appended."""
        with self._counting:
            if not self._queue:
                self._waiting_count = 0

    def _gather(self, wait_s: float) -> None:
        """Wait for more lines, unless somebody waits for those that are there."""
        self._hurries.wait(wait_s)
        self._hurries.clear()

    def _drain(self) -> None:
        queue = self._queue
        while queue and not self._is_over:
            # Each time: the queue of one that is busy on a slow disk may not be empty for long.
            self._reopen_if_moved()
            # They are in the queue until they are written: its length is the bound.
            batch = [queue[at] for at in range(min(len(queue), _BATCH_LEN))]
            count = sum(lines for _, lines in batch)
            lost = self.dropped_count - self._said_count
            said = [self._say_lost(lost)] if lost else []
            lines = [*(text for text, _ in batch), *said]
            written_count = self._write(lines, count + len(said))
            if written_count == count + len(said):  # that lines were lost is said
                self._said_count += lost
            for _ in batch:
                queue.popleft()
            with self._counting:
                self._waiting_count -= count
                self.dropped_count += max(0, count - written_count)

    def _write(self, lines: list[bytes], count: int) -> int:
        """Write so many lines; return how many were, in whole: all, unless the system refuses."""
        # What is there of a line must not be the beginning of the next.
        pieces = [b"\n"] if self._is_torn else []
        for line in lines:
            pieces += (line, b"\n")
        done_len, text_len = 0, sum(map(len, pieces))
        while done_len < text_len:
            try:
                done_len += self._write_from(pieces, done_len)
            except BlockingIOError:
                select.select((), (self._descriptor,), (), 1.0)
                if self._is_over:
                    break
            except OSError:  # a full disk, a pipe without reader
                break
        whole_count = count
        if done_len == text_len:
            self._is_torn = False
        elif not done_len:
            whole_count = 0
        else:
            done = b"".join(pieces)[:done_len]
            whole_count = done.count(b"\n") - self._is_torn
            self._is_torn = not done.endswith(b"\n")
        if self._is_synced:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
        return whole_count

    def _write_from(self, pieces: list[bytes], done_len: int) -> int:
        """Write what is not done yet; return how much the system took of it."""
        if not done_len:  # as nearly always: all at once, and nothing is copied
            return os.writev(self._descriptor, pieces)
        return os.write(self._descriptor, memoryview(b"".join(pieces))[done_len:])

    def _reopen_if_moved(self) -> None:
        if self._path is None:
            return
        try:
            found = os.stat(self._path)  # noqa: PTH116 - a third of the time, for each batch
            if (found.st_dev, found.st_ino) == self._identity:
                return
        except OSError:
            pass
        try:
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            if self._descriptor < 0:
                raise
            return  # the one that is open is better than none
        opened = os.fstat(descriptor)
        self._identity = (opened.st_dev, opened.st_ino)
        former, self._descriptor = self._descriptor, descriptor
        self._is_torn = False
        if former >= 0:
            os.close(former)

    def _forked(self) -> None:
        """In a child: what waits is the parent's to write, and its thread stayed there."""
        self._queue.clear()
        self._counting = threading.Lock()
        self._waiting_count = 0
        self._begin()


_writers: weakref.WeakSet[LineWriter] = weakref.WeakSet()


def dropped_count() -> int:
    """Return how many lines the open writers of this process have dropped."""
    return sum(writer.dropped_count for writer in list(_writers))


def _flush_all() -> None:
    for writer in list(_writers):
        writer.flush()


def _after_fork() -> None:
    for writer in list(_writers):
        writer._forked()  # noqa: SLF001 - of this module


atexit.register(_flush_all)
os.register_at_fork(after_in_child=_after_fork)
