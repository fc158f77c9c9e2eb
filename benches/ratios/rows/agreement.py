"""Row 7: X25519 agreement and key pair.

Agreement: secret and peer share are kept as objects by pyca and us; PyNaCl's function takes bytes.
Our side returns a SharedSecret, which only HKDF can read; pyca and PyNaCl return bytes.
A key pair is done when the public share can be sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import nacl.bindings
import nacl.public
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from benches.ratios.sides import Row, Side, always
from sage_native.keys import EphemeralSecret, StaticSecret
from sage_native.keys import X25519PublicKey as OurPublicKey

if TYPE_CHECKING:
    from sage_native.keys import SharedSecret

SECRET = bytes(range(1, 33))
SHARE = X25519PrivateKey.from_private_bytes(bytes(range(33, 65))).public_key().public_bytes_raw()


def _shared_bytes(shared: SharedSecret) -> bytes:
    return shared.danger_to_bytes()


def _our_exchange() -> Side:
    exchange = StaticSecret(SECRET).exchange
    return Side(exchange, always(OurPublicKey(SHARE)), seen=_shared_bytes)


def _pyca_exchange() -> Side:
    exchange = X25519PrivateKey.from_private_bytes(SECRET).exchange
    return Side(exchange, always(X25519PublicKey.from_public_bytes(SHARE)))


def _nacl_exchange() -> Side:
    return Side(nacl.bindings.crypto_scalarmult, always(SECRET, SHARE))


def _our_key_pair() -> Side:
    generate = EphemeralSecret.generate

    def call() -> bytes:
        return generate().public_key_bytes

    return Side(call, always(), seen=len)


def _pyca_key_pair() -> Side:
    generate = X25519PrivateKey.generate

    def call() -> bytes:
        return generate().public_key().public_bytes_raw()

    return Side(call, always(), seen=len)


def _nacl_key_pair() -> Side:
    generate = nacl.public.PrivateKey.generate

    def call() -> bytes:
        return bytes(generate().public_key)

    return Side(call, always(), seen=len)


_EXCHANGE, _KEY_PAIR = "X25519 exchange", "X25519 key pair"

ROWS = (
    Row(7, _EXCHANGE, "pyca", lambda: (_our_exchange(), _pyca_exchange()), 1.35, 1.5),
    Row(7, _EXCHANGE, "PyNaCl", lambda: (_our_exchange(), _nacl_exchange()), standing="beside"),
    Row(7, _KEY_PAIR, "pyca", lambda: (_our_key_pair(), _pyca_key_pair()), 3.8, 4.5),
    Row(7, _KEY_PAIR, "PyNaCl", lambda: (_our_key_pair(), _nacl_key_pair()), standing="beside"),
)
