"""One interface to secrets, wherever they are kept.

A secret is bytes under a name. What the bytes mean (a PEM, a key in base64) is not known here. A
provider reads one secret, and replaces one as a whole; nothing is ever half written. It holds no
secret longer than a call: only `CachedProvider` does that, in memory, as Python bytes, which cannot
be erased.

Names are few and plain, so that each can be a file, an environment variable and a part of a path,
and no two names meet there.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

from sage_native.config.secrets.errors import SecretNotFoundError, SecretRefusedError
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["MAX_SECRET_LEN", "SecretProvider", "checked_name"]

MAX_SECRET_LEN = 65_536
"""The longest secret, in bytes; AWS Secrets Manager takes no more."""
MAX_NAME_LEN = 40
_NAME = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Half of a 16 byte key in hex; what is no longer than this may be shown in an error.
_SHOWN_LEN = 20


def checked_name(name: str) -> str:
    """Return the name of a secret if it is one.

    Raises:
        SecretRefusedError: It is not of the form. What may be a secret in place of its name is not
            shown.
    """
    if len(name) <= MAX_NAME_LEN and _NAME.fullmatch(name):
        return name
    shown = ascii(name) if len(name) <= _SHOWN_LEN else f"of {len(name)} signs"
    raise SecretRefusedError(
        f"secret name {shown} is not one: lower-case letters, digits and single hyphens, beginning "
        f"with a letter, at most {MAX_NAME_LEN}, such as 'signing-key'"
    )


class SecretProvider(ABC):
    """Where secrets are kept. Use it as an async context manager, or call `aclose`.

    An adapter writes `place`, `_read` and `_write`.

    Attributes:
        name: What ``secrets.provider`` calls it.
    """

    name: str

    @abstractmethod
    def place(self, name: str) -> str:
        """Return how errors call the place of a secret, such as ``file '/run/secrets/kek'``."""

    async def get(self, name: str) -> bytes:
        """Return a secret.

        Args:
            name: Lower-case letters, digits and single hyphens, such as ``signing-key``.

        Returns:
            1 to 65,536 bytes.

        Raises:
            SecretNotFoundError: There is none, or an empty one.
            SecretRefusedError: It may not be read, or the name is not one.
            SecretUnavailableError: The back end does not answer, or its answer cannot be used.
        """
        value = await self._read(checked_name(name))
        if not value:
            raise SecretNotFoundError(
                f"secret '{name}' is empty: put a value into {self.place(name)}"
            )
        if len(value) > MAX_SECRET_LEN:
            raise SecretRefusedError(
                f"secret '{name}' in {self.place(name)} is longer than {MAX_SECRET_LEN} bytes, "
                "the most that is read"
            )
        return value

    async def set(self, name: str, value: bytes, *, only_new: bool = False) -> None:
        """Make or replace a secret, as a whole.

        Args:
            name: As for `get`.
            value: 1 to 65,536 bytes; `get` returns the same.
            only_new: Replace nothing: of several that make a secret at once, one succeeds.

        Raises:
            UsageError: An empty value, or one that is too long.
            ConflictError: Somebody else was first.
            SecretRefusedError: It may not be written.
            SecretUnavailableError: The back end does not answer; it may have been written.
        """
        if not 0 < len(value) <= MAX_SECRET_LEN:
            raise UsageError(
                f"a secret has 1 to {MAX_SECRET_LEN} bytes, and '{checked_name(name)}' would have "
                f"{len(value)}"
            )
        await self._write(checked_name(name), bytes(value), only_new=only_new)

    async def aclose(self) -> None:  # noqa: B027 - most hold nothing open
        """Close connections. Calling it again does nothing."""

    @abstractmethod
    async def _read(self, name: str) -> bytes: ...

    @abstractmethod
    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled or copied: it may hold secrets")
