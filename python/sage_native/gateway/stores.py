"""The store, and where request nonces are admitted, as the settings want them.

The workers open both to serve, and the process of the metrics to say how much is in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.request_nonces import MachineNonces, StoredNonces
from sage_native.replay import ReplaySet
from sage_native.storage.base import DEFAULT_HORIZON_MS
from sage_native.storage.opening import open_storage

if TYPE_CHECKING:
    from sage_native.config import Settings
    from sage_native.gateway.request_nonces import RequestNonces
    from sage_native.gateway.state import StateDirectory
    from sage_native.storage.base import Storage

__all__ = ["open_nonces", "open_store"]


async def open_store(settings: Settings) -> Storage:
    """Open the store, with the guarantee that is asked of it.

    Raises:
        ConfigurationError, StorageError: As `sage_native.storage.open_storage`.
    """
    return await open_storage(
        settings.storage.url,
        guarantee=(
            settings.replay.guarantee if _is_stored(settings) else settings.storage.guarantee
        ),
        horizon_ms=DEFAULT_HORIZON_MS,
        timeout_s=settings.storage.timeout,
    )


def open_nonces(settings: Settings, state: StateDirectory, storage: Storage) -> RequestNonces:
    """Open where request nonces are admitted: the store, or the memory of this machine.

    Raises:
        ConfigurationError, StorageError: As ``ReplaySet.open``.
    """
    if _is_stored(settings):
        return StoredNonces(storage.nonces)
    return MachineNonces(
        ReplaySet.open(
            state.replay_path, capacity=settings.replay.capacity, horizon_ms=DEFAULT_HORIZON_MS
        )
    )


def _is_stored(settings: Settings) -> bool:
    return settings.replay.guarantee != "node"
