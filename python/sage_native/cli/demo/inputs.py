"""The files to send, looked at before anything starts."""

from __future__ import annotations

import importlib.util
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.cli import files
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Source", "check", "default"]


@dataclass(frozen=True)
class Source:
    """A file that can be sent."""

    path: Path
    size: int


def check(paths: Iterable[Path]) -> list[Source]:
    """Return the files, if every one of them can be sent.

    Raises:
        UsageError: One is missing, no regular file, empty, or may not be read.
    """
    return [_check(path) for path in paths]


def default() -> Path:
    """Return the file to send when none is named: this package's own native library."""
    spec = importlib.util.find_spec("sage_native._native")
    if spec is None or spec.origin is None:  # pragma: no cover - it is imported by now
        raise UsageError("the native library has no file here; name a file to send")
    return Path(spec.origin)


def _check(path: Path) -> Source:
    if files.is_stdio(path):
        raise UsageError("demo sends files, not standard input; name a file")
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"'{path}' is a directory; name the files in it, such as {path}/*")
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"'{path}' is a device, pipe or socket; name a regular file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise files.unreadable(path, "file", error) from error
    if status.st_size == 0:
        raise UsageError(f"file '{path}' is empty: there is nothing to send; name another")
    return Source(path, status.st_size)
