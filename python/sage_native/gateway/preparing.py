"""What must be there before a gateway starts: its secrets.

In the profiles ``local`` and ``dev`` those that are missing are made, so that a first start needs
nothing. Elsewhere they are the operator's, and a missing one refuses to start.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sage_native.config.secrets import SecretNotFoundError, open_provider
from sage_native.gateway.key_secrets import new_keks, new_operator_token, new_signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.config import Settings
    from sage_native.config.secrets import CachedProvider
    from sage_native.gateway.state import StateDirectory

__all__ = ["ensure_secrets", "opened_secrets"]

_logger = logging.getLogger("sage_native.gateway")


def opened_secrets(settings: Settings, state: StateDirectory) -> CachedProvider:
    """Open the secret provider of the settings; files are in ``secrets`` of the state directory."""
    secrets = settings.secrets
    if secrets.provider == "file" and secrets.directory is None:
        secrets = secrets.model_copy(update={"directory": state.path / "secrets"})
    return open_provider(secrets)


async def ensure_secrets(
    settings: Settings, state: StateDirectory, provider: CachedProvider
) -> None:
    """Make what is missing, where the profile allows it, and say where it is.

    Raises:
        ConfigurationError: Something is missing elsewhere, or cannot be read or written.
        StorageError: The provider does not answer.
    """
    if settings.profile not in {"local", "dev"}:
        return
    makers: dict[str, Callable[[], bytes]] = {
        settings.identity.signing_key_secret: new_signing_key,
        settings.encryption.kek_secret: new_keks,
    }
    if settings.admin.enabled:
        makers[settings.admin.token_secret] = new_operator_token
    async with state.making_secrets():
        for name, make in makers.items():
            try:
                await provider.get(name)
            except SecretNotFoundError:
                await provider.set(name, make(), only_new=True)
                _logger.info("made secret %r: %s", name, provider.place(name))
