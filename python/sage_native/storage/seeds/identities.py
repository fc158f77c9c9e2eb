"""Who is in a seed, and who has a session with whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sage_native.keys import SigningKey

__all__ = ["Identity", "Meeting", "Seed"]


@dataclass(frozen=True)
class Identity:
    """A DID to register.

    Attributes:
        did: The name.
        signing_key: Its one key.
        owner: Who registers it.
        is_revoked: True for one that is revoked as soon as it is registered.
    """

    did: str
    signing_key: SigningKey
    owner: str
    is_revoked: bool = False


@dataclass(frozen=True)
class Meeting:
    """A session to make by a handshake.

    Attributes:
        client: The initiator.
        server: The responder.
        metadata: The notes to keep with it.
    """

    client: Identity
    server: Identity
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seed:
    """What a seed puts into a database.

    Attributes:
        identities: All of them.
        meetings: The sessions between them.
    """

    identities: Sequence[Identity]
    meetings: Sequence[Meeting]
