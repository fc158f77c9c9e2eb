"""Secrets that tests know, and the search for them in what was written to disk."""

from __future__ import annotations

import base64
import os
import struct
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from sage_native import SigningKey
from sage_native.kek_format import decode_kek

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sage_native.protocol import WrappedSession

SECRET_LEN = 32


def secrets_of(row: WrappedSession, kek: bytes, *, store: str) -> dict[str, bytes]:
    """Unwrap a row with another implementation, from the text of docs/protocol.md alone."""
    digits = row.session_id.replace("-", "")
    parts = (
        store.encode(),
        bytes.fromhex(digits),
        row.client_did.encode(),
        row.server_did.encode(),
        struct.pack(">Q", row.created_ms),
        struct.pack(">Q", row.expires_ms),
        struct.pack(">I", row.epoch),
        row.kek_id.encode(),
    )
    aad = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    sealed = row.wrapped_secret
    plaintext = AESGCMSIV(kek).decrypt(sealed[:12], sealed[12:], aad)
    # version, role, suite, idle timeout, id of the windows, two public keys
    secrets = plaintext[1 + 1 + 2 + 4 + 16 + 64 :]
    found = {"send": secrets[:32], "receive": secrets[32:64]}
    if len(secrets) > 64:
        found["rekey mac key"] = secrets[64 + 84 + 64 :]
    assert all(len(secret) == SECRET_LEN for secret in found.values())
    return found


def keys_of(directory: Path) -> dict[str, bytes]:
    """Return the secrets of a gateway, as they lie in its directory."""
    kek = decode_kek(bytearray((directory / "kek").read_bytes().partition(b":")[2]))
    assert kek is not None
    with SigningKey.from_pem((directory / "signing-key").read_bytes()) as key:
        seed = key.to_bytes()
    token = (directory / "operator-token").read_bytes().strip()
    return {"signing key": seed, "kek": bytes(kek), "operator token": token}


def spellings(secret: bytes) -> Iterator[bytes]:
    """Give the secret as bytes, in hex, in base64 wherever it begins, and as Python shows it."""
    yield secret
    yield secret[:16]
    yield secret[16:]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield repr(secret)[2:-1].encode()
    for offset in range(3):
        # What stands before and behind it is not known: leave the digits out that depend on it.
        text = base64.b64encode(bytes(offset) + secret).rstrip(b"=")[(offset * 8 + 5) // 6 : -1]
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))


def contents(*directories: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file below some directories, with its name."""
    for directory in directories:
        for folder, _, names in os.walk(directory):
            for name in names:
                path = f"{folder}/{name}"
                if os.path.isfile(path):  # noqa: PTH113 - sockets and the like are left out
                    with open(path, "rb") as file:  # noqa: PTH123 - as os.walk gives it
                        yield path, file.read()


def finds(files: Iterable[tuple[str, bytes]], secrets: dict[str, bytes]) -> list[str]:
    """Return where which secret was found."""
    patterns = [(name, text) for name, secret in secrets.items() for text in spellings(secret)]
    return [
        f"{name} in {path}" for path, content in files for name, text in patterns if text in content
    ]
