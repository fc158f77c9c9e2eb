"""The one way to a provider: by the settings. What it needs is imported only if it is the one."""

from __future__ import annotations

import difflib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeVar

from sage_native.config.secrets.cached import CachedProvider
from sage_native.config.secrets.env import EnvProvider
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sage_native.config.secrets.base import SecretProvider

__all__ = ["PROVIDERS", "SecretsOptions", "open_provider"]

PROVIDERS = ("env", "file", "vault", "aws-secrets")
"""What ``secrets.provider`` may be."""

_Value = TypeVar("_Value")


class SecretsOptions(Protocol):
    """What is asked of the settings' section ``secrets``."""

    @property
    def provider(self) -> str:
        """Which provider: ``env``, ``file``, ``vault`` or ``aws-secrets``."""

    @property
    def directory(self) -> Path | None:
        """file: the directory."""

    @property
    def prefix(self) -> str:
        """env: what the names of variables begin with."""

    @property
    def vault_url(self) -> str | None:
        """vault: where it answers."""

    @property
    def vault_mount(self) -> str:
        """vault: mount of the KV engine."""

    @property
    def vault_path(self) -> str:
        """vault: path below the mount."""

    @property
    def vault_token_file(self) -> Path | None:
        """vault: file of the token."""

    @property
    def vault_namespace(self) -> str | None:
        """vault: namespace, if it has any."""

    @property
    def aws_region(self) -> str | None:
        """aws-secrets: region."""

    @property
    def aws_prefix(self) -> str:
        """aws-secrets: what the names begin with."""

    @property
    def aws_endpoint_url(self) -> str | None:
        """aws-secrets: another address than that of the region."""

    @property
    def cache(self) -> float:
        """Seconds for which a value is fresh."""

    @property
    def timeout(self) -> float:
        """Seconds after which a call is given up."""


def open_provider(
    settings: SecretsOptions, *, environ: Mapping[str, str] | None = None
) -> CachedProvider:
    """Open the provider that the settings name. Nothing is read yet.

    Args:
        settings: The section ``secrets``.
        environ: The environment; this process's own if left out. AWS's library looks into the
            latter for credentials, whatever is given.

    Returns:
        The provider, with a memory: values are fresh for ``secrets.cache``, and served for 10
        minutes after their last read while the back end is down.

    Raises:
        ConfigurationError: An unknown provider, a setting that is missing or not of its form, or an
            extra that is not installed.
    """
    environ = os.environ if environ is None else environ
    return CachedProvider(_provider(settings, environ), cache_s=settings.cache)


def _provider(settings: SecretsOptions, environ: Mapping[str, str]) -> SecretProvider:
    match settings.provider:
        case "env":
            return EnvProvider(prefix=settings.prefix, environ=environ)
        case "file":
            from sage_native.config.secrets.file import FileProvider  # noqa: PLC0415 - as needed

            return FileProvider(_set(settings.directory, "directory", "file"))
        case "vault":
            _demand(("httpx2", "msgspec"), "gateway")
            from sage_native.config.secrets.vault import VaultProvider  # noqa: PLC0415 - as needed

            return VaultProvider(
                _set(settings.vault_url, "vault_url", "vault"),
                mount=settings.vault_mount,
                path=settings.vault_path,
                token_file=settings.vault_token_file,
                namespace=settings.vault_namespace,
                timeout_s=settings.timeout,
                environ=environ,
            )
        case "aws-secrets":
            _demand(("aiobotocore",), "aws")
            from sage_native.config.secrets.aws import AwsProvider  # noqa: PLC0415 - as needed

            return AwsProvider(
                region=settings.aws_region,
                prefix=settings.aws_prefix,
                endpoint_url=settings.aws_endpoint_url,
                timeout_s=settings.timeout,
            )
    near = difflib.get_close_matches(settings.provider, PROVIDERS, n=1)
    raise ConfigurationError(
        f"secrets.provider {settings.provider!r} is unknown; known are: {', '.join(PROVIDERS)}"
        + (f"; did you mean {near[0]!r}?" if near else "")
    )


def _set(value: _Value | None, key: str, provider: str) -> _Value:
    if value is None:
        raise ConfigurationError(f"secrets.{key} is not set, and provider {provider!r} needs it")
    return value


def _demand(modules: tuple[str, ...], extra: str) -> None:
    for module in modules:
        if find_spec(module) is None:
            raise ConfigurationError(
                f"{module} is not installed: install sage-native[{extra}], which has it"
            )
