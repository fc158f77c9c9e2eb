"""The JSON documents of the API, apart from the carriers of the protocol.

Field names are the API's. Bytes are base64url without padding; `unpadded` and `from_unpadded` are
the only spelling. Times are ms since the epoch.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

import msgspec

from sage_native.gateway.problems import ProblemError

if TYPE_CHECKING:
    from sage_native.storage.rows import DidRecord, SessionRow

__all__ = [
    "Registration",
    "Verification",
    "VerificationBatch",
    "did_document",
    "from_unpadded",
    "public_did_document",
    "session_document",
    "unpadded",
]

MAX_BATCH_COUNT = 1000


class Verification(msgspec.Struct, forbid_unknown_fields=True):
    """A signature to verify."""

    public_key: str
    message: str
    signature: str


class VerificationBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Signatures to verify, each by itself."""

    items: Annotated[list[Verification], msgspec.Meta(min_length=1, max_length=MAX_BATCH_COUNT)]


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """A DID to register."""

    did: str
    keys: Annotated[list[str], msgspec.Meta(min_length=1, max_length=16)]
    # Not every store can keep a NUL.
    owner: Annotated[str, msgspec.Meta(max_length=256, pattern=r"\A[^\0]*\Z")] = ""


def unpadded(data: bytes) -> str:
    """Spell bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_unpadded(text: str) -> bytes:
    """Read bytes; each value has one spelling.

    Raises:
        ProblemError: ``malformed_request``.
    """
    try:
        raw = text.encode("ascii")
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ProblemError("malformed_request") from None
    # Padding, the other alphabet and trailing bits that are not zero come out as something else.
    if unpadded(data) != text:
        raise ProblemError("malformed_request")
    return data


def did_document(record: DidRecord) -> dict[str, object]:
    """Describe a DID to an operator."""
    return {
        "did": record.did,
        "keys": [unpadded(key) for key in record.keys],
        "owner": record.owner,
        "created_ms": record.created_ms,
        "revoked_ms": record.revoked_ms,
    }


def public_did_document(record: DidRecord) -> dict[str, object]:
    """Describe a DID to everybody; a revoked one lists no key."""
    is_revoked = record.revoked_ms is not None
    return {
        "did": record.did,
        "keys": [] if is_revoked else [unpadded(key) for key in record.keys],
        "revoked": is_revoked,
    }


def session_document(row: SessionRow) -> dict[str, object]:
    """Describe a session to an operator."""
    session = row.session
    return {
        "session_id": session.session_id,
        "client_did": session.client_did,
        "server_did": session.server_did,
        "created_ms": session.created_ms,
        "expires_ms": session.expires_ms,
        "last_activity_ms": row.last_activity_ms,
        "messages": row.messages,
        "epoch": session.epoch,
        "metadata": dict(row.metadata),
    }
