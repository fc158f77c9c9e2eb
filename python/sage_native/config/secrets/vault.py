"""Secrets in HashiCorp Vault or OpenBao, engine KV version 2.

A secret is one entry below ``mount`` and ``path``, with one field ``value`` that holds the bytes in
base64::

    vault kv put -mount=secret sage/signing-key value="$(base64 < agent.key)"

The token's policy needs ``read`` on ``<mount>/data/<path>/*``, and ``create`` and ``update`` too if
secrets are set. A write replaces the version that was read just before, and none that somebody else
wrote meanwhile (check-and-set).

Of the errors of Vault nothing but the status is shown: what it says may quote what it was sent.
"""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING

import msgspec

from sage_native.config.secrets import vault_answers
from sage_native.config.secrets.base import SecretProvider
from sage_native.config.secrets.endpoints import checked_endpoint
from sage_native.config.secrets.errors import (
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
)
from sage_native.config.secrets.vault_client import Answer, VaultClient
from sage_native.config.secrets.vault_token import VaultToken
from sage_native.exceptions import ConfigurationError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sage_native.config.secrets.errors import Reason
    from sage_native.exceptions import SageError

__all__ = ["VaultProvider"]

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_DECISIONS = {400, 403, 404, 405}
_REDIRECTS = {301, 302, 303, 307, 308}


class VaultProvider(SecretProvider):
    """Reads and writes entries of a KV v2 engine.

    Args:
        url: Of Vault, ``https``; ``http`` on loopback only.
        mount: Where the engine is mounted.
        path: What stands before the names.
        token_file: The token; ``VAULT_TOKEN`` if left out.
        namespace: Sent as ``X-Vault-Namespace``.
        timeout_s: For one call with all its tries, in seconds.
        environ: For ``VAULT_TOKEN`` and ``VAULT_CACERT``, a file of authorities to trust in place
            of the system's; this process's environment if left out.

    Raises:
        ConfigurationError: One of these is not of its form.
    """

    name = "vault"

    def __init__(  # noqa: PLR0913 - one setting each
        self,
        url: str,
        *,
        mount: str = "secret",
        path: str = "sage",
        token_file: Path | None = None,
        namespace: str | None = None,
        timeout_s: float = 5.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        named = {"vault_mount": mount, "vault_path": path}
        if namespace is not None:
            named["vault_namespace"] = namespace.rstrip("/")
        for key, text in named.items():
            if not _PATH.fullmatch(text):
                raise ConfigurationError(
                    f"secrets.{key} {text!a} is not a path: letters, digits, '.', '_' and '-' "
                    "between single slashes, none at either end, no part beginning with '.'"
                )
        self._mount, self._path = mount, path
        try:
            self._client = VaultClient(
                checked_endpoint(url, setting="secrets.vault_url"),
                token=VaultToken(token_file, environ),
                namespace=namespace,
                timeout_s=timeout_s,
                ca_file=environ.get("VAULT_CACERT"),
            )
        except OSError as error:  # which ssl.SSLError is
            raise ConfigurationError(
                f"VAULT_CACERT '{environ.get('VAULT_CACERT')}' holds no certificates: {error}"
            ) from error

    def place(self, name: str) -> str:
        """Return how errors call the place of a secret."""
        return f"Vault entry '{self._path}/{name}' of mount '{self._mount}'"

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _read(self, name: str) -> bytes:
        answer = await self._client.ask("GET", self._url(name))
        if answer.status != 200:
            raise self._trouble(answer, name, doing="read")
        entry = vault_answers.decoded(answer.body)
        if entry is None or entry.data is None:
            raise _garbage()
        value = vault_answers.value_of(entry)
        if value is None:
            raise SecretUnavailableError(
                f"secret '{name}' is not in base64 in the field 'value' of {self.place(name)}: "
                f'vault kv put -mount={self._mount} {self._path}/{name} value="$(base64 < FILE)"',
                reason="malformed",
            )
        return value

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:
        version, is_there = await self._state(name)
        if only_new and is_there:
            raise ConflictError(
                f"secret '{name}' is there already: {self.place(name)} was not touched"
            )
        content = msgspec.json.encode(
            {
                "options": {"cas": version},
                "data": {"value": base64.b64encode(value).decode("ascii")},
            }
        )
        answer = await self._client.ask("POST", self._url(name), content=content)
        if answer.status == 400 and b"check-and-set" in answer.body:
            raise ConflictError(
                f"secret '{name}' was not written: somebody else wrote {self.place(name)} meanwhile"
            )
        if answer.status != 200:
            raise self._trouble(answer, name, doing="write")
        if not vault_answers.is_written(answer.body):
            raise _garbage()

    async def _state(self, name: str) -> tuple[int, bool]:
        """Return the version that a write replaces, and whether it still holds a value."""
        answer = await self._client.ask("GET", self._url(name))
        if answer.status not in {200, 404}:
            raise self._trouble(answer, name, doing="read")
        entry = vault_answers.decoded(answer.body)
        if entry is not None and (answer.status == 404 or entry.data is not None):
            # Also with 404: the newest version is deleted, and its number counts on.
            return entry.metadata.version, answer.status == 200
        if answer.status == 200 or not vault_answers.is_of_vault(answer.body):
            raise _garbage()
        return 0, False

    def _url(self, name: str) -> str:
        return f"/v1/{self._mount}/data/{self._path}/{name}"

    def _trouble(self, answer: Answer, name: str, *, doing: str) -> SageError:
        what = f"secret '{name}' was not {'read' if doing == 'read' else 'written'}"
        if answer.status in _DECISIONS and not vault_answers.is_of_vault(answer.body):
            # A proxy's page is trouble, and takes no key from anybody.
            return _garbage()
        if answer.status == 404:
            return SecretNotFoundError(
                f"secret '{name}' is not there: {self.place(name)} does not exist, or no KV v2 "
                "engine is mounted there (secrets.vault_mount, vault_path, vault_namespace)"
            )
        if answer.status == 403:
            return SecretRefusedError(
                f"{what}: Vault refuses the token (403); its policy needs this on "
                f"'{self._mount}/data/{self._path}/{name}', or it has expired"
            )
        if answer.status in {400, 405}:
            return SecretRefusedError(
                f"{what}: Vault refuses the request ({answer.status}); is a KV v2 engine mounted "
                f"at '{self._mount}'?"
            )
        return _unavailable(answer, what)


def _unavailable(answer: Answer, what: str) -> SecretUnavailableError:
    reason: Reason
    if answer.is_sealed:
        text, reason = "is sealed (503); unseal it", "sealed"
    elif answer.status == 429:
        text, reason = "has too many requests (429)", "throttled"
    elif answer.status in _REDIRECTS:
        text, reason = (
            f"sends us elsewhere ({answer.status}), and the token goes nowhere else; point "
            "secrets.vault_url at the active node or a load balancer",
            "redirect",
        )
    else:
        text, reason = f"answers {answer.status}", "failed"
    return SecretUnavailableError(f"{what}: Vault {text}", reason=reason)


def _garbage() -> SecretUnavailableError:
    return SecretUnavailableError(
        "what answers at secrets.vault_url does not speak Vault's KV version 2; check the URL, and "
        "the engine's version at secrets.vault_mount",
        reason="garbage",
    )
