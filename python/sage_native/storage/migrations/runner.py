"""Taking a database from one version of its schema to another.

The state is golang-migrate's: a table ``schema_migrations`` that holds one row, ``version`` and
``dirty``, or none before the first migration. golang-migrate marks a version dirty, runs its SQL
and marks it clean, and a failure in between leaves the mark, because it cannot know what was done.
Both backends here change schemas inside transactions, so this runner writes the mark, the SQL and
the clean mark in one of them: each step is done or not done, also when the power fails, and the
mark is only ever seen when another tool left it, or SQL that commits by itself. Then nothing runs
before somebody has looked and called `force`.

Whoever changes anything holds the lock of the database while it reads the version, decides, and
runs. A second runner waits, reads what the first has left, and finds nothing to do.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sage_native.exceptions import ConfigurationError, UsageError
from sage_native.storage.migrations.files import shipped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    import asyncpg

    from sage_native.storage.migrations.files import Backend, Migration

__all__ = ["MigrationStatus", "State", "force", "migrate", "require_current", "rollback", "status"]

LOCK_TIMEOUT_S = 15.0
"""How long to wait for another runner, in seconds; as golang-migrate does."""


@dataclass(frozen=True, slots=True)
class State:
    """What the table says.

    Attributes:
        version: The version, 0 before the first migration.
        dirty: True if a migration to this version began and nobody knows how it ended.
    """

    version: int
    dirty: bool


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    Attributes:
        current: Its version, 0 before the first migration.
        dirty: True if a migration to this version began and nobody knows how it ended.
        newest: The newest version that this package knows.
        pending: What `migrate` would run, in order, such as ``000002_add_indexes``.
    """

    current: int
    dirty: bool
    newest: int
    pending: tuple[str, ...]


class Database(Protocol):
    """A backend, as the runner sees it. All of it raises StorageError."""

    backend: Backend
    label: str

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Keep other runners out; makes the table if it is missing."""

    async def state(self) -> State:
        """Read the table; version 0 if it is missing or empty."""

    async def run(self, sql: str, *, to: int, what: str) -> None:
        """Run SQL and note the version, both or neither."""

    async def note(self, version: int) -> None:
        """Note a clean version."""


async def migrate(
    dsn: str, *, to: int | None = None, migrations: Sequence[Migration] | None = None
) -> MigrationStatus:
    """Take a database up to the newest version, or up or down to a given one.

    Args:
        dsn: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://…``.
        to: The version; the newest if it is left out. 0 undoes everything.
        migrations: The steps; those that the package carries if they are left out.

    Returns:
        Where it stands now.

    Raises:
        UsageError: There is no such version.
        ConfigurationError: The database is dirty, or newer than this package; nothing was run.
        StorageError: It was not reached, or a migration failed and was rolled back. Those before
            it stay.
    """
    async with _database(dsn) as database:
        steps = shipped(database.backend) if migrations is None else migrations
        target = _known(len(steps) if to is None else to, steps)
        async with database.lock():
            version = _sound(await database.state(), steps, database.label)
            await _walk(database, steps, version, target)
        return _status(await database.state(), steps)


async def rollback(
    dsn: str, *, steps: int = 1, migrations: Sequence[Migration] | None = None
) -> MigrationStatus:
    """Undo the newest migrations of a database, and what is stored in what they made.

    Args:
        dsn: As for `migrate`.
        steps: How many, at least 1.
        migrations: As for `migrate`.

    Returns:
        Where it stands now.

    Raises:
        UsageError: Fewer than that many have been run; nothing was undone.
        ConfigurationError: The database is dirty, or newer than this package; nothing was undone.
        StorageError: It was not reached, or a migration failed and was rolled back.
    """
    if steps < 1:
        raise UsageError(f"steps must be at least 1, not {steps}")
    async with _database(dsn) as database:
        known = shipped(database.backend) if migrations is None else migrations
        async with database.lock():
            version = _sound(await database.state(), known, database.label)
            if steps > version:
                raise UsageError(
                    f"{database.label} is at version {version}: {steps} steps cannot be undone"
                )
            await _walk(database, known, version, version - steps)
        return _status(await database.state(), known)


async def status(dsn: str, *, migrations: Sequence[Migration] | None = None) -> MigrationStatus:
    """Tell where a database stands; changes nothing and waits for no lock.

    Raises:
        StorageError: It was not reached.
    """
    async with _database(dsn) as database:
        known = shipped(database.backend) if migrations is None else migrations
        return _status(await database.state(), known)


async def force(
    dsn: str, version: int, *, migrations: Sequence[Migration] | None = None
) -> MigrationStatus:
    """Note a version as clean without running anything: the way out of a dirty state.

    Look first: the schema must be that of the version.

    Args:
        dsn: As for `migrate`.
        version: The version that the schema has, 0 for an empty one.
        migrations: As for `migrate`.

    Returns:
        Where it stands now.

    Raises:
        UsageError: There is no such version.
        StorageError: It was not reached.
    """
    async with _database(dsn) as database:
        known = shipped(database.backend) if migrations is None else migrations
        _known(version, known)
        async with database.lock():
            await database.note(version)
        return _status(await database.state(), known)


async def require_current(
    opened: asyncpg.Connection | sqlite3.Connection | os.PathLike[str],
) -> None:
    """Check that a database has the schema that this package was written for.

    Args:
        opened: A connection, or the path of an SQLite file. An SQLite connection is used in the
            calling thread.

    Raises:
        ConfigurationError: It is older, newer or dirty; the text names both versions and the way
            out.
        StorageError: It was not reached.
    """
    if isinstance(opened, sqlite3.Connection | os.PathLike):
        from sage_native.storage.migrations import sqlite  # noqa: PLC0415

        state, label = sqlite.state_of(opened), "the SQLite database"
        check_current(state, "sqlite", label)
    else:
        from sage_native.storage.migrations import postgres  # noqa: PLC0415

        check_current(await postgres.state_of(opened), "postgres", "the PostgreSQL database")


def check_current(state: State, backend: Backend, label: str) -> None:
    """Check that a state is the newest version, and clean.

    Raises:
        ConfigurationError: It is not.
    """
    steps = shipped(backend)
    version = _sound(state, steps, label)
    if version != len(steps):
        raise ConfigurationError(
            f"{label} is at version {version} of its schema and this package needs {len(steps)}: "
            "run sage-native db migrate"
        )


def _database(dsn: str) -> AbstractAsyncContextManager[Database]:
    # The drivers are imported when they are used: asyncpg is an extra.
    scheme = dsn.partition(":")[0]
    if scheme == "sqlite":
        from sage_native.storage.migrations import sqlite  # noqa: PLC0415

        return sqlite.connect(dsn, lock_timeout_s=LOCK_TIMEOUT_S)
    if scheme in {"postgresql", "postgres"}:
        from sage_native.storage.migrations import postgres  # noqa: PLC0415

        return postgres.connect(dsn, lock_timeout_s=LOCK_TIMEOUT_S)
    # Nothing of what was given is shown: it may hold a password.
    raise ConfigurationError(
        "a database URL begins with sqlite:/// or postgresql://, and this one with neither"
    )


async def _walk(database: Database, steps: Sequence[Migration], version: int, target: int) -> None:
    for step in steps[version:target]:
        await database.run(step.up, to=step.version, what=f"{step} up")
    for step in reversed(steps[target:version]):
        await database.run(step.down, to=step.version - 1, what=f"{step} down")


def _known(version: int, steps: Sequence[Migration]) -> int:
    if not 0 <= version <= len(steps):
        raise UsageError(f"version must be 0 to {len(steps)}, not {version}")
    return version


def _sound(state: State, steps: Sequence[Migration], label: str) -> int:
    if state.dirty:
        raise ConfigurationError(
            f"{label} is dirty: a migration to version {state.version} began and did not end. Mend "
            "the schema by hand, then note the version that it has: "
            "sage-native db migrate --force VERSION"
        )
    if state.version > len(steps):
        raise ConfigurationError(
            f"{label} is at version {state.version} of its schema and this package knows versions "
            f"up to {len(steps)}: use a newer sage-native"
        )
    return state.version


def _status(state: State, steps: Sequence[Migration]) -> MigrationStatus:
    pending = tuple(str(step) for step in steps[state.version :])
    return MigrationStatus(state.version, state.dirty, len(steps), pending)
