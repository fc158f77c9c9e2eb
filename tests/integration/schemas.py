"""What a database's schema is, as text that can be compared."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg

from sage_native.storage.migrations.sqlite import path_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_SQLITE = "SELECT type, name, tbl_name, sql FROM sqlite_master"

# Everything in the schema that migrations can make, with what belongs to it.
_POSTGRES = {
    "relations": """
        SELECT c.relname, c.relkind, c.reloptions, obj_description(c.oid, 'pg_class'),
               pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
               CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    """,
    "indexes": """
        SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    """,
    "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "types": """
        SELECT typname FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype NOT IN ('c', 'b')
    """,
}


async def schema_of(dsn: str) -> AbstractSet[str]:
    """Return one line for each thing in the schema, but for the table of the migrations."""
    lines = _of_sqlite(dsn) if dsn.startswith("sqlite") else await _of_postgres(dsn)
    return {line for line in lines if "schema_migrations" not in line}


def _of_sqlite(dsn: str) -> list[str]:
    with closing(sqlite3.connect(path_of(dsn))) as file:
        return [str(row) for row in file.execute(_SQLITE)]


async def _of_postgres(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [
            f"{kind}: {tuple(row)}"
            for kind, query in _POSTGRES.items()
            for row in await connection.fetch(query)
        ]
    finally:
        await connection.close()


async def execute(dsn: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement behind the runner's back; return its rows."""
    if dsn.startswith("sqlite"):
        with closing(sqlite3.connect(path_of(dsn), isolation_level=None)) as file:
            return file.execute(statement).fetchall()
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
