"""What PostgreSQL's errors and warnings mean to a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sage_native.exceptions import ConfigurationError, SageError, StorageError, UsageError

try:
    import asyncpg
except ImportError as missing:
    raise ConfigurationError(
        "PostgreSQL needs asyncpg: pip install 'sage-native[postgres]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REFUSED_VALUES", "check_warnings", "failure", "label_of"]

REFUSED_VALUES = (
    asyncpg.DataError,
    asyncpg.exceptions._base.DataError,  # noqa: SLF001 - the client's own, which has no other name
    asyncpg.IntegrityConstraintViolationError,
    UnicodeError,
)
"""A value that the schema does not take. Nothing was stored."""

# Warnings that come with a commit and say nothing about it: numbers of transactions run out.
_HARMLESS_SOURCES = frozenset({"GetNewTransactionId", "GetNewMultiXactId"})


def failure(error: Exception, label: str) -> SageError:
    """Return what to raise from an error of the driver or the server."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, REFUSED_VALUES):
        return UsageError(f"{label} does not take this: {text}")
    return StorageError(f"{label} failed: {text}")


def check_warnings(messages: Sequence[asyncpg.PostgresLogMessage], label: str) -> None:
    """Refuse an answer that came with a warning, such as 01000: committed here, not on the standby.

    Raises:
        StorageError: There is one; the outcome is unknown.

    Source: PostgreSQL, SyncRepWaitForLSN: a wait that is cancelled leaves the commit and warns.
    """
    for message in messages:
        if (message.severity_en or message.severity) != "WARNING":
            continue
        if message.server_source_function in _HARMLESS_SOURCES:
            continue
        raise StorageError(
            f"{label} answered with a warning, so the outcome is unknown: {message.message} "
            f"({message.sqlstate})"
        ) from (message if isinstance(message, BaseException) else None)


def label_of(dsn: str) -> str:
    """Name a database without user and password, as far as that can be told for sure."""
    unnamed = "PostgreSQL"
    try:
        parts = urlsplit(dsn)
        place = f"{parts.hostname}:{parts.port or 5432}"
    except ValueError:
        return unnamed
    # With unquoted signs in the password, pieces of it end up in the host or the path.
    if not parts.hostname or "@" in parts.path or parts.netloc.count("@") > 1:
        return unnamed
    database = parts.path.removeprefix("/")
    return f"{unnamed} {database} at {place}" if database else f"{unnamed} at {place}"
