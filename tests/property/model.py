"""What one end of a conversation must do, in the plainest words.

No key and no byte is in here: an end is its epoch, what it has seen, and what it has promised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from tests.agents import REFUSED
from tests.reference.window import Window

DELIVERED: Final = None
REPLAYED: Final = "replay_detected"
REKEY_REQUIRED: Final = "rekey_required"

Name = Literal["client", "server"]
Seen = dict[bytes, Window]


@dataclass(frozen=True)
class Slot:
    """Where a record's key and nonce come from: no two records may share one."""

    sender: Name
    incarnation: bytes
    epoch: int
    seq: int


@dataclass(frozen=True)
class Committed:
    """The one decision about an epoch: R1, and R2 as soon as anybody has seen it."""

    epoch: int
    request: bytes
    reply: bytes | None


@dataclass
class End:
    """One end of a conversation.

    Attributes:
        windows_lost: It came out of a store and has not been rekeyed since.
        seen: Sequence numbers by sending process, in this epoch.
        seen_before: The same of the epoch before, while its record keys are kept.
        asked: The client's R1 of this epoch.
        committed: The server's last rekey, while it may have to be repeated.
    """

    name: Name
    epoch: int = 0
    is_half_open: bool = False
    is_closed: bool = False
    windows_lost: bool = False
    seen: Seen = field(default_factory=dict)
    seen_before: Seen | None = None
    asked: bytes | None = None
    committed: Committed | None = None

    @property
    def may_seal(self) -> str | None:
        """The code that sealing gets, None if it succeeds."""
        if self.is_closed or self.is_half_open:
            return REFUSED
        return REKEY_REQUIRED if self.windows_lost else None

    def deliver(self, slot: Slot) -> str | None:
        """Take a record; returns its code, `DELIVERED` if the message comes out."""
        if self.is_closed:
            return REFUSED
        if slot.epoch == self.epoch:
            return self._deliver_now(slot)
        if slot.epoch == self.epoch - 1 and slot.incarnation in (self.seen_before or {}):
            return self._deliver_late(slot)
        return REFUSED

    def _deliver_now(self, slot: Slot) -> str | None:
        if self.windows_lost:
            return REKEY_REQUIRED
        if not self.seen.setdefault(slot.incarnation, Window()).admit(slot.seq):
            return REPLAYED
        self.is_half_open = False
        self.committed = None
        return DELIVERED

    def _deliver_late(self, slot: Slot) -> str | None:
        assert self.seen_before is not None
        window = self.seen_before[slot.incarnation]
        if self.name == "server":
            return REKEY_REQUIRED if window.is_fresh(slot.seq) else REPLAYED
        return DELIVERED if window.admit(slot.seq) else REPLAYED

    def advance(self) -> None:
        """Enter the next epoch."""
        self.seen_before = None if self.windows_lost else self.seen
        self.seen, self.windows_lost, self.asked = {}, False, None
        self.epoch += 1

    def restart(self, epoch: int, committed: Committed | None) -> None:
        """Come out of the store: all but the row is lost."""
        self.epoch, self.committed, self.windows_lost = epoch, committed, True
        self.seen, self.seen_before, self.asked = {}, None, None
