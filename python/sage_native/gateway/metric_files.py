"""Where the workers of one gateway write their metrics, so that one process can serve them all.

Each supervisor has a directory of its own below ``state_dir/metrics``, and holds a lock in it while
it runs. What a supervisor left behind that was killed is deleted by the next one. Workers have
places, not process ids: one that replaces another goes on with its files, so that no counter falls
and no files pile up.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native.gateway.state import StateDirectory

__all__ = ["PLACE_VARIABLE", "MetricFiles"]

PLACE_VARIABLE: Final = "SAGE_NATIVE_PLACE"
"""In the environment of a worker: its place, such as ``public0``."""
_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"


class MetricFiles:
    """The files of one supervisor's workers.

    Args:
        state: Where they are; those of supervisors that ended are deleted.
    """

    def __init__(self, state: StateDirectory) -> None:
        above = state.path / "metrics"
        above.mkdir(mode=0o700, exist_ok=True)
        with state.locked():
            for left in above.iterdir():
                _delete_unused(left)
            # By no process id: supervisors in containers may share the directory and the number.
            self.path = above / secrets.token_hex(8)
            self.path.mkdir(mode=0o700)
            self._lock_fd = _locked(self.path)

    def environment(self, place: str) -> dict[str, str]:
        """Return what a worker at this place is told."""
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
