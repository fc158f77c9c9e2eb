"""What the workers of one gateway share on their machine, in one private directory.

``replay.table`` and ``windows.table`` remember request nonces and records; ``challenge.key``
is drawn anew after each start of the machine; under ``pseudonym.key`` logs and traces name clients
and sessions, until somebody removes it. Whoever makes something here holds the lock, so that
workers which start together make it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["StateDirectory"]

KEY_LEN = 32
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateDirectory:
    """The directory of a gateway; it is made if it is not there, with mode 0700.

    Args:
        path: On a local file system.

    Raises:
        ConfigurationError: It belongs to somebody else, others may read it, or it is no directory.
        StorageError: The system refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
        except FileExistsError:
            raise ConfigurationError(f"state_dir {path} is not a directory") from None
        except OSError as error:
            raise StorageError(f"state_dir {path} cannot be made: {error.strerror}") from error
        if found.st_uid != os.geteuid():
            raise ConfigurationError(
                f"state_dir {path} belongs to user {found.st_uid}: it must be this process's "
                f"({os.geteuid()})"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigurationError(f"state_dir {path} is open to other users: chmod 700 {path}")

    @property
    def replay_path(self) -> Path:
        """Return where the memory of request nonces is."""
        return self.path / "replay.table"

    @property
    def windows_path(self) -> Path:
        """Return where the replay windows of records are."""
        return self.path / "windows.table"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the directory, for as short as a file takes: nobody awaits inside."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.asynccontextmanager
    async def making_secrets(self) -> AsyncIterator[None]:
        """Hold the lock of whoever makes secrets.

        It is waited for in a thread: the one that holds it may be another gateway of this event
        loop, which must go on.
        """
        descriptor = os.open(
            self.path / "secrets.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def challenge_key(self) -> bytes:
        """Return the key of this boot; it is drawn by whoever asks first.

        It authenticates challenges, which live for a minute, and nothing else.
        """
        path = self.path / "challenge.key"
        boot = _BOOT_ID.read_bytes().strip() if _BOOT_ID.exists() else b""
        with self.locked():
            with contextlib.suppress(FileNotFoundError, ValueError):
                key, _, of_boot = path.read_bytes().partition(b"\n")
                if of_boot == boot and len(key) == 2 * KEY_LEN:
                    return bytes.fromhex(key.decode())
            return _drawn(path, boot)

    def pseudonym_key(self) -> bytes:
        """Return the key of pseudonyms in logs and traces; it is drawn by whoever asks first."""
        path = self.path / "pseudonym.key"
        with self.locked():
            with contextlib.suppress(FileNotFoundError, ValueError):
                key = bytes.fromhex(path.read_text("ascii"))
                if len(key) == KEY_LEN:
                    return key
            return _drawn(path)


def _drawn(path: Path, of: bytes = b"") -> bytes:
    """Draw a key and store it, with what it is for in a second line."""
    drawn = secrets.token_bytes(KEY_LEN)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(drawn.hex().encode() + b"\n" + of)
    fresh.replace(path)
    return drawn
