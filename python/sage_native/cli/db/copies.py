"""``sage-native db backup`` and ``restore``: a copy for any backend."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sage_native.cli import console, files
from sage_native.cli.db.progress import rows_done
from sage_native.cli.db.status import time_of
from sage_native.cli.db.target import DEFAULT, Database, checked, opened, run
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from sage_native.storage.backup import BackedUp, Restored

__all__ = ["backup", "restore"]


def backup(
    file: Path,
    /,
    *,
    database: Database = DEFAULT,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Copy sessions and DIDs into a file, while the database is in use.

    The file has mode 0600 and appears when it is whole. It holds no key: sessions stay wrapped
    under the key-encryption keys, which are kept elsewhere. Request nonces are not in it.

    Args:
        file: Where it goes.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        force: Replace an existing file.
    """
    _refuse_stdio(file)
    url = checked(database)
    done = run(_back_up(url, file, force=force))
    for name, count in done.sessions.items():
        console.line("sessions", f"{console.plain(name)} {count:,}")
    console.line("DIDs", f"{done.dids:,}")
    console.line("backup", f"{file} (mode 0600)")
    console.line("SHA-256", done.sha256)


def restore(
    file: Path,
    /,
    *,
    database: Database = DEFAULT,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write a backup into a database, of the same or another backend.

    All of the file is checked before anything is written. Every session demands a rekey, and until
    the nonces that are not in the backup are too old, challenges must be demanded. Stop the servers
    first.

    Args:
        file: The backup.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        force: Take a database that is not empty. What is there stays as it is, never replaced, and
            what is missing is added; only revocations are carried over. Also goes on with a
            restore that was broken off.
    """
    _refuse_stdio(file)
    url = checked(database)
    _show(run(_restore(url, file, force=force)))


async def _back_up(url: str, file: Path, *, force: bool) -> BackedUp:
    from sage_native.storage.backup import back_up  # noqa: PLC0415 - as needed

    async with opened(url) as storage:
        with rows_done("backing up") as told:
            return await back_up(storage, file, replace=force, progress=lambda n: told(n, None))


async def _restore(url: str, file: Path, *, force: bool) -> Restored:
    from sage_native.storage.backup import restore  # noqa: PLC0415 - as needed

    async with opened(url) as storage:
        with rows_done("restoring") as told:
            return await restore(storage, file, force=force, progress=partial(told))


def _show(done: Restored) -> None:
    console.line("sessions", f"{done.sessions:,} restored; each demands a rekey")
    console.line("DIDs", f"{done.dids:,} restored")
    for count, what in (
        (done.kept, "were there already and stay as they are"),
        (done.revoked, "DIDs were revoked, as in the backup"),
        (done.expired, "sessions left out: their lifetime is over"),
        (done.ended, "sessions left out: their client or server is revoked"),
    ):
        if count:
            console.line("", f"{count:,} {what}")
    console.note(
        f"The backup is of {time_of(done.created_ms)}: revoke again who was revoked after it. "
        "Request nonces are not in it, so demand challenges until db status says complete."
    )


def _refuse_stdio(file: Path) -> None:
    if files.is_stdio(file):
        raise UsageError("a backup is a file: standard input and output will not do")
