"""Where the workers of one gateway write their metrics, so that one process can serve them all.

Each supervisor has a directory of its own below ``state_dir/metrics``, and holds a lock in it while
it runs. What a supervisor left behind that was killed is deleted by the next one. Workers have
places, not process ids: one that replaces another goes on with its files, so that no counter falls
and no files pile up.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Final

from sage_native.exceptions import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native.gateway.state import StateDirectory

__all__ = ["PLACE_VARIABLE", "MetricFiles"]

PLACE_VARIABLE: Final = "SAGE_NATIVE_PLACE"
"""In the environment of a worker: its place, such as ``public0``."""
_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
_logger = logging.getLogger("sage_native.gateway")


class MetricFiles:
    """The files of one supervisor's workers.

    Args:
        state: Where they are; those of supervisors that ended are deleted.

    Raises:
        StorageError: They cannot be made: the disk is full, or not to be written.
    """

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        above = state.path / "metrics"
        # By no process id: supervisors in containers may share the directory and the number.
        self.path = above / secrets.token_hex(8)
        self._lock_fd: int | None = None
        try:
            above.mkdir(mode=0o700, exist_ok=True)
            with state.locked():
                for left in above.iterdir():
                    _delete_unused(left)
                self._make()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be made: {error.strerror}") from error

    def environment(self, place: str) -> dict[str, str]:
        """Return what a worker at this place is told.

        If somebody has removed the directory it is made again, since no worker starts without it.
        """
        if not self.path.is_dir():
            _logger.error("%s was removed: counters of running workers are lost", self.path)
            with contextlib.suppress(OSError), self._state.locked():
                self._make()
        return {_DIRECTORY: str(self.path), PLACE_VARIABLE: place}

    def ended(self, place: str) -> None:
        """Forget what the worker of a place has now; what it has counted stays."""
        for file in self.path.glob(f"gauge_live*_{place}.db"):
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all. Idempotent."""
        if self._lock_fd is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock_fd)
            self._lock_fd = None

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        former, self._lock_fd = self._lock_fd, _locked(self.path)
        if former is not None:
            os.close(former)


def _locked(directory: Path) -> int | None:
    """Lock a directory; None if somebody holds it."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _delete_unused(directory: Path) -> None:
    held = _locked(directory)
    if held is not None:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(held)
