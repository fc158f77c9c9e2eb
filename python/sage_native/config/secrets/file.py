r"""Secrets in files, one in each: ``signing-key`` is the file of that name in one directory.

Which directories and files are accepted: see `folders`.

A file of text ends with a newline, as editors and ``echo`` leave it, and that newline is not part
of the secret: one ``\n`` at the end is taken off if the file is text (UTF-8 without control signs
other than tab, carriage return and newline). Other files, such as raw keys, are taken as they are.
`set` writes so that `get` returns the same bytes.

A file is replaced by one that was written and synced beside it, so that a reader sees the old
secret or the new one, and a crash leaves one of the two.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from sage_native.config.secrets import folders
from sage_native.config.secrets.base import MAX_SECRET_LEN, SecretProvider
from sage_native.config.secrets.errors import SecretNotFoundError, SecretRefusedError
from sage_native.exceptions import ConflictError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileProvider"]

_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CONTROL_SIGNS = bytes(sign for sign in (*range(32), 127) if sign not in b"\t\r\n")


class FileProvider(SecretProvider):
    """Reads and writes files in one directory, which the first `set` makes.

    Args:
        directory: Where they lie.
    """

    name = "file"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def place(self, name: str) -> str:
        """Return how errors call the place of a secret."""
        return f"file '{self._directory / name}'"

    # In threads: a network's file system may take its time.

    async def _read(self, name: str) -> bytes:
        return await asyncio.to_thread(self._load, name)

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:
        await asyncio.to_thread(self._store, name, value, only_new=only_new)

    def _load(self, name: str) -> bytes:
        with folders.opened(self._directory) as folder:
            content = folder.read(name, max_len=MAX_SECRET_LEN + 1)
        if content is None:
            raise SecretNotFoundError(
                f"secret '{name}' is not there: {self.place(name)} does not exist"
            )
        return content[:-1] if content.endswith(b"\n") and _is_text(content) else content

    def _store(self, name: str, value: bytes, *, only_new: bool) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise folders.trouble(self._directory, error) from error
        with folders.opened(self._directory) as folder:
            if folder.is_mounted:
                raise SecretRefusedError(
                    f"secret '{name}' is not written: '{self._directory}' is mounted read only; "
                    "change the secret where the mount comes from"
                )
            content = value + b"\n" if _is_text(value) else value
            try:
                _put(folder.descriptor, name, content, only_new=only_new)
            except FileExistsError as error:
                raise ConflictError(
                    f"secret '{name}' is there already: {self.place(name)} was not touched"
                ) from error
            except OSError as error:
                raise folders.trouble(self._directory / name, error) from error


def _is_text(content: bytes) -> bool:
    if content.translate(None, _CONTROL_SIGNS) != content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _put(folder: int, name: str, content: bytes, *, only_new: bool) -> None:
    beside = f".{name}.{secrets.token_hex(8)}"  # no secret has such a name
    descriptor = os.open(beside, _CREATE_FLAGS, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(descriptor, 0o600)  # exactly, whatever the umask takes away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if only_new:
            os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=folder)
    os.fsync(folder)
