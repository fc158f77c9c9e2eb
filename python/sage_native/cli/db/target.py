"""Which database a command is about, how it is opened, and what it is called without a password."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar
from urllib.parse import urlsplit

from cyclopts import Parameter

from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from sage_native.storage.base import Storage
    from sage_native.storage.migrations import MigrationStatus

__all__ = ["DEFAULT", "EPILOGUE", "Database", "checked", "has_schema", "label_of", "opened", "run"]

T = TypeVar("T")

EPILOGUE = (
    "The URL of the database is better put into SAGE_DATABASE_URL than on a command line, which "
    "others may see; a password may also come from PGPASSWORD or PGPASSFILE. None is ever printed."
    "\n\nExit status: 0 done, 1 refused or failed, 2 wrong usage."
)
DEFAULT = "sqlite:///sage.db"
TIMEOUT_S = 10.0
"""When a call is given up: a command has time, and would rather wait than stop half-way."""
Database: TypeAlias = Annotated[
    str,
    Parameter(name="--database", env_var="SAGE_DATABASE_URL"),
]
_SCHEMES = {"sqlite", "postgresql", "postgres", "redis", "rediss", "unix"}
_WITH_SCHEMA = {"sqlite", "postgresql", "postgres"}
_UNREADABLE = (
    "the database URL cannot be read: it is sqlite:///FILE, postgresql://user:password@host/name "
    "or redis://host, with signs such as @ : / # in the password written as %40 %3A %2F %23"
)


def run(work: Coroutine[object, object, T]) -> T:
    """Run what a command does to its end."""
    return asyncio.run(work)


def checked(url: str) -> str:
    """Return the URL to use; an empty one stands for the default.

    Raises:
        ConfigurationError: It cannot be read, or names nothing that lasts. It is never quoted.
    """
    scheme, colon, rest = (url.strip() or DEFAULT).partition(":")
    # Written in any case, as schemes may be; from here on it is compared as text.
    url = scheme.lower() + colon + rest
    try:
        parts = urlsplit(url)
        scheme, port, behind = parts.scheme, parts.port, parts.path + parts.query + parts.fragment
        if scheme != "sqlite" and "@" in behind:
            raise ConfigurationError(_UNREADABLE)  # a piece of a password would be taken for a host
    except ValueError:
        scheme, port = urlsplit(url.partition(":")[0] + ":").scheme, None
        if scheme not in {"postgresql", "postgres"} or "," not in url:
            raise ConfigurationError(_UNREADABLE) from None
    del port
    if scheme == "memory":
        raise ConfigurationError("memory: is gone when the command ends: name a database")
    if scheme not in _SCHEMES:
        raise ConfigurationError(_UNREADABLE)
    return url


def has_schema(url: str) -> bool:
    """Tell whether the backend of a checked URL has a schema that migrations make."""
    return url.partition(":")[0] in _WITH_SCHEMA


def label_of(url: str) -> str:
    """Return a checked URL without user, password and options."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return url
    try:
        parts = urlsplit(url)
        host, port, path = parts.hostname, parts.port, parts.path
    except ValueError:
        return f"{scheme}://…"
    # With unquoted signs in the password, pieces of it end up in the host or the path.
    if not host or "@" in path or parts.netloc.count("@") > 1:
        return f"{scheme}://…"
    return f"{scheme}://{host}{f':{port}' if port else ''}{path}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Storage]:
    """Open the database of a checked URL, whose schema must be the newest.

    Raises:
        ConfigurationError: It is older, newer or dirty, or the backend is misconfigured.
        StorageError: It does not answer.
    """
    # Before it is opened, since opening an SQLite file would make it.
    if has_schema(url):
        from sage_native.storage import migrations  # noqa: PLC0415 - as needed

        _check_schema(await migrations.status(url), label_of(url))
    from sage_native.storage import open_storage  # noqa: PLC0415 - as needed

    # No guarantee is demanded: a backup or a revocation must not wait until a server is mended.
    demanded = None if url.startswith("sqlite:") else "node"
    async with await open_storage(url, timeout_s=TIMEOUT_S, guarantee=demanded) as storage:
        yield storage


def _check_schema(state: MigrationStatus, label: str) -> None:
    if state.dirty:
        raise ConfigurationError(
            f"the schema of {label} is dirty at version {state.current}: mend it by hand, then say "
            "which version it is: sage-native db migrate --force VERSION"
        )
    if state.current > state.newest:
        raise ConfigurationError(
            f"the schema of {label} is at version {state.current}, and this program knows "
            f"{state.newest}: install the newer one"
        )
    if state.current < state.newest:
        raise ConfigurationError(
            f"the schema of {label} is at {state.current} and must be at {state.newest}: run "
            "sage-native db migrate"
        )
