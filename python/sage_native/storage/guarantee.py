"""What a nonce store promises to survive."""

from __future__ import annotations

import enum

from sage_native.exceptions import ConfigurationError

__all__ = ["ReplayGuarantee"]


class ReplayGuarantee(enum.IntEnum):
    """What may be lost without a nonce being admitted twice; each level includes those before.

    A store states the level that it reaches as it is configured, and refuses to start below the
    level that is asked of it.
    """

    PROCESS = 1
    """Nothing: what was admitted is forgotten when this process ends."""
    NODE = 2
    """Any process that uses the store, at any instruction. Not the store or its machine."""
    DURABLE = 3
    """The store itself and the power of its machine: an answer is given once it is on disk."""
    FAILOVER = 4
    """The store's machine: an answer is given once a second machine has it on disk."""

    @classmethod
    def parse(cls, name: str) -> ReplayGuarantee:
        """Return the level of a name such as ``durable``.

        Raises:
            ConfigurationError: There is no such level.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(level.name.lower() for level in cls)
            raise ConfigurationError(
                f"replay guarantee {name!r} is unknown; known are: {known}"
            ) from None

    def require(self, wanted: ReplayGuarantee, *, store: str, remedy: str) -> None:
        """Check that this level is at least the one that is wanted.

        Args:
            wanted: The configured level.
            store: What the store is called in the error.
            remedy: How the store would reach more, for the error.

        Raises:
            ConfigurationError: It is less; the text names store, both levels and the remedy.
        """
        if self < wanted:
            raise ConfigurationError(
                f"{store} guarantees replay protection at level {self.name.lower()}, and the "
                f"configuration demands {wanted.name.lower()}: {remedy}"
            )
