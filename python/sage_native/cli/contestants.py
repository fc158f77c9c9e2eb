"""What the table of rates measures: the same operations in three libraries.

Each library gets the same inputs, on one thread, with kept key objects, through its public calls. A
fixed nonce is fine here: these keys protect nothing.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sage_native.aead import AeadKey
from sage_native.keys import SigningKey, StaticSecret, resolve_did_key
from sage_native.protocol import Initiator, Responder
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Callable

    _Calls: TypeAlias = dict[str, Callable[[], object]]

__all__ = [
    "HANDSHAKE",
    "OPERATIONS",
    "Inputs",
    "cryptography_calls",
    "native_calls",
    "pynacl_calls",
]

HANDSHAKE = "handshake, both sides"
OPERATIONS = (
    "sign 256 B",
    "verify 256 B",
    "X25519",
    "seal 64 B",
    "open 64 B",
    "seal 16 KiB",
    "open 16 KiB",
    HANDSHAKE,
)


@dataclass(frozen=True)
class Inputs:
    """What every library is given."""

    message: bytes = field(default_factory=partial(os.urandom, 256))
    key: bytes = field(default_factory=partial(os.urandom, 32))
    nonce: bytes = field(default_factory=partial(os.urandom, 12))
    aad: bytes = field(default_factory=partial(os.urandom, 48))
    plaintexts: dict[str, bytes] = field(
        default_factory=lambda: {"64 B": os.urandom(64), "16 KiB": os.urandom(1 << 14)}
    )


def native_calls(inputs: Inputs) -> _Calls:
    """Return the operations of this package."""
    signing_key, secret, aead = SigningKey.generate(), StaticSecret(), AeadKey(inputs.key)
    verifying_key, peer = signing_key.verifying_key, StaticSecret().public_key
    signature = signing_key.sign(inputs.message)
    calls: _Calls = {
        "sign 256 B": partial(signing_key.sign, inputs.message),
        "verify 256 B": partial(verifying_key.verify, signature, inputs.message),
        "X25519": partial(secret.exchange, peer),
        HANDSHAKE: _native_handshake(),
    }
    for size, plaintext in inputs.plaintexts.items():
        sealed = aead.seal(inputs.nonce, plaintext, inputs.aad)
        calls[f"seal {size}"] = partial(aead.seal, inputs.nonce, plaintext, inputs.aad)
        calls[f"open {size}"] = partial(aead.open, inputs.nonce, sealed, inputs.aad)
    return calls


def _native_handshake() -> Callable[[], object]:
    client, server = SigningKey.generate(), SigningKey.generate()
    initiator = Initiator(client, server.verifying_key)
    responder = Responder(server, resolve=resolve_did_key, admit=ReplaySet().admit)

    def handshake() -> None:
        attempt = initiator.initiate()
        reply, responding = responder.respond(attempt.message)
        confirmation, _initiating = attempt.finish(reply)
        responding.confirm(confirmation)

    return handshake


def cryptography_calls(inputs: Inputs) -> _Calls:
    """Return the operations of ``cryptography``."""
    ed25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    x25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.x25519")
    ciphers = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    signing_key, aead = ed25519.Ed25519PrivateKey.generate(), ciphers.AESGCM(inputs.key)
    verifying_key, signature = signing_key.public_key(), signing_key.sign(inputs.message)
    secret, peer = (x25519.X25519PrivateKey.generate() for _ in range(2))
    peer_share = peer.public_key()

    def handshake() -> None:
        pairs = [x25519.X25519PrivateKey.generate() for _ in range(2)]
        shares = [pair.public_key().public_bytes_raw() for pair in pairs]
        for pair, share in zip(pairs, reversed(shares), strict=True):
            verifying_key.verify(signing_key.sign(inputs.message), inputs.message)
            pair.exchange(x25519.X25519PublicKey.from_public_bytes(share))

    calls: _Calls = {
        "sign 256 B": partial(signing_key.sign, inputs.message),
        "verify 256 B": partial(verifying_key.verify, signature, inputs.message),
        "X25519": partial(secret.exchange, peer_share),
        HANDSHAKE: handshake,
    }
    for size, plaintext in inputs.plaintexts.items():
        sealed = aead.encrypt(inputs.nonce, plaintext, inputs.aad)
        calls[f"seal {size}"] = partial(aead.encrypt, inputs.nonce, plaintext, inputs.aad)
        calls[f"open {size}"] = partial(aead.decrypt, inputs.nonce, sealed, inputs.aad)
    return calls


def pynacl_calls(inputs: Inputs) -> _Calls:
    """Return the operations of PyNaCl; AES-256-GCM only where it has that."""
    signing, bindings = (
        importlib.import_module(f"nacl.{name}") for name in ("signing", "bindings")
    )
    signing_key = signing.SigningKey.generate()
    verifying_key = signing_key.verify_key
    signature = signing_key.sign(inputs.message).signature
    _share, secret = bindings.crypto_box_keypair()
    peer_share, _secret = bindings.crypto_box_keypair()

    def handshake() -> None:
        pairs = [bindings.crypto_box_keypair() for _ in range(2)]
        for (_, own), (share, _) in zip(pairs, reversed(pairs), strict=True):
            signed = signing_key.sign(inputs.message)
            verifying_key.verify(inputs.message, signed.signature)
            bindings.crypto_scalarmult(own, share)

    calls: _Calls = {
        "sign 256 B": partial(signing_key.sign, inputs.message),
        "verify 256 B": partial(verifying_key.verify, inputs.message, signature),
        "X25519": partial(bindings.crypto_scalarmult, secret, peer_share),
        HANDSHAKE: handshake,
    }
    return calls | _pynacl_aead_calls(inputs, bindings)


def _pynacl_aead_calls(inputs: Inputs, bindings: object) -> _Calls:
    """AES-256-GCM came to PyNaCl with 1.6, and needs the processor's instructions."""
    seal = getattr(bindings, "crypto_aead_aes256gcm_encrypt", None)
    open_ = getattr(bindings, "crypto_aead_aes256gcm_decrypt", None)
    rest = (inputs.aad, inputs.nonce, inputs.key)
    calls: _Calls = {}
    if seal is None or open_ is None:
        return calls
    for size, plaintext in inputs.plaintexts.items():
        try:
            sealed = seal(plaintext, *rest)
        except Exception:  # noqa: BLE001 - whatever it raises without the instructions
            return {}
        calls[f"seal {size}"] = partial(seal, plaintext, *rest)
        calls[f"open {size}"] = partial(open_, sealed, *rest)
    return calls
