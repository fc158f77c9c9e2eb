"""``sage-native db status``: the schema, and what is stored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sage_native.cli import console
from sage_native.cli.db.schema import version_of
from sage_native.cli.db.target import DEFAULT, Database, checked, has_schema, label_of, opened, run
from sage_native.exceptions import StorageError

if TYPE_CHECKING:
    from sage_native.storage.base import DidStore, Storage
    from sage_native.storage.migrations import MigrationStatus

__all__ = ["status", "time_of"]


@dataclass(frozen=True)
class _Replay:
    guarantee: str
    horizon_ms: int
    remembers_since_ms: int
    is_complete: bool


@dataclass(frozen=True)
class _Stored:
    sessions: dict[str, int]
    nonces: int
    dids: int | None
    replay: _Replay


def status(
    *,
    database: Database = DEFAULT,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show the version of the schema, and what is stored.

    Args:
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        as_json: Print JSON instead; what is not known is null.
    """
    url = checked(database)
    schema, stored = run(_ask(url))
    if as_json:
        document = {
            "database": label_of(url),
            "schema": None if schema is None else asdict(schema),
            **(dict.fromkeys(("sessions", "nonces", "dids", "replay")) if stored is None else {}),
            **({} if stored is None else asdict(stored)),
        }
        print(json.dumps(document, indent=2))
        return
    console.line("database", label_of(url))
    console.line("schema", "none is needed" if schema is None else version_of(schema))
    if stored is not None:
        _show(stored)


async def _ask(url: str) -> tuple[MigrationStatus | None, _Stored | None]:
    schema = None
    if has_schema(url):
        from sage_native.storage import migrations  # noqa: PLC0415 - as needed

        schema = await migrations.status(url)
        if url.startswith("sqlite:") and schema.current == 0:
            _check_there(url)
        if schema.dirty or schema.current != schema.newest:
            return schema, None
    async with opened(url) as storage:
        return schema, await _stored(storage)


def _check_there(url: str) -> None:
    from sage_native.storage.migrations.sqlite import path_of  # noqa: PLC0415 - as needed

    path = path_of(url)
    if not path.exists():
        raise StorageError(f"there is no file {path}: sage-native db migrate makes it")


async def _stored(storage: Storage) -> _Stored:
    nonces = storage.nonces
    names = await storage.session_store_names()
    return _Stored(
        sessions={name: await storage.sessions(name).count() for name in names},
        nonces=await nonces.count(),
        dids=None if storage.dids is None else await _count(storage.dids),
        replay=_Replay(
            nonces.guarantee.name.lower(),
            nonces.horizon_ms,
            nonces.remembers_since_ms,
            nonces.is_complete(),
        ),
    )


async def _count(dids: DidStore) -> int:
    count, after = 0, None
    while True:
        records, after = await dids.page(after=after, limit=1000)
        count += len(records)
        if after is None:
            return count


def _show(stored: _Stored) -> None:
    sessions = [f"{console.plain(name)} {count:,}" for name, count in stored.sessions.items()]
    console.line("sessions", ", ".join(sessions) or "none")
    console.line("nonces", f"{stored.nonces:,}")
    console.line("DIDs", "not kept here" if stored.dids is None else f"{stored.dids:,}")
    replay = stored.replay
    since = time_of(replay.remembers_since_ms)
    console.line("replay", f"{replay.guarantee}; remembers since {since}")
    if not replay.is_complete:
        until = time_of(replay.remembers_since_ms + replay.horizon_ms)
        console.line("", f"incomplete until {until}: demand challenges until then")


def time_of(time_ms: int) -> str:
    """Spell a time in ms since the epoch, to the second, in UTC."""
    try:
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
