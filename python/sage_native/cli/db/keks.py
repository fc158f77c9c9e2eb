"""Key-encryption keys in files: made, and loaded for a command.

Python holds the bytes of a key only while it makes or loads one; what it can erase, it erases.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from sage_native.aead import KeyEncryptionKey
from sage_native.cli import console, files
from sage_native.exceptions import ConfigurationError, UsageError
from sage_native.kek_format import KEY_LEN, decode_kek

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ENVIRONMENT", "Keks", "loaded", "new_kek"]

ENVIRONMENT = "SAGE_KEK"
MAX_FILE_LEN = 256
Keks: TypeAlias = Annotated[
    list[str] | None,
    Parameter(name="--kek", negative=()),
]


def new_kek(file: Path, /, *, force: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Make a key-encryption key.

    The file holds 32 random bytes in base64, with mode 0600. Without it, what is wrapped under it
    is lost; keep a copy away from the backups of the database.

    Args:
        file: Where it goes.
        force: Replace an existing file, and with it a key that may be in use.
    """
    if files.is_stdio(file):
        raise UsageError("a key-encryption key goes to a file, not to standard output")
    key = base64.b64encode(secrets.token_bytes(KEY_LEN)) + b"\n"
    files.write_private(file, key, force=force)
    console.note(f"key-encryption key  {file} (mode 0600, keep it); use it as --kek ID={file}")


@contextmanager
def loaded(options: Sequence[str] | None) -> Iterator[list[KeyEncryptionKey]]:
    """Load the keys that a command line or the environment names, and close them at the end.

    Args:
        options: Each ``ID=FILE``; what SAGE_KEK says if there are none.

    Raises:
        UsageError: There are none, one is not of the form, or a file does not hold a key.
        ConfigurationError: Other users may read a file.
    """
    named = list(options or filter(None, os.environ.get(ENVIRONMENT, "").split(",")))
    if not named:
        raise UsageError(
            f"a key-encryption key is needed: give --kek ID=FILE, or set {ENVIRONMENT}; "
            "sage-native db new-kek FILE makes one"
        )
    with ExitStack() as stack:
        yield [stack.enter_context(_load(option.strip())) for option in named]


def _load(option: str) -> KeyEncryptionKey:
    kek_id, separator, name = option.partition("=")
    if not separator or not kek_id or not name:
        # What is there may be a key instead of a file, so it is not shown.
        raise UsageError("a key-encryption key is named ID=FILE, such as k1=sage.kek")
    key = _read(Path(name))
    try:
        return KeyEncryptionKey(kek_id, key)
    finally:
        key[:] = bytes(KEY_LEN)


def _read(path: Path) -> bytearray:
    content = bytearray(MAX_FILE_LEN + 1)
    try:
        with path.open("rb", buffering=0) as file:
            _check_private(path, os.fstat(file.fileno()))
            length = file.readinto(content) or 0
    except OSError as error:
        raise files.unreadable(path, "key-encryption key", error) from error
    try:
        key = decode_kek(content[:length])
    finally:
        content[:] = bytes(len(content))
    if key is None:
        raise UsageError(
            f"key-encryption key '{path}' does not hold 32 random bytes, raw, in base64 or in hex; "
            "sage-native db new-kek FILE makes one"
        )
    return key


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"key-encryption key '{path}' is not a regular file")
    if found.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(
            f"key-encryption key '{path}' belongs to user {found.st_uid}: it must be this "
            f"process's ({os.geteuid()})"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise ConfigurationError(
            f"key-encryption key '{path}' is open to other users (mode {mode:04o}): "
            f"chmod 600 {path}, and make another key if one of them may have read it"
        )
