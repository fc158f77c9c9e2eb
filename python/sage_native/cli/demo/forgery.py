"""The best M2 that somebody can make who has everything but the server's signing key.

It answers a client's own M1, carries the server's DID, agrees on a shared secret with the client's
share and confirms it: all is as the server would have sent it, except that another key signed.
Given the server's key the result is a valid M2, which is how the tests know that the client refuses
the key and nothing else.

Source: docs/protocol.md, "Messages" and "Key schedule".
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import time
from typing import TYPE_CHECKING

from sage_native.keys import EphemeralSecret, X25519PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["forge_accept"]

SUITE = 1
PAD = b" " * 64
KEY_LEN, SIGNATURE_LEN = 32, 64


def forge_accept(initiate: bytes, signing_key: Ed25519PrivateKey) -> bytes:
    """Answer an M1 as its server would, under this key.

    Args:
        initiate: M1 in its binary carrier, ``M1 || signature(64)``.
        signing_key: The forger's key; ``SigningKey.sign`` refuses to sign handshakes.

    Returns:
        M2 in its binary carrier.
    """
    m1, client_signature = initiate[:-SIGNATURE_LEN], initiate[-SIGNATURE_LEN:]
    server_did, client_share = _fields(m1)
    ephemeral = EphemeralSecret()
    m2 = _m2(ephemeral.public_key_bytes)
    th1 = _sha256(b"SAGE-HS/1", m1)
    th2 = _sha256(th1, client_signature, m2)
    signature = signing_key.sign(PAD + b"SAGE-HS/1 accept\0" + th2)
    th3 = _sha256(th2, signature)
    prk = ephemeral.exchange(X25519PublicKey(client_share)).extract(
        _sha256(b"SAGE-HS/1 ", struct.pack(">H", SUITE))
    )
    finish_s = prk.expand(_hkdf_label(b"finish s", th2), KEY_LEN)
    confirmation = hmac.digest(finish_s, b"server" + th3, "sha256")
    return _lp(server_did) + m2 + signature + confirmation


def _fields(m1: bytes) -> tuple[bytes, bytes]:
    """Return ``server_did`` and ``client_key_share`` of an M1."""
    suite_count = m1[1]
    _client_did, rest = _split_lp(m1[2 + 2 * suite_count :])
    server_did, rest = _split_lp(rest[KEY_LEN:])
    client_share, _rest = _split_lp(rest[KEY_LEN:])
    return server_did, client_share


def _m2(share: bytes) -> bytes:
    expires_ms = time.time_ns() // 1_000_000 + 3_600_000
    session_id, nonce = os.urandom(16), os.urandom(32)
    return (
        struct.pack(">H16s", SUITE, session_id)
        + _lp(share)
        + struct.pack(">32sQI", nonce, expires_ms, 600)
    )


def _hkdf_label(label: bytes, context: bytes) -> bytes:
    full = b"sage1 " + label
    lengths = struct.pack(">HB", KEY_LEN, len(full))
    return lengths + full + bytes((len(context),)) + context


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _lp(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _split_lp(data: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(data[:2], "big")
    return data[2:end], data[end:]
