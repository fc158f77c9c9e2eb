"""Who sent a message: what the application behind the gateway may rely on."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Peer"]


class Peer(NamedTuple):
    """The authenticated other side of one session.

    Attributes:
        did: Its DID, as it proved in the handshake.
        key: Its Ed25519 public key, 32 bytes.
        session_id: The session, 36 characters. To be treated as a name, never as a secret.
    """

    did: str
    key: bytes
    session_id: str
