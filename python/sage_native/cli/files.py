"""Reading and writing files so that a refusal names the file, the reason and the way out."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_MESSAGE_LEN",
    "STDIO_MARK",
    "describe",
    "is_stdio",
    "one_stdin",
    "read",
    "refuse_existing",
    "unreadable",
    "write_private",
    "write_public",
]

# 32 or 64 bytes, in base64 or in hex.
_MAY_BE_A_KEY = re.compile(
    r"[A-Za-z0-9+/_-]{43}=?|[A-Za-z0-9+/_-]{86}(?:==)?|(?:[0-9A-Fa-f]{64}){1,2}"
)
STDIO_MARK = "\0"
"""What ``-`` becomes before parsing: no argument and no path can hold it, and no parser takes it
for an option."""
MAX_MESSAGE_LEN = 1 << 30
"""The longest message that is signed or verified, in bytes."""


def is_stdio(path: Path) -> bool:
    """Return whether the user wrote ``-``."""
    return str(path) == STDIO_MARK


def describe(what: str, path: Path) -> str:
    """Return how an error names a file, such as ``key file 'agent.key'``."""
    return f"{what} on standard input" if is_stdio(path) else f"{what} '{path}'"


def one_stdin(*paths: Path | None) -> None:
    """Raise UsageError if more than one of the files to read is standard input."""
    if sum(path is not None and is_stdio(path) for path in paths) > 1:
        raise UsageError("standard input is asked for twice; put one of the two into a file")


def read(path: Path, what: str, *, max_len: int) -> bytes:
    """Read a whole file, or standard input for ``-``.

    The bytes are copied, never mapped: Ed25519 reads a message twice, and a message that changes
    in between gives the signing key away.

    Args:
        path: The file.
        what: What it is to the user, for errors, such as ``"key file"``.
        max_len: The most bytes it may hold.

    Raises:
        UsageError: It cannot be read, or is longer.
    """
    if is_stdio(path):
        data = sys.stdin.buffer.read(max_len + 1)
    else:
        try:
            with path.open("rb") as file:
                data = file.read(max_len + 1)
        except OSError as error:
            raise unreadable(path, what, error) from error
    if len(data) > max_len:
        raise UsageError(
            f"{describe(what, path)} is longer than {_size(max_len)}, the most that is read"
        )
    return data


def unreadable(path: Path, what: str, error: OSError) -> UsageError:
    """Return the error that says why a file cannot be read, and what to do."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            reason = f"does not exist; check the path (relative to {Path.cwd()})"
        case errno.EISDIR:
            reason = "is a directory; name a file in it"
        case errno.EACCES | errno.EPERM:
            reason = f"may not be read by user {os.geteuid()}; change its permissions or the user"
        case _:
            reason = f"cannot be read: {error.strerror}"
    if _MAY_BE_A_KEY.fullmatch(str(path)):
        # Whoever gives a key where a file is wanted must not find it in a log.
        return UsageError(f"{what}: a file is wanted, and what was given may be a key; it {reason}")
    return UsageError(f"{what} '{path}' {reason}")


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raise UsageError if one of these files exists; nothing was written then."""
    for path in paths:
        if os.path.lexists(path):
            raise _exists(path)


def write_private(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that its owner alone may read, mode 0600. Fails as ``write_public``."""
    _write(path, data, mode=0o600, force=force)


def write_public(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file with the usual permissions.

    Args:
        path: The file.
        data: What it shall hold.
        force: Replace an existing file, atomically; without it, one is never touched.

    Raises:
        UsageError: It exists and ``force`` is off, or it cannot be written.
    """
    _write(path, data, mode=0o666, force=force)


def _write(path: Path, data: bytes, *, mode: int, force: bool) -> None:
    if not path.name:
        raise UsageError(f"'{path}' is a directory; name a file in it")
    if force and path.exists() and not path.is_file():
        raise UsageError(f"'{path}' is not a regular file and was not touched; name one")
    target = path.with_name(f".{path.name}.{secrets.token_hex(8)}") if force else path
    try:
        _create(target, data, mode)
        if force:
            with _removing(target):
                target.replace(path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be written: {error.strerror}; try another path"
        ) from error


def _create(path: Path, data: bytes, mode: int) -> None:
    """Create a file that did not exist, with all of the data or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with _removing(path), open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        if mode == 0o600:
            os.fchmod(descriptor, mode)  # exactly, whatever the umask takes away
        file.write(data)
        file.flush()
        os.fsync(descriptor)


class _removing:  # noqa: N801 - read as a word of the with statement
    """Remove a file if the block fails."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                self._path.unlink()


def _exists(path: Path) -> UsageError:
    return UsageError(f"'{path}' exists and was not touched; give another path, or --force")


def _size(length: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if length % unit == 0:
            return f"{length // unit} {name}"
    return f"{length} bytes"
