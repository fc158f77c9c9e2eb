"""Key files of the command line: which of four forms one has, and how each is written.

A form is recognised by its first bytes: ``-----BEGIN`` (PEM or OpenSSH), ``ssh-ed25519``, ``{``
(JWK), or exactly 32 bytes (raw).
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sage_native.cli import files
from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KeyForm",
    "encode_signing_key",
    "encode_verifying_key",
    "load_signing_key",
    "load_verifying_key",
    "read_password",
]

KeyForm: TypeAlias = Literal["pem", "openssh", "jwk", "raw"]

MAX_KEY_FILE_LEN = 1 << 16
RAW_LEN = 32
PASSWORD_FORMS = ("pem", "openssh")
OPENSSH_MARK, PEM_MARK = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----BEGIN"
FORMS = "PEM, OpenSSH, a JWK, or 32 raw bytes"


def read_password(path: Path) -> bytes:
    """Read the first line of a password file. Raises UsageError if there is nothing in it."""
    lines = files.read(path, "password file", max_len=MAX_KEY_FILE_LEN).splitlines()
    if not lines or not lines[0]:
        raise UsageError(f"{files.describe('password file', path)} has no first line to take")
    return lines[0]


def encode_signing_key(key: SigningKey, form: KeyForm, password: bytes | None) -> bytes:
    """Return the content of a signing key's file.

    Raises:
        UsageError: A password for a form that cannot be encrypted, or not on this installation.
    """
    if password is not None and form not in PASSWORD_FORMS:
        raise UsageError(f"--format {form} cannot be encrypted; use pem, or no --password-file")
    match form:
        case "pem":
            return key.to_pem(password=password)
        case "openssh":
            if password is not None and importlib.util.find_spec("bcrypt") is None:
                raise UsageError(
                    "--format openssh with a password needs bcrypt: pip install bcrypt, or use pem"
                )
            return key.to_openssh(password=password)
        case "jwk":
            return _json_line(key.to_jwk())
        case "raw":
            return key.to_bytes()


def encode_verifying_key(key: VerifyingKey, form: KeyForm) -> bytes:
    """Return the content of a verifying key's file."""
    match form:
        case "pem":
            return key.to_pem()
        case "openssh":
            return key.to_openssh() + b"\n"
        case "jwk":
            return _json_line(key.to_jwk())
        case "raw":
            return key.to_bytes()


def load_signing_key(path: Path, password: bytes | None) -> SigningKey:
    """Load a signing key in whichever form its file has.

    Raises:
        UsageError: Unreadable, of no known form, or a password is missing, wrong or needless.
    """
    data = files.read(path, "signing key", max_len=MAX_KEY_FILE_LEN)
    try:
        return _signing_key(data, password)
    except UsageError as error:
        raise UsageError(f"{files.describe('signing key', path)}: {error}") from error


def load_verifying_key(name: str) -> VerifyingKey:
    """Load a verifying key from its file, in whichever form, or from the DID that spells it.

    Raises:
        UsageError: Unreadable, of no known form, or not fit to stand for an identity.
    """
    if name.startswith("did:"):
        key = VerifyingKey.from_did(name)
        key.check()
        return key
    path = Path(name)
    data = files.read(path, "verifying key", max_len=MAX_KEY_FILE_LEN)
    try:
        key = _verifying_key(data)
        key.check()
    except UsageError as error:
        raise UsageError(f"{files.describe('verifying key', path)}: {error}") from error
    return key


def _signing_key(data: bytes, password: bytes | None) -> SigningKey:
    # First, since raw bytes may begin like anything; no other form is as short.
    if len(data) == RAW_LEN and password is None:
        return SigningKey(data)
    if b"PUBLIC KEY-----" in data or data.startswith(b"ssh-"):
        raise UsageError("this is a verifying key; signing needs the signing key")
    if data.startswith(PEM_MARK):
        return _encrypted_signing_key(data, password)
    if password is not None:
        raise UsageError("it is not encrypted; leave out --password-file")
    if data.lstrip().startswith(b"{"):
        return SigningKey.from_jwk(_json(data))
    raise UsageError(f"this is none of the known forms: {FORMS}")


def _encrypted_signing_key(data: bytes, password: bytes | None) -> SigningKey:
    load = SigningKey.from_openssh if data.startswith(OPENSSH_MARK) else SigningKey.from_pem
    try:
        return load(data, password=password)
    except UsageError as error:
        if password is None and "not given" in str(error):
            raise UsageError("it is encrypted; give --password-file") from error
        if password is not None and "not encrypted" in str(error):
            raise UsageError("it is not encrypted; leave out --password-file") from error
        raise


def _verifying_key(data: bytes) -> VerifyingKey:
    if len(data) == RAW_LEN:
        return VerifyingKey(data)
    if b"PRIVATE KEY-----" in data:
        raise UsageError("this is a signing key; give its .pub file or its DID")
    if data.startswith(PEM_MARK):
        return VerifyingKey.from_pem(data)
    if data.startswith(b"ssh-"):
        return VerifyingKey.from_openssh(data)
    if data.lstrip().startswith(b"{"):
        jwk = _json(data)
        if "d" in jwk:
            raise UsageError("this is a signing key; give its .pub file or its DID")
        return VerifyingKey.from_jwk(jwk)
    raise UsageError(f"this is none of the known forms: {FORMS}")


def _json(data: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise UsageError(f"this begins like a JWK and is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError("this is JSON and not a JWK")
    return value


def _json_line(jwk: Mapping[str, str]) -> bytes:
    return json.dumps(jwk).encode() + b"\n"
