"""Sealing the secrets of a session for its row, as "Sessions at rest" says: AES-256-GCM-SIV."""

from __future__ import annotations

from os import urandom
from struct import Struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

_U64 = Struct(">HQHQHIH").pack


class Wrapper:
    """One key-encryption key and the name of one store."""

    def __init__(self, kek_id: str, key: bytes, store: str) -> None:
        self.kek_id = kek_id
        self._encrypt = AESGCMSIV(key).encrypt
        self._head = _lp(store.encode()) + b"\0\x10"
        self._tail = kek_id.encode()

    def wrap(  # noqa: PLR0913  # what is bound to the row
        self,
        secret: bytes,
        *,
        session_id: bytes,
        client_did: bytes,
        server_did: bytes,
        created_ms: int,
        expires_ms: int,
        epoch: int,
    ) -> bytes:
        """Return ``nonce(12) || ciphertext || tag(16)``."""
        aad = b"".join(
            (
                self._head,
                session_id,
                _lp(client_did),
                _lp(server_did),
                _U64(8, created_ms, 8, expires_ms, 4, epoch, len(self._tail)),
                self._tail,
            )
        )
        nonce = urandom(12)
        return nonce + self._encrypt(nonce, secret, aad)


def _lp(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
