"""A folder of secrets, opened and judged: who else could read or change what lies in it.

All that follows happens through the open folder, so that a path which is exchanged meanwhile
changes nothing. Two kinds of folders are accepted:

*Private.* The folder is closed to others (0700 or less) and each file is (0600 or less); both
belong to this process's user or to root.

*Mounted* by what runs the container: told by the link ``..data`` that Kubernetes makes, or by a
file system that is mounted read only (Docker). What belongs to root there may be open to readers:
these mounts cannot do otherwise, and whoever is inside the container is in. Nobody but root may be
able to write. Of the links only ``..data`` is followed, only to a folder beside it, and only if it
is root's or this user's. Nothing is written to a mounted folder.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.config.secrets.errors import (
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sage_native.exceptions import SageError

__all__ = ["Folder", "opened", "trouble"]

_DATA = "..data"
_VERSION = re.compile(r"\.\.[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe must not keep us waiting, and a link not lead us away.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder of secrets.

    Attributes:
        path: For errors.
        descriptor: What names are opened relative to.
        is_mounted: It is read only, and root's files may be open to readers.
    """

    path: Path
    descriptor: int
    is_mounted: bool

    def read(self, name: str, *, max_len: int) -> bytes | None:
        """Return what a file holds, or None if there is none; at most ``max_len + 1`` bytes.

        Raises:
            SecretRefusedError: It is a link, no regular file, or others could read or change it.
            SecretUnavailableError: The disk fails.
        """
        path = self.path / name
        try:
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise trouble(path, error) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise SecretRefusedError(f"'{path}' is not a regular file, and holds no secret")
            _check(path, found, command="chmod 600", is_mounted=self.is_mounted)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(max_len + 1)
        except OSError as error:
            raise trouble(path, error) from error
        finally:
            os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Open a folder of secrets.

    Raises:
        SecretNotFoundError: There is none.
        SecretRefusedError: Others could read or change what lies in it.
        SecretUnavailableError: The disk fails.
    """
    try:
        descriptor = os.open(path, _FOLDER_FLAGS)
    except FileNotFoundError as error:
        raise SecretNotFoundError(
            f"directory '{path}' of secrets does not exist: make it with mkdir -m 700, or correct "
            "secrets.directory"
        ) from error
    except OSError as error:
        raise trouble(path, error) from error
    try:
        version = _kubernetes_version(path, descriptor)
        if version is not None:
            try:
                yield Folder(path, version, is_mounted=True)
            finally:
                os.close(version)
            return
        is_mounted = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
        _check(path, os.fstat(descriptor), command="chmod 700", is_mounted=is_mounted)
        yield Folder(path, descriptor, is_mounted)
    finally:
        os.close(descriptor)


def trouble(path: Path, error: OSError) -> SageError:
    """Return the error that says why a path could not be used."""
    match error.errno:
        case errno.ELOOP:
            return SecretRefusedError(
                f"'{path}' is a symbolic link, and links are not followed: put the secret itself "
                "there"
            )
        case errno.ENOTDIR | errno.EISDIR | errno.EEXIST:
            return SecretRefusedError(
                f"'{path}' is not what it should be: secrets are files in one directory"
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return SecretRefusedError(
                f"'{path}' is closed to user {os.geteuid()}: {error.strerror}; change its owner, "
                "or the user"
            )
    return SecretUnavailableError(f"'{path}' failed: {error.strerror}", reason="failed")


def _check(path: Path, found: os.stat_result, *, command: str, is_mounted: bool) -> None:
    if found.st_uid not in {0, os.geteuid()}:
        raise SecretRefusedError(
            f"'{path}' belongs to user {found.st_uid}, who could change it: it must be root's, or "
            f"this process's (user {os.geteuid()})"
        )
    others_may_read = is_mounted and found.st_uid == 0
    if found.st_mode & (0o022 if others_may_read else 0o077):
        raise SecretRefusedError(
            f"'{path}' is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"{command} {shlex.quote(str(path))}, and make other secrets if one of them may have "
            "read these"
        )


def _kubernetes_version(path: Path, descriptor: int) -> int | None:
    """Open the folder that ``..data`` points to; None if there is no such link."""
    try:
        target = os.readlink(_DATA, dir_fd=descriptor)
    except OSError:
        return None
    link = os.stat(_DATA, dir_fd=descriptor, follow_symlinks=False)
    owners = {link.st_uid, os.fstat(descriptor).st_uid}
    if owners - {0, os.geteuid()} or not _VERSION.fullmatch(target):
        raise SecretRefusedError(
            f"'{path / _DATA}' is not a link as Kubernetes makes it: it must be root's, and lead "
            "to a directory beside it"
        )
    try:
        version = os.open(target, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError as error:
        raise trouble(path / target, error) from error
    try:
        _check(path / target, os.fstat(version), command="chmod 755", is_mounted=True)
    except BaseException:
        os.close(version)
        raise
    return version
