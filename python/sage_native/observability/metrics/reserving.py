"""Room on the disk for what processes share, before it is written.

The files of prometheus_client are mapped into memory and begin as holes. Writing into a hole of a
disk that is full ends the process (``SIGBUS``), so that a full disk would kill worker after worker.
What was reserved is written whatever else fills the disk; what cannot be reserved is an error like
others.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["reserve"]

FIRST_LEN: Final = 65_536
"""Bytes of a new file; it is doubled when it is full, as prometheus_client does it."""
_VALUE_LEN: Final = 16  # the number, and its time
_HEADER: Final = struct.Struct("i")  # how many bytes are used, in the order of this machine
_UNABLE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def reserve(path: Path, keys: Iterable[str]) -> None:
    """See that a file has room for numbers that are not in it yet.

    Args:
        path: The file; it is made if it is not there.
        keys: Under which they will stand, fewer than fill a new file.

    Raises:
        OSError: The disk is full, or the file cannot be written.

    Cost: 10 µs, and the system's time when it grows.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    if not path.exists():
        _make(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        held_len = os.fstat(descriptor).st_size
        used_len = _HEADER.unpack(os.pread(descriptor, 4, 0))[0] if held_len else 0
        # Doubled once at most, which is more than is wanted: its owner maps no more than that.
        room_len = held_len or FIRST_LEN
        if used_len + sum(map(_len_in_file, keys)) > room_len:
            room_len *= 2
        if room_len > held_len:
            _allocate(descriptor, room_len)
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    """Make a file with room, or none: an empty one would fail whoever reads them all."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _allocate(descriptor, FIRST_LEN)
        os.ftruncate(descriptor, FIRST_LEN)  # where nothing can be reserved
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, length: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        if error.errno not in _UNABLE:  # then it stays as it was, and grows as holes
            raise


def _len_in_file(key: str) -> int:
    key_len = len(key.encode())
    return 4 + key_len + (8 - (key_len + 4) % 8) + _VALUE_LEN
