"""The file of a backup: there as a whole or not at all, and read twice.

The first reading checks all of it, down to each field, before anything is written to a database.
The second reading hands the rows over; it is of the same open file, and the digest is compared once
more, so a file that changes in between is at least noticed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from sage_native.exceptions import ConfigurationError, SageError, StorageError, UsageError
from sage_native.storage.backup.document import (
    FORMAT,
    VERSION,
    Document,
    decode_line,
    did_record,
    encode_line,
    session_row,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from sage_native.storage.rows import DidRecord, SessionRow

__all__ = ["BackupReader", "BackupWriter", "Contents"]

MAX_LINE_LEN = 16 << 20
"""The longest line, in bytes; only the metadata of a session could make one long."""


class BackupWriter:
    """Writes lines into a file beside the one that is wanted, which it becomes at the end.

    A context manager: leaving it without `finish` removes what was written.

    Args:
        path: The file; only its owner may read it.
        replace: Take the place of a file that is there.

    Raises:
        UsageError: There is a file, or it cannot be written.
    """

    def __init__(self, path: Path, *, replace: bool) -> None:
        self._path = path
        self._replace = replace
        self._digest = hashlib.sha256()
        self._check_free()
        self._beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._beside, flags, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        self._file = open(descriptor, "wb", buffering=1 << 20)  # noqa: PTH123, SIM115 - a descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(FileNotFoundError):
            self._beside.unlink()

    def write(self, document: Mapping[str, object]) -> None:
        """Append one line.

        Raises:
            UsageError: It cannot be written, such as to a disk that is full.
            StorageError: The line is longer than would be read.
        """
        line = encode_line(document)
        if len(line) > MAX_LINE_LEN:
            raise StorageError(
                f"a row has {len(line)} bytes in a backup, and {MAX_LINE_LEN} at the most are "
                "read: shorten the metadata of its session"
            )
        self._digest.update(line)
        self._append(line)

    def finish(self, counts: Mapping[str, object]) -> str:
        """Write the last line, wait for the disk, and let the file appear.

        Args:
            counts: What the file holds.

        Returns:
            The SHA-256 of the lines before the last, in hex.
        """
        digest = self._digest.hexdigest()
        self._append(encode_line({"end": {**counts, "sha256": digest}}))
        try:
            os.fchmod(self._file.fileno(), 0o600)  # whatever the umask took away
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._check_free()
            self._beside.replace(self._path)
            _sync_directory(self._path.parent)
        except OSError as error:
            raise self._unwritable(error) from error
        return digest

    def _append(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise self._unwritable(error) from error

    def _check_free(self) -> None:
        if not self._path.name:
            raise UsageError(f"'{self._path}' is a directory; name a file in it")
        if os.path.lexists(self._path):
            if not self._replace:
                raise UsageError(
                    f"'{self._path}' exists and was not touched; give another path, or --force"
                )
            if not self._path.is_file():
                raise UsageError(f"'{self._path}' is not a regular file and was not touched")

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"backup '{self._path}' cannot be written: {error.strerror}")


@dataclass
class Contents:
    """What a whole backup holds.

    Attributes:
        created_ms: When it was begun, in ms since the epoch.
        label: The backend that it came from.
        sessions: How many rows of each session store.
        dids: How many DIDs.
        revoked: Those that are revoked.
        sha256: Of the lines before the last, in hex.
    """

    created_ms: int
    label: str
    sessions: dict[str, int] = field(default_factory=dict)
    dids: int = 0
    revoked: set[str] = field(default_factory=set)
    sha256: str = ""


class BackupReader:
    """Reads a backup. A context manager.

    Raises:
        UsageError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise UsageError(f"backup '{path}' cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check(self) -> Contents:
        """Read all of it, and check all of it.

        Raises:
            UsageError: It is no backup.
            ConfigurationError: Its version is not one that this package reads.
            StorageError: It was cut, damaged or edited; the text says where.

        Cost: about 40 µs a session, 100 µs a DID. It blocks: call it in a thread.
        """
        self._file.seek(0)
        header = self._file.readline(MAX_LINE_LEN)
        contents = self._header(header)
        digest = hashlib.sha256(header)
        for number, line in enumerate(self._lines(), start=2):
            try:
                document = decode_line(line)
                if set(document) == {"end"}:
                    self._check_end(document["end"], contents, digest.hexdigest())
                    return contents
                _tally(self._item(document), contents)
            except (UsageError, TypeError, OverflowError) as error:
                raise self._damaged(f"line {number}: {error}") from error
            digest.update(line)
        raise self._damaged("it ends before its last line, so it was cut short")

    def items(self, contents: Contents) -> Iterator[DidRecord | tuple[str, SessionRow]]:
        """Yield DIDs, and sessions with the names of their stores, after `check`.

        Raises:
            StorageError: The file has changed since it was checked.
        """
        self._file.seek(0)
        digest = hashlib.sha256(self._file.readline(MAX_LINE_LEN))
        for line in self._lines():
            try:
                document = decode_line(line)
                if set(document) == {"end"}:
                    break
                item = self._item(document)
            except (SageError, TypeError, OverflowError):
                break
            yield item
            digest.update(line)
        if digest.hexdigest() != contents.sha256:
            raise StorageError(
                f"backup '{self._path}' was changed while it was restored: what it held is not to "
                "be relied on"
            )

    def _header(self, line: bytes) -> Contents:
        try:
            header = decode_line(line)
        except UsageError:
            header = {}
        if header.get("format") != FORMAT:
            raise UsageError(f"'{self._path}' is no backup of sage-native")
        if header.get("version") != VERSION:
            raise ConfigurationError(
                f"backup '{self._path}' is of version {header.get('version')!r} and this package "
                f"reads version {VERSION}: use a sage-native that wrote such"
            )
        created_ms, label = header.get("created_ms"), header.get("label")
        if not line.endswith(b"\n") or not isinstance(created_ms, int):
            raise self._damaged("line 1 is not a header")
        return Contents(created_ms, str(label))

    def _lines(self) -> Iterator[bytes]:
        while line := self._file.readline(MAX_LINE_LEN + 1):
            yield line

    def _item(self, document: Document) -> DidRecord | tuple[str, SessionRow]:
        match document:
            case {"session": dict(fields)}:
                return session_row(fields)
            case {"did": dict(fields)}:
                return did_record(fields)
        raise UsageError("it is neither a session nor a DID")

    def _check_end(self, end: Document, contents: Contents, digest: str) -> None:
        contents.sha256 = digest
        if self._file.read(1):
            raise self._damaged("something follows its last line")
        counted = {"sessions": contents.sessions, "dids": contents.dids, "sha256": digest}
        if end != counted:
            raise self._damaged("counts and digest in its last line are not those of its content")

    def _damaged(self, what: str) -> StorageError:
        return StorageError(f"backup '{self._path}' is damaged, nothing was restored: {what}")


def _tally(item: DidRecord | tuple[str, SessionRow], contents: Contents) -> None:
    if isinstance(item, tuple):
        contents.sessions[item[0]] = contents.sessions.get(item[0], 0) + 1
        return
    contents.dids += 1
    if item.revoked_ms is not None:
        contents.revoked.add(item.did)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
