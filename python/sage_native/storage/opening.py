"""One way to name a backend: by its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sage_native.exceptions import ConfigurationError
from sage_native.replay import ReplaySet
from sage_native.storage.base import DEFAULT_HORIZON_MS
from sage_native.storage.guarantee import ReplayGuarantee

if TYPE_CHECKING:
    from sage_native.storage.base import Storage

__all__ = ["open_storage"]

_KNOWN = "memory:, sqlite:///FILE, postgresql://…, redis://…, rediss://…, unix://…"


async def open_storage(
    url: str,
    *,
    guarantee: ReplayGuarantee | str | None = None,
    horizon_ms: int = DEFAULT_HORIZON_MS,
    timeout_s: float | None = None,
) -> Storage:
    """Open the backend that a URL names. Only its own module is imported.

    Args:
        url: ``memory:``; ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, which is made and
            migrated if need be; ``postgresql://user@host/database``; ``redis://host``,
            ``rediss://`` or ``unix://``.
        guarantee: The replay guarantee that is demanded, or its name, such as ``durable``; what the
            backend reaches by default if it is left out.
        horizon_ms: How far ahead of the clock request nonces may be remembered.
        timeout_s: When a call gives up, in seconds; 0.9 if it is left out.

    Raises:
        ConfigurationError: An unknown scheme, a missing extra, a schema that is not the newest, or
            a guarantee that is not reached. The text never holds a password.
        StorageError: The backend does not answer.
    """
    scheme = _checked_scheme(url)
    demanded: dict[str, Any] = {}
    if guarantee is not None:
        named = ReplayGuarantee.parse(guarantee) if isinstance(guarantee, str) else guarantee
        demanded["guarantee"] = named
    if timeout_s is not None and scheme != "memory":
        demanded["timeout_s"] = timeout_s
    match scheme:
        case "memory":
            from sage_native.storage.memory import MemoryStorage  # noqa: PLC0415 - as needed

            return MemoryStorage(nonces=ReplaySet(horizon_ms=horizon_ms), **demanded)
        case "sqlite":
            from sage_native.storage.migrations.sqlite import path_of  # noqa: PLC0415 - as needed
            from sage_native.storage.sqlite import SqliteStorage  # noqa: PLC0415 - as needed

            return await SqliteStorage.open(path_of(url), horizon_ms=horizon_ms, **demanded)
        case "postgresql" | "postgres":
            _demand("asyncpg", "postgres")
            from sage_native.storage.postgres import PostgresStorage  # noqa: PLC0415 - as needed

            return await PostgresStorage.open(url, horizon_ms=horizon_ms, **demanded)
        case "redis" | "rediss" | "unix":
            _demand("redis", "redis")
            from sage_native.storage.redis import RedisStorage  # noqa: PLC0415 - as needed

            return await RedisStorage.open(url, horizon_ms=horizon_ms, **demanded)
    raise ConfigurationError(f"storage URL of scheme {scheme!r} is unknown; known are: {_KNOWN}")


def _checked_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        # The original quotes the part with the password.
        raise ConfigurationError(f"the storage URL cannot be read; known are: {_KNOWN}") from None
    if (
        parts.scheme not in {"memory", "sqlite"}
        and "@" in parts.path + parts.query + parts.fragment
    ):
        # A sign of a password that was not quoted: half of it would be taken for a host.
        raise ConfigurationError(
            "the storage URL has an @ behind its host: write signs such as @ : / ? # in a password "
            "as %40 %3A %2F %3F %23"
        )
    return parts.scheme


def _demand(module: str, extra: str) -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - as needed

    if find_spec(module) is None:
        raise ConfigurationError(
            f"{module} is not installed: install sage-native with its extra {extra!r}"
        )
