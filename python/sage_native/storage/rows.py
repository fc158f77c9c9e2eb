"""What stores hold: rows, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_native.protocol import WrappedSession

__all__ = [
    "Activity",
    "DidRecord",
    "Page",
    "RequestNonce",
    "SessionRow",
    "SessionStatus",
    "check_metadata",
]

MAX_METADATA_LEN = 8192


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One stored session. Its secrets are sealed inside ``session``.

    Attributes:
        session: Names, times, epoch, KEK id and the wrapped secret.
        idle_timeout_s: How long the session may stay silent.
        last_activity_ms: When it was last used, in ms since the epoch; written behind.
        messages: How many records were sealed and opened, of all workers; written behind.
        metadata: The embedder's own notes, in clear, as `check_metadata` takes them.
        restored: True for a row out of a backup, until its next epoch: it demands a rekey, wherever
            its windows lie.
    """

    session: WrappedSession
    idle_timeout_s: int
    last_activity_ms: int
    messages: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    restored: bool = False

    def __post_init__(self) -> None:
        if self.metadata:
            check_metadata(self.metadata)

    def is_over(self, now_ms: int, grace_ms: int = 0) -> bool:
        """Tell whether the session has ended by age, or by a silence longer than allowed and grace.

        Deadlines are dead at equality.
        """
        silent_until_ms = self.last_activity_ms + self.idle_timeout_s * 1000 + grace_ms
        return now_ms >= min(self.session.expires_ms, silent_until_ms)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Check that every store can keep some notes.

    Raises:
        UsageError: A key or value is no text, or has a NUL or half of a surrogate pair; or all of
            them have more than 8,192 bytes in UTF-8.
    """
    length = 0
    for text in (*metadata.keys(), *metadata.values()):
        try:
            length += len(text.encode())
        except (AttributeError, UnicodeEncodeError):
            raise UsageError(f"metadata must be text that UTF-8 can spell, not {text!r}") from None
        if "\0" in text:
            raise UsageError(f"metadata must not hold a NUL, as {text!r} does")
    if length > MAX_METADATA_LEN:
        raise UsageError(f"metadata has {length} bytes; {MAX_METADATA_LEN} are the most")


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """What workers ask about sessions that they hold: a row without its secret.

    Attributes:
        epoch: The stored epoch.
        last_activity_ms: When some worker last used it, in ms since the epoch.
        messages: Records of all workers.
    """

    epoch: int
    last_activity_ms: int
    messages: int


@dataclass(frozen=True, slots=True)
class Activity:
    """Use of a session, to be written behind.

    Attributes:
        session_id: As ``Session.session_id`` spells it.
        last_activity_ms: When it was last used; a store keeps the latest it was told.
        messages: How many records to add to the count.
    """

    session_id: str
    last_activity_ms: int
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list.

    Attributes:
        rows: In the order of their session ids.
        next_cursor: Hand it in as ``after`` to go on; None at the end.
    """

    rows: tuple[SessionRow, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RequestNonce:
    """A request nonce to be admitted once.

    Attributes:
        scope: Whose nonce it is: the client's DID.
        nonce: The random value, 1 to 256 bytes.
        remember_until_ms: Signed time + skew + margin, in ms since the epoch.
        purpose: What it is for.
    """

    scope: str
    nonce: bytes
    remember_until_ms: int
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class DidRecord:
    """A registered DID.

    Attributes:
        did: The name.
        keys: Ed25519 verifying keys that it lists, 32 bytes each, at least one.
        owner: Who registered it, in the registry's own terms; may be empty.
        created_ms: When, in ms since the epoch.
        revoked_ms: Since when it is revoked, or None. A revoked DID is never un-revoked.
    """

    did: str
    keys: tuple[bytes, ...]
    owner: str
    created_ms: int
    revoked_ms: int | None = None
