"""How a secret is not had. No text here ever holds a secret, a part of one, or a token.

Two of these are decisions and hold at once: somebody took the secret away (not found) or took the
right to it away (refused). The third is trouble, and trouble is outlived for a while: see `cached`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from sage_native.exceptions import ConfigurationError, StorageError

__all__ = ["Reason", "SecretNotFoundError", "SecretRefusedError", "SecretUnavailableError"]

Reason: TypeAlias = Literal[
    "unreachable", "timeout", "sealed", "throttled", "redirect", "failed", "garbage", "malformed"
]


class SecretNotFoundError(ConfigurationError):
    """There is no such secret: the text says where it was looked for, and how to put it there."""


class SecretRefusedError(ConfigurationError):
    """A rule or the back end says no: permissions, a bad name, a place that is read only."""


class SecretUnavailableError(StorageError):
    """The back end does not answer, or its answer cannot be used.

    Attributes:
        reason: ``unreachable``, ``timeout``, ``sealed`` (Vault), ``throttled``, ``redirect``,
            ``failed`` (its own error), ``garbage`` (it does not speak the protocol) or
            ``malformed`` (what was stored there is not what a secret looks like).
    """

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason
