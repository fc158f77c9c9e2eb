"""How rows are spelled in a backup: one JSON object a line, bytes in base64url without padding.

::

    {"format": "sage-native-backup", "version": 1, "created_ms": ..., "label": ...}
    {"session": {"store": ..., "session_id": ..., "wrapped_secret": ..., ...}}
    {"did": {"did": ..., "keys": [...], "owner": ..., "created_ms": ..., "revoked_ms": ...}}
    {"end": {"sessions": {"responder": 2}, "dids": 1, "sha256": ...}}

The digest in the last line is over all lines before it, so a file that was cut or damaged is told
from a whole one. It does not stop somebody who means to edit: keep a backup as safe as a database.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from sage_native.exceptions import UsageError
from sage_native.keys import VerifyingKey, check_did
from sage_native.protocol import WrappedSession
from sage_native.storage.base import check_store_name
from sage_native.storage.rows import DidRecord, SessionRow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "VERSION",
    "Document",
    "decode_line",
    "did_document",
    "did_record",
    "encode_line",
    "session_document",
    "session_row",
]

FORMAT = "sage-native-backup"
VERSION = 1
KEY_LEN = 32
MAX_KEYS = 16
MAX_INTEGER = 2**63 - 1

# Whatever JSON may hold; what is taken out is checked where it is taken.
Document: TypeAlias = "dict[str, Any]"


def encode_line(document: Mapping[str, object]) -> bytes:
    """Return the line of an object, with its end of line."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> Document:
    """Return the object in a line.

    Raises:
        UsageError: It holds none.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError("it is not JSON") from None
    if not isinstance(document, dict):
        raise UsageError("it is not a JSON object")
    return document


def session_document(store_name: str, row: SessionRow) -> Document:
    """Spell a row of the session store of this name."""
    session = row.session
    fields = {
        "store": store_name,
        "session_id": session.session_id,
        "client_did": session.client_did,
        "server_did": session.server_did,
        "created_ms": session.created_ms,
        "expires_ms": session.expires_ms,
        "epoch": session.epoch,
        "kek_id": session.kek_id,
        "wrapped_secret": _encode(session.wrapped_secret),
        "idle_timeout_s": row.idle_timeout_s,
        "last_activity_ms": row.last_activity_ms,
        "messages": row.messages,
        "metadata": dict(row.metadata),
    }
    return {"session": fields}


def session_row(fields: Document) -> tuple[str, SessionRow]:
    """Read a session; the row says that it is restored, and so demands a rekey.

    Returns:
        The name of its store, and the row.

    Raises:
        UsageError: A field is missing, or not what it must be.
    """
    store_name = _text(fields, "store")
    check_store_name(store_name)
    session = WrappedSession(
        session_id=_text(fields, "session_id"),
        client_did=_text(fields, "client_did"),
        server_did=_text(fields, "server_did"),
        created_ms=_integer(fields, "created_ms"),
        expires_ms=_integer(fields, "expires_ms"),
        epoch=_integer(fields, "epoch", maximum=2**32 - 1),
        kek_id=_text(fields, "kek_id"),
        wrapped_secret=_decode(_text(fields, "wrapped_secret"), "wrapped_secret"),
    )
    row = SessionRow(
        session,
        idle_timeout_s=_integer(fields, "idle_timeout_s", minimum=1, maximum=2**31 - 1),
        last_activity_ms=_integer(fields, "last_activity_ms"),
        messages=_integer(fields, "messages"),
        metadata=_metadata(fields),
        restored=True,
    )
    return store_name, row


def did_document(record: DidRecord) -> Document:
    """Spell a registered DID."""
    fields = {
        "did": record.did,
        "keys": [_encode(key) for key in record.keys],
        "owner": record.owner,
        "created_ms": record.created_ms,
        "revoked_ms": record.revoked_ms,
    }
    return {"did": fields}


def did_record(fields: Document) -> DidRecord:
    """Read a registered DID. What a registration would refuse is refused here.

    Raises:
        UsageError: A field is missing, or not what it must be.

    Cost: about 60 µs a key, since it must be a point of the prime-order subgroup.
    """
    did = _text(fields, "did")
    check_did(did)
    keys = fields.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise UsageError(f"keys must be a list of 1 to {MAX_KEYS}")
    decoded = tuple(_decode(key, "keys") for key in keys)
    for key in decoded:
        VerifyingKey(key).check()
    is_revoked = fields.get("revoked_ms") is not None
    return DidRecord(
        did,
        decoded,
        _text(fields, "owner"),
        _integer(fields, "created_ms"),
        _integer(fields, "revoked_ms") if is_revoked else None,
    )


def _text(fields: Document, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a text")
    return value


def _integer(fields: Document, name: str, *, minimum: int = 0, maximum: int = MAX_INTEGER) -> int:
    value = fields.get(name)
    # Not isinstance: to Python, true is a number.
    if type(value) is not int or not minimum <= value <= maximum:
        raise UsageError(f"{name} must be an integer from {minimum} to {maximum}")
    return value


def _metadata(fields: Document) -> dict[str, str]:
    value = fields.get("metadata")
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise UsageError("metadata must be an object of texts")
    return value


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: object, name: str) -> bytes:
    if isinstance(text, str):
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            data = b""
        # Of the two spellings that some values have, one is ours.
        if data and _encode(data) == text:
            return data
    raise UsageError(f"{name} must be bytes in base64url without padding")
