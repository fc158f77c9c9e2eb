"""Identities from where people keep them: files, bytes, DIDs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Identity", "ServerKey", "load_identity", "load_server_key"]

Identity: TypeAlias = SigningKey | bytes | str | Path
"""A signing key; its bytes (32, PEM, OpenSSH or JWK); or the path of a file of such bytes."""
ServerKey: TypeAlias = VerifyingKey | bytes | str | Path
"""A verifying key; its bytes (32, PEM, OpenSSH or JWK); a ``did:key``; or the path of a file."""

MAX_KEY_FILE_LEN = 1 << 16
RAW_LEN = 32


def load_identity(source: Identity, *, password: bytes | None = None) -> SigningKey:
    """Return the signing key that ``source`` is or holds.

    Args:
        source: See ``Identity``.
        password: For an encrypted PEM or OpenSSH key.

    Raises:
        UsageError: Unreadable, of no known form, a verifying key, or the password is wrong.
    """
    if isinstance(source, SigningKey):
        return source
    if isinstance(source, bytes):
        return _signing_key(source, password)
    path = Path(source)
    try:
        return _signing_key(_content(path), password)
    except UsageError as error:
        raise UsageError(f"signing key {path}: {error}") from error


def load_server_key(source: ServerKey) -> VerifyingKey:
    """Return the verifying key that ``source`` is, spells or holds, fit to be an identity.

    Raises:
        UsageError: Unreadable, of no known form, or a point that no identity may have.
    """
    if isinstance(source, VerifyingKey):
        key = source
    elif isinstance(source, bytes):
        key = _verifying_key(source)
    elif isinstance(source, str) and source.startswith("did:"):
        key = VerifyingKey.from_did(source)
    else:
        path = Path(source)
        try:
            key = _verifying_key(_content(path))
        except UsageError as error:
            raise UsageError(f"server key {path}: {error}") from error
    key.check()
    return key


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_LEN + 1)
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}") from error
    if len(data) > MAX_KEY_FILE_LEN:
        raise UsageError(f"it has more than {MAX_KEY_FILE_LEN} bytes; that is no key")
    return data


def _signing_key(data: bytes, password: bytes | None) -> SigningKey:
    # First, since raw bytes may begin like anything; no other form is as short.
    if len(data) == RAW_LEN:
        return SigningKey(data)
    if b"PUBLIC KEY-----" in data or data.startswith(b"ssh-"):
        raise UsageError("this is a verifying key; an identity needs the signing key")
    if data.startswith(b"-----BEGIN OPENSSH"):
        return SigningKey.from_openssh(data, password=password)
    if data.startswith(b"-----BEGIN"):
        return SigningKey.from_pem(data, password=password)
    if data.lstrip().startswith(b"{"):
        return SigningKey.from_jwk(_jwk(data))
    raise UsageError(
        f"{len(data)} bytes of no known form; give 32 raw bytes, PEM, OpenSSH or a JWK"
    )


def _verifying_key(data: bytes) -> VerifyingKey:
    if len(data) == RAW_LEN:
        return VerifyingKey(data)
    if b"PRIVATE KEY-----" in data:
        raise UsageError("this is a signing key; give the server's public one, or its DID")
    if data.startswith(b"-----BEGIN"):
        return VerifyingKey.from_pem(data)
    if data.startswith(b"ssh-"):
        return VerifyingKey.from_openssh(data)
    if data.startswith(b"did:"):
        return VerifyingKey.from_did(data.decode("ascii", "replace").strip())
    if data.lstrip().startswith(b"{"):
        jwk = _jwk(data)
        if "d" in jwk:
            raise UsageError("this is a signing key; give the server's public one, or its DID")
        return VerifyingKey.from_jwk(jwk)
    raise UsageError(
        f"{len(data)} bytes of no known form; give 32 raw bytes, PEM, OpenSSH, a JWK or a did:key"
    )


def _jwk(data: bytes) -> Mapping[str, object]:
    try:
        jwk = json.loads(data)
    except ValueError:
        # No cause: its text would show the secret.
        raise UsageError("this begins like a JWK and is not JSON") from None
    if not isinstance(jwk, dict):
        raise UsageError("this is JSON and not a JWK")
    return jwk
