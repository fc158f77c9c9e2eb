"""``sage-native db``: schema, seeds, backups and key rotation of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from sage_native.cli.db.copies import backup, restore
from sage_native.cli.db.keks import new_kek
from sage_native.cli.db.rotation import rewrap
from sage_native.cli.db.schema import migrate, rollback
from sage_native.cli.db.seeding import seed
from sage_native.cli.db.status import status
from sage_native.cli.db.target import EPILOGUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app"]

app = App(name="db", help_epilogue=EPILOGUE)
COMMANDS: tuple[Callable[..., None], ...] = (
    migrate,
    rollback,
    status,
    seed,
    backup,
    restore,
    rewrap,
    new_kek,
)
for position, command in enumerate(COMMANDS):
    app.command(command, sort_key=position)
