"""``sage-native db migrate`` and ``rollback``: from one version of the schema to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sage_native.cli import console
from sage_native.cli.db.asking import Yes, confirm
from sage_native.cli.db.target import DEFAULT, Database, checked, label_of, run
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from sage_native.storage.migrations import MigrationStatus

__all__ = ["migrate", "rollback"]


def migrate(
    *,
    database: Database = DEFAULT,
    to: int | None = None,
    force: Annotated[int | None, Parameter(name="--force")] = None,
    yes: Yes = False,
) -> None:
    """Bring the schema to the newest version, or to a given one.

    Args:
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        to: The version, up or down; 0 drops everything that is stored.
        force: Run nothing and note this version as clean: the way out of a dirty state, once the
            schema was mended by hand.
        yes: Do not ask before everything is dropped.
    """
    from sage_native.storage import migrations  # noqa: PLC0415 - as needed

    if to is not None and force is not None:
        raise UsageError("--to and --force exclude each other")
    url = checked(database)
    if force is not None:
        _show(url, run(migrations.force(url, force)))
        return
    if to == 0:
        _confirm_loss(url, yes=yes)
    _show(url, run(migrations.migrate(url, to=to)))


def rollback(*, database: Database = DEFAULT, steps: int = 1, yes: Yes = False) -> None:
    """Undo the newest migrations.

    Args:
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        steps: How many. Undoing the first drops everything that is stored.
        yes: Do not ask before that.
    """
    from sage_native.storage import migrations  # noqa: PLC0415 - as needed

    url = checked(database)
    if steps >= 1 and run(migrations.status(url)).current - steps <= 0:
        _confirm_loss(url, yes=yes)
    _show(url, run(migrations.rollback(url, steps=steps)))


def _confirm_loss(url: str, *, yes: bool) -> None:
    confirm(f"this drops every session, nonce and DID in {label_of(url)}", yes=yes)


def _show(url: str, state: MigrationStatus) -> None:
    console.line("database", label_of(url))
    console.line("schema", version_of(state))


def version_of(state: MigrationStatus) -> str:
    """Say where a schema stands."""
    text = f"version {state.current} of {state.newest}"
    if state.dirty:
        return f"{text}, dirty: mend it, then db migrate --force VERSION"
    if state.pending:
        return f"{text}; pending: {', '.join(state.pending)}"
    return text if state.current == state.newest else f"{text}: use a newer sage-native"
