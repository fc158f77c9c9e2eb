"""What to write instead of keys that the original plan or a habit would suggest."""

from __future__ import annotations

import warnings
from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["HINTS", "renewed"]

_JAEGER_PORT: Final = 14_268
_OTLP: Final = (4318, "/v1/traces")

_TLS: Final = "TLS is on once server.tls names certificate and key, and off with server.tls: null"
_PROFILE: Final = "the profile is chosen by --profile or SAGE_ENV"
_NEVER: Final = "it cannot be switched off"

HINTS: Final = {
    "server.tls.enabled": _TLS,
    "server.tls_enabled": _TLS,
    "server.tls.cert": "write server.tls.certificate",
    "server.tls.cert_file": "write server.tls.certificate",
    "server.tls.key_file": "write server.tls.key",
    "profile": _PROFILE,
    "env": _PROFILE,
    "environment": _PROFILE,
    "features.authentication": _NEVER,
    "features.auth": _NEVER,
    "features.replay": _NEVER,
    "features.replay_protection": _NEVER,
    "database.url": "write storage.url",
    "database_url": "write storage.url",
    "database": "write storage.url",
    "redis_url": "write storage.url",
    "log_level": "write logging.level",
    "secrets.vault_token": "settings hold no secrets: put it into a file, secrets.vault_token_file",
    "secrets.vault_addr": "write secrets.vault_url",
}
"""From the dotted key to the way out."""


def renewed(path: tuple[str, ...], value: object, origin: str) -> tuple[tuple[str, ...], object]:
    """Return a key and value as they are written today, with a warning if they were not.

    ``tracing.jaeger_endpoint`` becomes ``tracing.endpoint``. Jaeger's own port and path, which it
    has given up, become those of OTLP, which it takes instead.
    """
    if path != ("tracing", "jaeger_endpoint"):
        return path, value
    warnings.warn(
        f"tracing.jaeger_endpoint ({origin}) is called tracing.endpoint; where it names Jaeger's "
        f"port {_JAEGER_PORT}, port {_OTLP[0]} and path {_OTLP[1]} of OTLP are used",
        FutureWarning,
        stacklevel=2,
    )
    return ("tracing", "endpoint"), _as_otlp(value)


def _as_otlp(value: object) -> object:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or parts.port != _JAEGER_PORT:
            return value
    except ValueError:
        return value  # the rule of the key will say so
    host = parts.netloc.rpartition(":")[0]
    return urlunsplit((parts.scheme, f"{host}:{_OTLP[0]}", _OTLP[1], "", ""))
