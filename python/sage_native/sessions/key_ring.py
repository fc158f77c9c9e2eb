"""The key-encryption keys of a deployment: one to wrap with, and those that still open rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError, KeyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.aead import KeyEncryptionKey

__all__ = ["KeyRing"]


class KeyRing:
    """Key-encryption keys by their id.

    Args:
        current: Wraps whatever is wrapped from now on.
        older: Keys under which rows are still stored.

    Raises:
        ConfigurationError: Two keys have one id.
    """

    def __init__(self, current: KeyEncryptionKey, *older: KeyEncryptionKey) -> None:
        self.replace(current, *older)

    def replace(self, current: KeyEncryptionKey, *older: KeyEncryptionKey) -> None:
        """Rotate: wrap with another key from now on, and open with these.

        Keys that go are not closed: what is being stored with them is finished.

        Raises:
            ConfigurationError: Two keys have one id. The ring is as it was.
        """
        ids = Counter(key.kek_id for key in (current, *older))
        for kek_id, count in ids.items():
            if count > 1:
                raise ConfigurationError(f"{count} key-encryption keys have the id {kek_id!r}")
        self._keys = {key.kek_id: key for key in (current, *older)}
        self.current = current

    def key(self, kek_id: str) -> KeyEncryptionKey:
        """Return the key of an id.

        Raises:
            KeyUnavailableError: It is not on the ring; the text names it and those that are.
        """
        try:
            return self._keys[kek_id]
        except KeyError:
            raise KeyUnavailableError(
                f"key-encryption key {kek_id!r} is not loaded; loaded are: {', '.join(self._keys)}"
            ) from None

    def older_ids(self) -> Sequence[str]:
        """Return the ids of the keys that nothing is wrapped under any more."""
        return [kek_id for kek_id in self._keys if kek_id != self.current.kek_id]

    def __repr__(self) -> str:
        return f"KeyRing(current={self.current.kek_id!r}, older={self.older_ids()!r})"
