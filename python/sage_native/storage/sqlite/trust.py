"""What must be true of a database file and its directory before they are relied on.

Whoever can write the file, or put another in its place, can make the store forget a nonce. What
cannot be seen from here is root, and a backup that is written into the very file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sage_native.exceptions import ConfigurationError, StorageError

__all__ = ["check_directory", "check_file", "create_file", "identity_of"]

# Where machines do not see each other's locks, or nobody knows what a write reached.
_SHARED_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.sshfs", "gfs2", "glusterfs", "gpfs"}
    | {"lustre", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs"}
    | {"vboxsf", "virtiofs"}
)


def create_file(path: Path) -> None:
    """Make an empty file for this user alone, unless there is one already.

    Raises:
        ConfigurationError: Its directory is not one to rely on, or it may not be made there.
    """
    check_directory(path.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigurationError(f"cannot make {path}: {error.strerror}") from error


def check_file(path: Path) -> None:
    """Check a file that is there.

    Raises:
        ConfigurationError: It is no regular file, of another user, may be written by others, or
            lies on a file system of the network; or its directory is not one to rely on.
        StorageError: It cannot be looked at.
    """
    check_directory(path.parent)
    found = _look_at(path)
    if stat.S_ISLNK(found.st_mode):
        raise ConfigurationError(f"{path} is a symbolic link: name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {found.st_uid}, but this process runs as {os.geteuid()}: "
            "whoever owns it can change what it remembers"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise ConfigurationError(
            f"{path} may be written by other users (mode {mode:04o}): chmod 600 {path}"
        )
    file_system = _file_system_of(found.st_dev)
    if file_system in _SHARED_FILE_SYSTEMS:
        raise ConfigurationError(
            f"{path} lies on {file_system}, where machines do not see each other's locks: choose "
            "a local file system"
        )


def check_directory(directory: Path) -> None:
    """Check that nobody else can write in a directory.

    A sticky bit, as of ``/tmp``, is not enough: somebody could lay a log beside the database, which
    the next to open it would take for its own.

    Raises:
        ConfigurationError: It is not there, of another user, or open to others.
    """
    try:
        found = directory.stat()
    except OSError as error:
        raise ConfigurationError(
            f"the directory {directory} cannot be used: {error.strerror}"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{directory} is not a directory")
    if found.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(
            f"{directory} is a directory of user {found.st_uid}, who could replace the database: "
            f"choose one of this process's user ({os.geteuid()})"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise ConfigurationError(
            f"{directory} is a directory that other users may write to (mode {mode:04o}), so they "
            "could replace the database or lay a log beside it: choose a directory of its own, or "
            "chmod go-w"
        )


def identity_of(path: Path) -> tuple[int, int]:
    """Return what tells a file from another of the same name: device and inode.

    Raises:
        StorageError: There is no file of this name.
    """
    found = _look_at(path)
    return found.st_dev, found.st_ino


def _look_at(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror}") from error


def _file_system_of(device: int) -> str | None:
    # proc_pid_mountinfo(5): the third field is the device, the type stands behind the hyphen.
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(" ")
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return None
