"""Secrets in the environment: ``signing-key`` is ``SAGE_SECRET_SIGNING_KEY``.

Values are taken as they are, newlines and all. Nothing is written: a value that is set here would
be gone with the process, while whoever asked for it believes that it was kept.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sage_native.config.secrets.base import SecretProvider
from sage_native.config.secrets.errors import SecretNotFoundError, SecretRefusedError
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EnvProvider"]

_PREFIX = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class EnvProvider(SecretProvider):
    """Reads environment variables.

    Args:
        prefix: What their names begin with.
        environ: The environment; this process's own if left out.

    Raises:
        ConfigurationError: A prefix that no variable can have.
    """

    name = "env"

    def __init__(
        self, *, prefix: str = "SAGE_SECRET_", environ: Mapping[str, str] | None = None
    ) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                f"secrets.prefix {prefix!a} is not the beginning of a variable's name: "
                "letters, digits and underscores, such as 'SAGE_SECRET_'"
            )
        self._prefix = prefix
        self._environ = os.environ if environ is None else environ

    def variable(self, name: str) -> str:
        """Return the variable that holds a secret."""
        return self._prefix + name.upper().replace("-", "_")

    def place(self, name: str) -> str:
        """Return how errors call the place of a secret."""
        return f"environment variable {self.variable(name)}"

    async def _read(self, name: str) -> bytes:
        text = self._environ.get(self.variable(name))
        if text is None:
            raise SecretNotFoundError(
                f"secret '{name}' is not there: set {self.place(name)}, or choose another "
                "secrets.provider"
            )
        return text.encode("utf-8", "surrogateescape")

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:  # noqa: ARG002
        raise SecretRefusedError(
            f"secret '{name}' is not written: an environment lasts as long as its process. Set "
            f"{self.place(name)} where the process is started, or choose another secrets.provider"
        )
