"""The token for Vault: from a file that an agent renews, or from the environment.

The file is read for every request, so that a renewed token is used at once. Agents write it for a
group (0640) and as another user, so group and owner are left to them; the rest of the world must
not be able to read it, and nobody but its owner to write it.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import TYPE_CHECKING

from sage_native.config.secrets.errors import SecretRefusedError, SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["VARIABLE", "VaultToken"]

VARIABLE = "VAULT_TOKEN"
_MAX_LEN = 8_192
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# What may stand in a header without changing it.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


class VaultToken:
    """Knows where the token is, and never holds it.

    Args:
        file: The file; ``VAULT_TOKEN`` if left out.
        environ: The environment.
    """

    def __init__(self, file: Path | None, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    @property
    def place(self) -> str:
        """Return how errors call it."""
        return f"token file '{self._file}'" if self._file else f"environment variable {VARIABLE}"

    def read(self) -> str:
        """Return the token as it is now.

        Raises:
            SecretRefusedError: There is none, it is not one, or too many could read it.
            SecretUnavailableError: The disk fails.
        """
        text = self._environ.get(VARIABLE, "") if self._file is None else self._content(self._file)
        token = text.strip()
        if not token:
            raise SecretRefusedError(
                f"no token for Vault: {self.place} is empty or not set; set "
                f"secrets.vault_token_file or {VARIABLE}"
            )
        if not _TOKEN.fullmatch(token):
            raise SecretRefusedError(
                f"{self.place} holds no token for Vault: one line of printable ASCII without "
                f"spaces, at most {_MAX_LEN} signs"
            )
        return token

    def _content(self, path: Path) -> str:
        try:
            # A pipe must not keep us waiting.
            with os.fdopen(os.open(path, _FLAGS), "rb") as file:
                _check(path, os.fstat(file.fileno()))
                content = file.read(_MAX_LEN + 2)
        except FileNotFoundError:
            return ""
        except PermissionError as error:
            raise SecretRefusedError(
                f"{self.place} may not be read by user {os.geteuid()}; change its group"
            ) from error
        except OSError as error:
            raise SecretUnavailableError(
                f"{self.place} cannot be read: {error.strerror}", reason="failed"
            ) from error
        return content.decode("latin-1")


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SecretRefusedError(f"token file '{path}' is not a regular file")
    if found.st_mode & 0o027:
        raise SecretRefusedError(
            f"token file '{path}' is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"chmod 640 {shlex.quote(str(path))}, and renew the token if one of them may have read "
            "it"
        )
