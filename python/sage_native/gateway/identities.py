"""Who the gateway is: the identity that it announces, and those that it still answers to.

A rotation puts a new key in front. Clients that pinned the one before are answered under it until
it is taken away; whoever asks ``/v1/identity`` is told of the new one first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sage_native.exceptions import ConfigurationError, HandshakeError, UsageError
from sage_native.protocol import Responder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.keys import SigningKey
    from sage_native.protocol import Request

__all__ = ["Identities"]


class _Identity(NamedTuple):
    key: SigningKey
    ready: Responder
    challenging: Responder


class Identities:
    """The identities of one gateway, the announced one first.

    Args:
        keys: Signing keys; the first is announced. They stay open until they are replaced.
        dids: DIDs that list the keys, beside the ``did:key`` of each.
        challenge_key: 32 bytes that all workers of the gateway share.
        require_signed_confirmation: Policy ``signature``.
    """

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        dids: Sequence[str],
        challenge_key: bytes,
        require_signed_confirmation: bool,
    ) -> None:
        self._dids = tuple(dids)
        self._challenge_key = challenge_key
        self._is_signed = require_signed_confirmation
        self._identities: tuple[_Identity, ...] = ()
        self.replace(keys)

    def replace(self, keys: Sequence[SigningKey]) -> None:
        """Answer to these keys from now on, to the first one above all.

        M1s that are being answered under a key that goes are finished under it.

        Raises:
            ConfigurationError: No key, one key twice, or a DID that cannot be one.
        """
        if not keys:
            raise ConfigurationError("identity: a gateway needs a signing key")
        publics = [key.verifying_key_bytes for key in keys]
        if len(set(publics)) != len(publics):
            raise ConfigurationError("identity: one signing key is named twice")
        self._identities = tuple(self._identity(key) for key in keys)

    def _identity(self, key: SigningKey) -> _Identity:
        try:
            ready, challenging = (
                Responder(
                    key,
                    resolve=_nobody,
                    admit=_nothing,
                    dids=self._dids,
                    require_challenge=require_challenge,
                    require_signed_confirmation=self._is_signed,
                    challenge_key=self._challenge_key,
                )
                for require_challenge in (False, True)
            )
        except (HandshakeError, UsageError) as error:
            raise ConfigurationError(f"identity.dids: {error}") from error
        return _Identity(key, ready, challenging)

    def read(self, message: bytes, *, require_challenge: bool, now_ms: int) -> Request:
        """Read an M1 under the identity that it is meant for.

        Raises:
            HandshakeError: As ``Responder.read``; ``misdirected`` if it is meant for none.
        """
        identities = self._identities
        for identity in identities[:-1]:
            responder = identity.challenging if require_challenge else identity.ready
            try:
                return responder.read(message, now_ms=now_ms)
            except HandshakeError as error:
                if error.code != "misdirected":
                    raise
        last = identities[-1]
        responder = last.challenging if require_challenge else last.ready
        return responder.read(message, now_ms=now_ms)

    def announced(self) -> list[tuple[str, bytes]]:
        """Return each DID with its key: those of the announced identity first."""
        return [
            (did, identity.key.verifying_key_bytes)
            for identity in self._identities
            for did in identity.ready.dids
        ]


def _nobody(_did: str) -> NoReturn:
    raise AssertionError("the gateway resolves DIDs itself")


def _nothing(_scope: str, _nonce: bytes, _until_ms: int, /, **_: int | None) -> NoReturn:
    raise AssertionError("the gateway admits nonces itself")
