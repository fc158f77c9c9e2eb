"""``sage-native keygen``: a new identity."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sage_native.cli import console, files
from sage_native.cli.key_files import (
    KeyForm,
    encode_signing_key,
    encode_verifying_key,
    read_password,
)
from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey

__all__ = ["keygen"]


def keygen(
    *,
    out: Path = Path("agent.key"),
    form: Annotated[KeyForm, Parameter(name="--format")] = "pem",
    password_file: Path | None = None,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Make an identity: signing key, verifying key, DID.

    Writes the signing key with mode 0600 and the verifying key beside it, with .pub appended, and
    prints the DID.

    Args:
        out: Where the signing key goes; - writes it to standard output, but never to a terminal.
        form: The form of both files.
        password_file: Encrypt the signing key under the first line of this file (pem, openssh).
        force: Replace existing files.
    """
    password = None if password_file is None else read_password(password_file)
    with SigningKey.generate() as key:
        encoded = encode_signing_key(key, form, password)
        if files.is_stdio(out):
            _to_stdout(encoded)
            console.note(f"DID  {key.did}")
            return
        verifying_path = out.with_name(out.name + ".pub")
        verifying = encode_verifying_key(key.verifying_key, form)
        _to_files({out: encoded, verifying_path: verifying}, force=force)
        console.note(f"signing key    {out} (mode 0600, keep it)")
        console.note(f"verifying key  {verifying_path}")
        print(key.did)


def _to_stdout(encoded: bytes) -> None:
    if sys.stdout.isatty():
        raise UsageError(
            "--out - would show the signing key on this terminal; redirect it, or give --out FILE"
        )
    sys.stdout.buffer.write(encoded)


def _to_files(contents: dict[Path, bytes], *, force: bool) -> None:
    """Write the signing key and the verifying key: both, or none."""
    (path, encoded), (verifying_path, verifying) = contents.items()
    if not force:
        files.refuse_existing((path, verifying_path))
    files.write_private(path, encoded, force=force)
    try:
        files.write_public(verifying_path, verifying, force=force)
    except UsageError:
        if not force:
            path.unlink()
        raise
