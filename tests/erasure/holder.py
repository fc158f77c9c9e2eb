"""The process that holds a secret: ``python -m tests.erasure.holder KIND USE``.

The secret arrives in a bytearray that is wiped at once, so that whatever is found later was left by
the library. Then ``r`` goes out, and ``c`` when the secret is closed; any byte lets it go on.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from sage_native import (
    AeadKey,
    AuthenticationError,
    KeyEncryptionKey,
    Prk,
    SigningKey,
    StaticSecret,
    X25519PublicKey,
    hkdf_sha256,
)
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _take_curve25519_path,
)
from tests.agents import NOW_MS, Agents

if TYPE_CHECKING:
    from collections.abc import Callable


class Closes(Protocol):
    def close(self) -> None: ...


NONCE = bytes(12)
SIGNED = b"message"
# The peer's secret is no secret: 32 times the byte 9.
PEER_SHARE = StaticSecret(bytes([9]) * 32).public_key_bytes
LENGTHS = (0, 1, 64, 500, 3000, 5000, 70_000)


def signing_key(secret: bytearray, use: str) -> list[Closes]:
    key = SigningKey(secret)
    if use == "once":
        key.sign(SIGNED)
    if use == "much":
        for path in _curve25519_paths():
            _take_curve25519_path(path)
            key.sign_many([bytes(length) for length in LENGTHS] * 4)
            # On threads that have ended, and whose stacks the system may keep.
            key.sign_many([SIGNED] * 512, threads=4)
        _take_curve25519_path(None)
        key.sign(bytes(1 << 20))
        assert key.did
    return [key]


def aead_key(secret: bytearray, use: str) -> list[Closes]:
    key = AeadKey(secret)
    lengths = {"none": (), "once": (64,), "much": LENGTHS}[use]
    for length in lengths:
        sealed = key.seal(NONCE, bytes(length), b"aad")
        key.open(NONCE, sealed, b"aad")
        with suppress(AuthenticationError):
            key.open(NONCE, sealed, b"other")
    if use == "much":
        nonces = [NONCE] * len(LENGTHS)
        key.open_many(nonces, key.seal_many(nonces, [bytes(length) for length in LENGTHS]))
        key.seal(NONCE, bytes(5 << 20))
    return [key]


def key_encryption_key(secret: bytearray, use: str) -> list[Closes]:
    kek = KeyEncryptionKey("id", secret)
    if use == "none":
        return [kek]
    for session in Agents().pair():
        row = session.wrap(kek, store="store", now_ms=NOW_MS)
        assert row is not None
        if use == "much":
            row.unwrap(kek, store="store", now_ms=NOW_MS).close()
        session.close()
    return [kek]


def prk(secret: bytearray, use: str) -> list[Closes]:
    kept = Prk.from_bytes(secret)
    expand(kept, use)
    return [kept]


def extracted_prk(secret: bytearray, use: str) -> list[Closes]:
    kept = Prk.extract(secret, salt=b"salt")
    expand(kept, use)
    if use == "much":
        hkdf_sha256(secret, salt=b"salt", info=b"info", length=100)
    return [kept]


def static_secret(secret: bytearray, use: str) -> list[Closes]:
    static = StaticSecret(secret)
    shared = static.exchange(X25519PublicKey(PEER_SHARE))
    kept = shared.extract(b"salt")
    expand(kept, use)
    return [static, shared, kept]


def expand(kept: Prk, use: str) -> None:
    for length in {"none": (), "once": (32,), "much": (0, 32, 33, 8160)}[use]:
        kept.expand(b"info", length)


KINDS: dict[str, Callable[[bytearray, str], list[Closes]]] = {
    "signing_key": signing_key,
    "aead_key": aead_key,
    "key_encryption_key": key_encryption_key,
    "prk": prk,
    "extracted_prk": extracted_prk,
    "static_secret": static_secret,
}
# Little use shows what much use would happen to overwrite.
USES = ("none", "once", "much")


def main() -> None:
    kind, use = sys.argv[1:]
    secret = bytearray(32)
    assert os.readv(0, [secret]) == len(secret)
    held = KINDS[kind](secret, use)
    for at in range(len(secret)):
        secret[at] = 0
    os.write(1, b"r")
    os.read(0, 1)
    for thing in held:
        thing.close()
    gc.collect()
    os.write(1, b"c")
    os.read(0, 1)
    # Closed but alive: close must erase, not the end of the object.
    assert all(held)


if __name__ == "__main__":
    main()
