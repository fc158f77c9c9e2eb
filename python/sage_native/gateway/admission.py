"""Which clients may begin a session: the admission policy, over the registry of DIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.dids import DidRegistry
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.hot_keys import HotKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.config.settings import AdmissionSettings
    from sage_native.keys import VerifyingKey
    from sage_native.storage.base import Storage

__all__ = ["ClientAdmission"]


class ClientAdmission:
    """Finds the keys of clients that the policy admits.

    * ``registered``: DIDs that an operator registered.
    * ``allow_list``: those on a list, registered or ``did:key``.
    * ``any_did_key``: everybody who holds a key, unless it was revoked.

    Args:
        settings: The policy.
        storage: Where DIDs are registered.

    Attributes:
        registry: Of all DIDs, admitted or not.
        hot_keys: Keys of those who come often.

    Raises:
        ConfigurationError: The policy needs a registry, and the storage keeps none.
    """

    def __init__(self, settings: AdmissionSettings, storage: Storage) -> None:
        if storage.dids is None and settings.policy == "registered":
            raise ConfigurationError(
                f"admission.policy registered needs a registry of DIDs, and {storage.label} keeps "
                "none: choose sqlite:/// or postgresql:// as storage.url, or allow_list"
            )
        self.registry = DidRegistry(storage.dids, any_did_key=settings.policy != "registered")
        self.hot_keys = HotKeys()
        self._listed = frozenset(settings.allow_list) if settings.policy == "allow_list" else None

    async def keys_of(self, did: str) -> Sequence[VerifyingKey]:
        """Return the keys of an admitted DID; nothing for one that is unknown or not admitted.

        Raises:
            CapacityError, StorageError: As ``DidRegistry.resolve``.
        """
        keys = self.remembered_keys_of(did)
        return self.hot_keys.of(await self.registry.resolve(did)) if keys is None else keys

    def remembered_keys_of(self, did: str) -> Sequence[VerifyingKey] | None:
        """Return what ``keys_of`` would return without asking the store; None if it would ask."""
        if self._listed is not None and did not in self._listed:
            return ()
        keys = self.registry.remembered(did)
        return None if keys is None else self.hot_keys.of(keys)
