"""Hash, HMAC, HKDF with labels, X25519 and the two AEADs, each a thin line over pyca.

Source: docs/protocol.md, "Notation" and "Key schedule"; RFC 5869, RFC 7748, RFC 8446 section 7.1,
RFC 8452, NIST SP 800-38D.
"""

from __future__ import annotations

import hashlib
import hmac as stdlib_hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .errors import ProtocolError, unauthenticated

LABEL_PREFIX = b"sage1 "


def sha256(*parts: bytes) -> bytes:
    """Return ``H`` of the concatenated parts, 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """Return ``HMAC`` of the concatenated parts, 32 bytes."""
    return stdlib_hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def equal(left: bytes, right: bytes) -> bool:
    """Compare two authenticators without an early exit."""
    return stdlib_hmac.compare_digest(left, right)


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    """Return the prk, 32 bytes. Source: RFC 5869 section 2.2."""
    return hmac_sha256(salt, ikm)


def hkdf_label(label: bytes, context: bytes, length: int, prefix: bytes = LABEL_PREFIX) -> bytes:
    """Return the ``HkdfLabel`` structure that serves as HKDF info.

    Layout: ``u16 length || u8 len || prefix label || u8 len || context``. The TLS 1.3 prefix is
    ``"tls13 "``, ours is ``"sage1 "``. Source: RFC 8446 section 7.1.
    """
    full_label = prefix + label
    if not 7 <= len(full_label) <= 255:
        raise ValueError(f"label with prefix is 7..255 bytes, not {len(full_label)}")
    if len(context) > 255:
        raise ValueError(f"context is at most 255 bytes, not {len(context)}")
    return (
        length.to_bytes(2, "big")
        + len(full_label).to_bytes(1, "big")
        + full_label
        + len(context).to_bytes(1, "big")
        + context
    )


def expand(
    secret: bytes, label: bytes, context: bytes, length: int, prefix: bytes = LABEL_PREFIX
) -> bytes:
    """Return ``Expand(secret, label, context, length)``; length is 1..8160 bytes."""
    info = hkdf_label(label, context, length, prefix)
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def x25519_public(secret: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret: bytes, peer_public: bytes) -> bytes:
    """Return the 32-byte shared secret; an all-zero one aborts with ``invalid_key``.

    Source: docs/protocol.md, "Notation"; RFC 7748 section 6.1.
    """
    if len(peer_public) != 32:
        raise ProtocolError("invalid_key", f"X25519 key of {len(peer_public)} bytes")
    try:
        private = X25519PrivateKey.from_private_bytes(secret)
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError as error:
        raise ProtocolError("invalid_key", "X25519 peer key of small order") from error
    if shared == bytes(32):
        raise ProtocolError("invalid_key", "all-zero shared secret")
    return shared


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM; returns ``ciphertext || tag(16)``."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what `gcm_seal` made, or raise ``authentication_failed``."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag as error:
        raise unauthenticated("AES-256-GCM tag") from error


def gcm_siv_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM-SIV (RFC 8452); returns ``ciphertext || tag(16)``. For keys at rest."""
    return AESGCMSIV(key).encrypt(nonce, plaintext, aad)


def gcm_siv_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what `gcm_siv_seal` made, or raise ``authentication_failed``."""
    try:
        return AESGCMSIV(key).decrypt(nonce, sealed, aad)
    except InvalidTag as error:
        raise unauthenticated("AES-256-GCM-SIV tag") from error
