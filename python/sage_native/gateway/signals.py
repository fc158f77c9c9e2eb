"""What a supervisor waits for, without looking all the time.

It is told to stop, or a process that it has started has ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

__all__ = ["Signals"]

_STOPS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """The signals of this process, while it is entered; in its main thread.

    Attributes:
        is_told: Whether SIGTERM or SIGINT has come.
    """

    def __init__(self) -> None:
        self.is_told = False

    def __enter__(self) -> Self:
        # The interpreter writes a byte for each signal: one that comes just before a wait ends it.
        self._woken_fd, self._waking_fd = os.pipe()
        for descriptor in (self._woken_fd, self._waking_fd):
            os.set_blocking(descriptor, False)
        self._waking_fd_before = signal.set_wakeup_fd(self._waking_fd, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._tell) for number in _STOPS}
        # Ignored, as by default, its end would wake nobody.
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._waking_fd_before)
        os.close(self._woken_fd)
        os.close(self._waking_fd)

    def wait(self, timeout_s: float | None = None, *, readable: int | None = None) -> bool:
        """Wait until a signal comes or a file can be read, for so long at most.

        Args:
            timeout_s: In seconds; for ever if it is None.
            readable: The descriptor of the file.

        Returns:
            Whether the file can be read.
        """
        files = [self._woken_fd] if readable is None else [self._woken_fd, readable]
        found, _, _ = select.select(files, (), (), timeout_s)
        if self._woken_fd in found:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._woken_fd, 256):
                    pass
        return readable in found

    def pause(self, pause_s: float) -> bool:
        """Wait so many seconds, unless this process is told to stop; return whether it is."""
        end_s = time.monotonic() + pause_s
        while not self.is_told and (left_s := end_s - time.monotonic()) > 0:
            self.wait(left_s)
        return self.is_told

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.is_told = True
