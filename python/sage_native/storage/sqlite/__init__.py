"""The stores in an SQLite file: no server, durable, for the processes of one machine."""

from __future__ import annotations

from sage_native.storage.sqlite.storage import SqliteStorage

__all__ = ["SqliteStorage"]
