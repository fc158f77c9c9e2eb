"""Secrets by name: from the environment, files, Vault or AWS, behind one interface.

::

    async with open_provider(settings.secrets) as provider:
        key = await provider.get("signing-key")
        ...
        refreshed = await provider.refresh()  # from time to time: keys rotate without a restart
        if "signing-key" in refreshed.changed: ...

A back end that is down is outlived for 10 minutes after the last read of a value; then, and when
there never was one, `get` raises. What was taken away is gone at once.
"""

from __future__ import annotations

from sage_native.config.secrets.base import MAX_SECRET_LEN, SecretProvider, checked_name
from sage_native.config.secrets.cached import DEFAULT_STALE_S, CachedProvider, Refreshed
from sage_native.config.secrets.errors import (
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
)
from sage_native.config.secrets.opening import PROVIDERS, SecretsOptions, open_provider

__all__ = [
    "DEFAULT_STALE_S",
    "MAX_SECRET_LEN",
    "PROVIDERS",
    "CachedProvider",
    "Refreshed",
    "SecretNotFoundError",
    "SecretProvider",
    "SecretRefusedError",
    "SecretUnavailableError",
    "SecretsOptions",
    "checked_name",
    "open_provider",
]
