"""The schema of the stores, as numbered steps, and the runner that takes a database along them.

The SQL files carry the names that golang-migrate gives them, and the runner keeps its table and
takes its lock, so its CLI can take over at any time, and back.
"""

from __future__ import annotations

from sage_native.storage.migrations.files import Migration, shipped
from sage_native.storage.migrations.runner import (
    MigrationStatus,
    force,
    migrate,
    require_current,
    rollback,
    status,
)

__all__ = [
    "Migration",
    "MigrationStatus",
    "force",
    "migrate",
    "require_current",
    "rollback",
    "shipped",
    "status",
]
