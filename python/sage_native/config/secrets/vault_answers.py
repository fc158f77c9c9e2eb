"""What Vault's KV version 2 answers, read strictly.

Nothing here raises: an exception of a parser holds what was parsed.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

__all__ = ["Metadata", "Version", "decoded", "is_of_vault", "is_written", "value_of"]

_SPACES = b" \t\r\n"
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class _Fields(msgspec.Struct):
    value: object = None


class Metadata(msgspec.Struct):
    """Of one version: its number, which counts on after a deletion."""

    version: int


class Version(msgspec.Struct):
    """The newest version of an entry; without ``data`` if it is deleted."""

    metadata: Metadata
    data: _Fields | None = None


class _Entry(msgspec.Struct):
    data: Version


class _Written(msgspec.Struct):
    data: Metadata


def decoded(body: bytes) -> Version | None:
    """Return the version in the answer to a read; None if there is none."""
    try:
        return msgspec.json.decode(body, type=_Entry).data
    except _FAULTS:
        return None


def is_written(body: bytes) -> bool:
    """Tell whether this answers a write that was done."""
    try:
        msgspec.json.decode(body, type=_Written)
    except _FAULTS:
        return False
    return True


def is_of_vault(body: bytes) -> bool:
    """Tell whether this is what Vault says when it refuses, and not the page of a proxy."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, object])
    except _FAULTS:
        return False
    return not answer.keys().isdisjoint({"errors", "data"})


def value_of(version: Version) -> bytes | None:
    """Return the bytes in the field ``value``; None if it is not base64."""
    text = None if version.data is None else version.data.value
    if not isinstance(text, str):
        return None
    try:
        # The command base64 breaks lines.
        return base64.b64decode(text.encode("ascii").translate(None, _SPACES), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
