"""The forms in which a secret can lie in memory, each at least 16 bytes: a half is a find."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.erasure.holder import PEER_SHARE, SIGNED
from tests.erasure.rounds import aes_256_schedule, sha256_state

PART_LEN = 16
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
LIMB = (1 << 52) - 1


def parts(name: str, value: bytes) -> dict[str, bytes]:
    """The value's aligned parts of 16 bytes."""
    starts = range(0, len(value), PART_LEN)
    return {f"{name}[{start}:]": value[start : start + PART_LEN] for start in starts}


def clamped(scalar: bytes) -> bytes:
    return bytes([scalar[0] & 0xF8, *scalar[1:31], scalar[31] & 0x7F | 0x40])


def signing_key(seed: bytes) -> dict[str, bytes]:
    """The seed, its hash, the scalar and the prefix that the hash is cut into, and a nonce.

    Who has a signature's nonce has the key (RFC 8032 §5.1.6).
    """
    digest = hashlib.sha512(seed).digest()
    scalar = clamped(digest[:32])
    reduced = int.from_bytes(scalar, "little") % GROUP_ORDER
    nonce_digest = hashlib.sha512(digest[32:] + SIGNED).digest()
    nonce = int.from_bytes(nonce_digest, "little") % GROUP_ORDER
    return {
        **parts("seed", seed),
        **parts("hash", digest),
        **parts("scalar", scalar),
        **parts("scalar mod order", reduced.to_bytes(32, "little")),
        **parts("nonce's hash", nonce_digest),
        **parts("nonce", nonce.to_bytes(32, "little")),
        "nonce limbs": struct.pack("=2Q", nonce & LIMB, nonce >> 52 & LIMB),
        # The first two of its five limbs: one half of it, in the form that is multiplied.
        "scalar limbs": struct.pack("=2Q", reduced & LIMB, reduced >> 52 & LIMB),
    }


def aes_key(key: bytes) -> dict[str, bytes]:
    """The key, which is the first two round keys, the others, and the hash key of GCM."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block
    hash_key = encryptor.update(bytes(16))
    return {
        **parts("key", key),
        **parts("round keys", aes_256_schedule(key)[32:]),
        "hash key": hash_key,
        "hash key, reversed": hash_key[::-1],
    }


def prk(value: bytes) -> dict[str, bytes]:
    """The PRK, its two pads, and the SHA-256 states after them, which are as good as the PRK."""
    pads = {
        name: bytes(byte ^ pad for byte in value.ljust(64, b"\0"))
        for name, pad in (("inner", 0x36), ("outer", 0x5C))
    }
    states = {name: sha256_state(block) for name, block in pads.items()}
    found = parts("prk", value)
    for name in pads:
        found |= parts(f"{name} pad", pads[name][:32])
        found |= parts(f"{name} state", struct.pack("=8I", *states[name]))
    return found


def extracted_prk(ikm: bytes) -> dict[str, bytes]:
    return {**parts("ikm", ikm), **prk(hmac.digest(b"salt", ikm, "sha256"))}


def static_secret(secret: bytes) -> dict[str, bytes]:
    """The secret as given and as used, what was agreed, and the PRK that became of it."""
    peer = X25519PublicKey.from_public_bytes(PEER_SHARE)
    shared = X25519PrivateKey.from_private_bytes(secret).exchange(peer)
    return {
        **parts("secret", secret),
        **parts("scalar", clamped(secret)),
        **parts("shared", shared),
        **prk(hmac.digest(b"salt", shared, "sha256")),
    }


KINDS = {
    "signing_key": signing_key,
    "aead_key": aes_key,
    "key_encryption_key": aes_key,
    "prk": prk,
    "extracted_prk": extracted_prk,
    "static_secret": static_secret,
}
