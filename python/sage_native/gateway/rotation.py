"""Keys that change while the gateway runs: the secrets are read again, and what is new is used.

Each secret is asked for every ``secrets.cache`` seconds, and early when a stored session names a
key that is not loaded. A secret that cannot be read, or that holds nothing of use, changes nothing:
the keys in use stay, and the operator is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, NamedTuple

from sage_native import events
from sage_native.exceptions import SageError
from sage_native.gateway.key_secrets import keks_of, operator_token_of, signing_keys_of
from sage_native.sessions import KeyRing

if TYPE_CHECKING:
    from sage_native.aead import KeyEncryptionKey
    from sage_native.config import Settings
    from sage_native.config.secrets import CachedProvider
    from sage_native.gateway.identities import Identities
    from sage_native.keys import SigningKey

__all__ = ["KeyRotation", "Keys"]

_logger = logging.getLogger("sage_native.gateway")
MIN_INTERVAL_S = 1.0


class Keys:
    """Reads what the gateway needs from its secrets.

    Args:
        settings: Which secrets hold it.
        provider: Where they are.
    """

    def __init__(self, settings: Settings, provider: CachedProvider) -> None:
        self._provider = provider
        identity, encryption = settings.identity, settings.encryption
        self._signing = (identity.signing_key_secret, *identity.older_signing_key_secrets)
        self._keks = (encryption.kek_secret, *encryption.older_kek_secrets)
        self._token = settings.admin.token_secret if settings.admin.enabled else None

    async def signing_keys(self) -> list[SigningKey]:
        """Return the identities' keys, the announced one first.

        Raises:
            ConfigurationError, StorageError: A secret is missing, of no use, or out of reach.
        """
        contents = [(name, await self._provider.get(name)) for name in self._signing]
        return [key for name, content in contents for key in signing_keys_of(name, content)]

    async def keks(self) -> list[KeyEncryptionKey]:
        """Return the key-encryption keys, the one that wraps first; raises as ``signing_keys``."""
        contents = [(name, await self._provider.get(name)) for name in self._keks]
        return [key for name, content in contents for key in keks_of(name, content)]

    async def operator_token(self) -> bytes | None:
        """Return the operator token; None without admin listener; raises as ``signing_keys``."""
        if self._token is None:
            return None
        return operator_token_of(self._token, await self._provider.get(self._token))


class KeyRotation:
    """Puts new keys to use while the gateway runs.

    Args:
        keys: Where they are read.
        provider: Finds out what has changed.
        identities: Are given new signing keys.
        ring: Is given new key-encryption keys.
        operator_token: What operators must show at first.
        interval_s: How often to look.

    Attributes:
        operator_token: What operators must show now.
    """

    def __init__(  # noqa: PLR0913 - one part each
        self,
        keys: Keys,
        *,
        provider: CachedProvider,
        identities: Identities,
        ring: KeyRing,
        operator_token: bytes | None,
        interval_s: float,
    ) -> None:
        self._keys = keys
        self._provider = provider
        self._identities = identities
        self._ring = ring
        self.operator_token = operator_token
        self._interval_s = max(interval_s, MIN_INTERVAL_S)
        self._wanted = asyncio.Event()
        self._is_behind = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="key rotation")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def hurry(self) -> None:
        """Look soon: somebody has met a key that is not loaded."""
        self._wanted.set()

    async def look(self) -> bool:
        """Read the secrets now, and use what is new.

        Returns:
            Whether anything was.

        Raises:
            ConfigurationError, StorageError: Nothing was changed.
        """
        refreshed = await self._provider.refresh()
        for name, error in refreshed.lost.items():
            _logger.warning("secret %r is gone, and what it held stays in use: %s", name, error)
        # What failed to be applied is tried again, though it has not changed since.
        self._is_behind = self._is_behind or bool(refreshed.changed)
        if not self._is_behind:
            return False
        signing, keks = await self._keys.signing_keys(), await self._keys.keks()
        token = await self._keys.operator_token()
        # All of it was read: now nothing can fail half-way, but for what the classes refuse whole.
        KeyRing(*keks)
        before = self._in_use()
        self._identities.replace(signing)
        self._ring.replace(*keks)
        self.operator_token = token
        self._is_behind = False
        _logger.info("keys were read anew")
        self._tell_of_change(before)
        return True

    def _in_use(self) -> _InUse:
        did, key = self._identities.announced()[0]
        return _InUse(did, key, self._ring.current.kek_id, self.operator_token)

    def _tell_of_change(self, before: _InUse) -> None:
        now = self._in_use()
        if now.key != before.key:
            events.keys_rotated("signing key", now.did)
        if now.kek_id != before.kek_id:
            events.keys_rotated("kek", now.kek_id)
        if now.token != before.token:
            events.keys_rotated("operator token", None)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wanted.wait()
            try:
                await self.look()
            except SageError as error:
                _logger.warning("keys could not be read anew, those in use stay: %s", error)
            except Exception:
                _logger.exception("keys could not be read anew, those in use stay")
            # At the most one early look in an interval of this length, whoever asks.
            await asyncio.sleep(MIN_INTERVAL_S)
            self._wanted.clear()


class _InUse(NamedTuple):
    """What comes first of each kind: the announced identity, the KEK that wraps, the token."""

    did: str
    key: bytes
    kek_id: str
    token: bytes | None
