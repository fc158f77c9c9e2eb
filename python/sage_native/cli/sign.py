"""``sage-native sign``: a detached signature.

The signature file is one line: the 64 bytes of a plain Ed25519 signature (RFC 8032) over the bytes
of the file, in base64. Any Ed25519 implementation verifies it::

    base64 -d report.pdf.sig > raw.sig
    openssl pkeyutl -verify -pubin -inkey agent.key.pub -rawin -in report.pdf -sigfile raw.sig
"""

from __future__ import annotations

import base64
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import Parameter

from sage_native.cli import console, files
from sage_native.cli.key_files import load_signing_key, read_password
from sage_native.exceptions import UsageError

__all__ = ["sign"]


def sign(
    file: Path,
    /,
    *,
    key: Path,
    out: Path | None = None,
    password_file: Path | None = None,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Sign a file.

    The signature is detached and plain Ed25519 (RFC 8032) over the file's bytes; its file is one
    line of base64.

    Args:
        file: What to sign, at most 1 GiB; - reads standard input.
        key: The signing key's file: PEM, OpenSSH, JWK or 32 raw bytes.
        out: Where the signature goes: FILE.sig if left out, - for standard output.
        password_file: The first line of this file opens an encrypted signing key.
        force: Replace an existing signature.
    """
    files.one_stdin(file, key, password_file)
    if out is None:
        out = file if files.is_stdio(file) else file.with_name(file.name + ".sig")
    password = None if password_file is None else read_password(password_file)
    with load_signing_key(key, password) as signing_key:
        message = files.read(file, "file", max_len=files.MAX_MESSAGE_LEN)
        try:
            signature = signing_key.sign(message)
        except UsageError as error:
            raise UsageError(f"{files.describe('file', file)} cannot be signed: {error}") from error
        line = base64.b64encode(signature).decode()
        if files.is_stdio(out):
            print(line)
            return
        files.write_public(out, f"{line}\n".encode(), force=force)
        console.note(f"signature  {out}")
        console.note(f"signed by  {signing_key.did}")
