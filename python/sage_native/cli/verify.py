"""``sage-native verify``: is this file what that key signed?"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from rich.text import Text

from sage_native.cli import console, files
from sage_native.cli.key_files import load_verifying_key
from sage_native.exceptions import AuthenticationError, UsageError

__all__ = ["verify"]

SIGNATURE_LEN = 64
MAX_SIGNATURE_FILE_LEN = 1024


def verify(
    file: Path,
    /,
    *,
    signature: Path | None = None,
    key: str,
) -> None:
    """Verify a file's signature.

    The exit status is 1 if it is not valid.

    Args:
        file: What was signed, at most 1 GiB; - reads standard input.
        signature: The signature's file: FILE.sig if left out.
        key: The verifying key's file, or the DID that spells it.
    """
    if signature is None:
        if files.is_stdio(file):
            raise UsageError("standard input has no FILE.sig beside it; give --signature")
        signature = file.with_name(file.name + ".sig")
    files.one_stdin(file, signature, Path(key))
    verifying_key = load_verifying_key(key)
    value = _read_signature(signature)
    message = files.read(file, "file", max_len=files.MAX_MESSAGE_LEN)
    name = "standard input" if files.is_stdio(file) else str(file)
    try:
        verifying_key.verify(value, message)
    except AuthenticationError as error:
        raise AuthenticationError(
            f"verification failed: {files.describe('signature', signature)}"
            f" is not by {verifying_key.did} over {name}"
        ) from error
    verdict = Text.assemble(("✓", "green"), f" {name} was signed by {verifying_key.did}")
    console.out.print(verdict, soft_wrap=True)


def _read_signature(path: Path) -> bytes:
    text = files.read(path, "signature", max_len=MAX_SIGNATURE_FILE_LEN)
    try:
        signature = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise UsageError(
            f"{files.describe('signature', path)} is not base64: give the file that sign wrote"
        ) from error
    if len(signature) != SIGNATURE_LEN:
        raise UsageError(
            f"{files.describe('signature', path)} holds {len(signature)} bytes; Ed25519 has 64"
        )
    return signature
