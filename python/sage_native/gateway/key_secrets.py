"""The gateway's keys as the secret provider holds them.

* A signing key: PEM of PKCS#8 or OpenSSH, or its 32-byte seed, written like a key-encryption key.
  Several PEM blocks are several keys, the first one announced.
* A ring of key-encryption keys: a line ``ID:KEY`` each, the key in base64 or hex; the first wraps.
  A key alone has the name of its secret as its id.
* An operator token: a line of at least 32 signs.

A rotation writes the secret anew, with the new key in front and the old one still there.
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

from sage_native.aead import KeyEncryptionKey
from sage_native.config import is_placeholder
from sage_native.exceptions import ConfigurationError, UsageError
from sage_native.kek_format import decode_kek
from sage_native.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "keks_of",
    "new_keks",
    "new_operator_token",
    "new_signing_key",
    "operator_token_of",
    "signing_keys_of",
]

MIN_TOKEN_LEN = 32
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def signing_keys_of(name: str, content: bytes) -> Sequence[SigningKey]:
    """Return the signing keys in a secret, the first one to be announced first.

    Raises:
        ConfigurationError: It holds none; the text names the secret and shows nothing of it.
    """
    begun = content.count(b"-----BEGIN")
    try:
        if begun == 0:
            return [_from_seed(content)]
        keys = [_from_pem(block[0]) for block in _PEM.finditer(content)]
    except (UsageError, ValueError):
        raise _no_signing_key(name) from None
    # A block without its end: a key that is left out in silence would not be answered for.
    if len(keys) != begun:
        raise _no_signing_key(name)
    return keys


def _from_seed(content: bytes) -> SigningKey:
    seed = decode_kek(bytearray(content))
    if seed is None:
        raise UsageError("no seed")
    try:
        return SigningKey(seed)
    finally:
        seed[:] = bytes(len(seed))


def _no_signing_key(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"secret {name!r} holds no Ed25519 signing key: it takes PEM without a password, or the "
        "32-byte seed, raw, in base64 or in hex; sage-native keygen makes one"
    )


def _from_pem(block: bytes) -> SigningKey:
    if b"OPENSSH" in block.partition(b"\n")[0]:
        return SigningKey.from_openssh(block + b"\n")
    return SigningKey.from_pem(block + b"\n")


def keks_of(name: str, content: bytes) -> Sequence[KeyEncryptionKey]:
    """Return the key-encryption keys in a secret, the one that wraps first.

    Raises:
        ConfigurationError: A line holds none; the text names the secret and shows nothing of it.
    """
    if decode_kek(bytearray(content)) is not None:
        return [_kek(name, name, content)]
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not lines:
        raise _no_kek(name)
    keys = []
    for line in lines:
        kek_id, separator, key = line.partition(b":")
        if not separator:
            raise _no_kek(name)
        keys.append(_kek(name, kek_id.decode("utf-8", "replace").strip(), key))
    return keys


def _kek(name: str, kek_id: str, text: bytes) -> KeyEncryptionKey:
    key = decode_kek(bytearray(text))
    if key is None:
        raise _no_kek(name)
    try:
        return KeyEncryptionKey(kek_id, key)
    except UsageError as error:
        raise ConfigurationError(f"secret {name!r}: {error}") from None
    finally:
        key[:] = bytes(len(key))


def _no_kek(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"secret {name!r} holds no key-encryption keys: it takes a line ID:KEY for each, KEY being "
        "32 random bytes in base64; sage-native db new-kek makes one"
    )


def operator_token_of(name: str, content: bytes) -> bytes:
    """Return the operator token in a secret.

    Raises:
        ConfigurationError: It is too short to be one, or one that everybody tries.
    """
    token = content.strip()
    if len(token) < MIN_TOKEN_LEN or not token.isascii() or b" " in token or is_placeholder(token):
        raise ConfigurationError(
            f"secret {name!r} holds no operator token: it takes {MIN_TOKEN_LEN} signs of ASCII at "
            "least, such as what openssl rand -hex 32 prints"
        )
    return token


def new_signing_key() -> bytes:
    """Make the content of a signing key's secret."""
    with SigningKey.generate() as key:
        return key.to_pem()


def new_keks() -> bytes:
    """Make the content of a secret with one key-encryption key."""
    return b"kek-1:" + base64.b64encode(secrets.token_bytes(32)) + b"\n"


def new_operator_token() -> bytes:
    """Make the content of an operator token's secret."""
    return secrets.token_urlsafe(32).encode() + b"\n"
