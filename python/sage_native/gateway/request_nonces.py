"""Where the nonces of M1s are admitted: in memory that all workers share, or in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sage_native.protocol import Request
    from sage_native.replay import ReplaySet
    from sage_native.storage.base import NonceStore

__all__ = ["MachineNonces", "RequestNonces", "StoredNonces"]


class RequestNonces(Protocol):
    """Admits each request nonce once.

    Attributes:
        waits: Whether a store must be waited for.
    """

    waits: bool

    def admit(self, request: Request, now_ms: int) -> Awaitable[None] | None:
        """Admit the nonce of an M1 whose signature was verified.

        Returns:
            None if it is done, else what is to be awaited.

        Raises:
            ReplayDetectedError, CapacityError, StorageError: As ``NonceStore.admit``.
        """

    def is_complete(self, now_ms: int) -> bool:
        """Return False while something may be missing that could still be replayed."""


class MachineNonces(RequestNonces):
    """Guarantee ``node``: a `ReplaySet` in a file that every worker of the machine opens."""

    waits = False

    def __init__(self, memory: ReplaySet) -> None:
        self.memory = memory

    def admit(self, request: Request, now_ms: int) -> None:  # noqa: D102 - the port says it
        self.memory.admit(
            request.client_did, request.nonce, request.remember_until_ms, now_ms=now_ms
        )

    def is_complete(self, now_ms: int) -> bool:  # noqa: D102 - the port says it
        return self.memory.is_complete(now_ms=now_ms)


class StoredNonces(RequestNonces):
    """Guarantees ``durable`` and ``failover``: the nonce store of the storage."""

    waits = True

    def __init__(self, store: NonceStore) -> None:
        self.store = store

    def admit(self, request: Request, now_ms: int) -> Awaitable[None]:  # noqa: D102 - as above
        return self.store.admit(
            request.client_did, request.nonce, request.remember_until_ms, now_ms=now_ms
        )

    def is_complete(self, now_ms: int) -> bool:  # noqa: D102 - the port says it
        return self.store.is_complete(now_ms=now_ms)
