"""What every store must do, as tests that an adapter inherits.

::

    pytest.register_assert_rewrite("sage_native.storage.contract")   # in conftest.py

    class TestMyStore(StorageContract):
        @pytest.fixture
        async def storage(self):
            async with await MyStorage.open(...) as storage:
                yield storage

For one port alone inherit its contract, and let the fixture return what has that store only::

    class TestMyNonces(NonceStoreContract):
        @pytest.fixture
        async def storage(self):
            yield SimpleNamespace(nonces=MyNonceStore())

The tests are coroutines: run them with pytest-asyncio in its mode ``auto``. Each expects an empty
storage. They use the clock of the machine, since backends do.
"""

from __future__ import annotations

from sage_native.storage.contract.dids import DidStoreContract
from sage_native.storage.contract.nonces import NonceStoreContract
from sage_native.storage.contract.revocations import RevocationContract
from sage_native.storage.contract.sessions import SessionStoreContract

__all__ = [
    "DidStoreContract",
    "NonceStoreContract",
    "RevocationContract",
    "SessionStoreContract",
    "StorageContract",
]


class StorageContract(
    SessionStoreContract, RevocationContract, NonceStoreContract, DidStoreContract
):
    """All of it."""
