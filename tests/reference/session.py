"""A session: from half-open over records and rekeys to closed.

States: a responder's session starts half-open and opens on M3 or, under the policy ``mac``, on
the first valid record; an initiator's session is open at once. Epochs: the secrets of the current
epoch are here; of older ones only record keys that were already derived, for 60 s, and the rekey
MAC keys with the committed pair, until the first record of the new epoch verifies.

Opening a record goes: parse, direction and suite, key, tag, replay window, delivery. No failure
before the tag changes anything. Source: docs/protocol.md, "Records" and "Rekey and resume".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from . import schedule
from .errors import LocalError, ProtocolError, malformed, unauthenticated
from .messages import R1, R2, Confirm, RekeyReply
from .primitives import equal
from .records import (
    C2S,
    FLAG_CLOSE,
    FLAG_REKEY_WANTED,
    MAX_PLAINTEXT_LEN,
    S2C,
    Header,
    RecordKey,
    parse,
)
from .rekey import RekeyMacKeys, next_secret
from .window import Window

HALF_OPEN_MS: Final = 10_000
RETIRED_KEY_MS: Final = 60_000
MAX_INCARNATION_COUNT: Final = 64
SOFT_RECORD_COUNT: Final = 1 << 20
SOFT_BYTES_LEN: Final = 16 << 30
HARD_RECORD_COUNT: Final = 1 << 24
HARD_BYTES_LEN: Final = 64 << 30

Role = Literal["initiator", "responder"]


@dataclass
class Receiver:
    """A peer's sending process, as this side sees it: its key and its window."""

    key: RecordKey
    window: Window = field(default_factory=Window)


@dataclass
class Sender:
    """The own key of the sending process in one epoch, and what was spent of its budget."""

    key: RecordKey
    sealed_count: int = 0
    sealed_len: int = 0


@dataclass
class RetiredEpoch:
    """Record keys of the epoch before this one."""

    epoch: int
    until_ms: int
    sender: Sender
    receivers: dict[bytes, Receiver]


@dataclass
class CommittedRekey:
    """The one R1/R2 pair of an epoch."""

    mac_keys: RekeyMacKeys
    r1: R1
    r2: R2


@dataclass(frozen=True)
class Opened:
    """A delivered record."""

    header: Header
    plaintext: bytes


class Session:
    """One side of one session."""

    def __init__(
        self,
        *,
        role: Role,
        session_id: bytes,
        suite: int,
        peer_did: str,
        c2s: bytes,
        s2c: bytes,
        exporter: bytes | None,
        incarnation: bytes,
        created_ms: int,
        expires_at_ms: int,
        idle_timeout_s: int,
        epoch: int = 0,
        max_incarnation_count: int = MAX_INCARNATION_COUNT,
    ) -> None:
        self.role: Role = role
        self.session_id = session_id
        self.suite = suite
        self.peer_did = peer_did
        self.exporter = exporter
        self.incarnation = incarnation
        self.expires_at_ms = expires_at_ms
        self.idle_timeout_s = idle_timeout_s
        self.last_active_ms = created_ms
        self.closed = False
        self.windows_lost = False
        self.epoch = epoch
        self._max_incarnation_count = max_incarnation_count
        self._half_open_until_ms: int | None = None
        self._confirmation: bytes | None = None
        self._confirmation_until_ms = 0
        self._signature_required = False
        self._retired: list[RetiredEpoch] = []
        self._committed: CommittedRekey | None = None
        self._pending_r1: R1 | None = None
        self._start_epoch(epoch, c2s, s2c)

    def _start_epoch(self, epoch: int, c2s: bytes, s2c: bytes) -> None:
        self.epoch, self.c2s, self.s2c = epoch, c2s, s2c
        self.mac_keys = RekeyMacKeys.derive(c2s, s2c)
        self.sender = Sender(RecordKey.derive(self._sending_secret, self.incarnation))
        self.receivers: dict[bytes, Receiver] = {}

    @property
    def _sending_secret(self) -> bytes:
        return self.c2s if self.role == "initiator" else self.s2c

    @property
    def _receiving_secret(self) -> bytes:
        return self.s2c if self.role == "initiator" else self.c2s

    @property
    def _sending_direction(self) -> int:
        return C2S if self.role == "initiator" else S2C

    # Life: half-open, open, expired, closed.

    def await_confirmation(
        self, confirmation: bytes, *, now_ms: int, signature_required: bool
    ) -> None:
        """Make a responder's session half-open for 10 s."""
        self._half_open_until_ms = now_ms + HALF_OPEN_MS
        self._confirmation = confirmation
        self._confirmation_until_ms = now_ms + HALF_OPEN_MS
        self._signature_required = signature_required

    def confirm(self, message: Confirm, *, signature_ok: bool, now_ms: int) -> None:
        """Take M3; `signature_ok` is the verdict on its signature, False when it has none.

        A correct M3 is accepted however often, until 10 s after M2.
        """
        if (
            not self.is_alive(now_ms)
            or self._confirmation is None
            or now_ms >= self._confirmation_until_ms
            or not equal(message.confirmation, self._confirmation)
            or (message.signature and not signature_ok)
            or (self._signature_required and not message.signature)
        ):
            raise unauthenticated("confirmation")
        self._half_open_until_ms = None

    @property
    def is_half_open(self) -> bool:
        """True until M3 or, by policy, the first record."""
        return self._half_open_until_ms is not None

    def is_alive(self, now_ms: int) -> bool:
        """Say whether the session exists for its peer: not closed, expired, idle or timed out."""
        if self._half_open_until_ms is not None and now_ms >= self._half_open_until_ms:
            return False
        idle_until_ms = self.last_active_ms + self.idle_timeout_s * 1000
        return not self.closed and now_ms < min(self.expires_at_ms, idle_until_ms)

    def export(self, label: bytes, context: bytes, length: int) -> bytes:
        """Derive a secret for the application; absent after a restore."""
        if self.exporter is None:
            raise LocalError("no exporter after a restore")
        return schedule.export(self.exporter, label, context, length)

    def lose_windows(self) -> None:
        """Become what a process holds that loaded this session without its windows."""
        self.windows_lost = True
        self.exporter = None
        self.receivers = {}

    # Records.

    def seal(
        self,
        plaintext: bytes,
        *,
        now_ms: int,
        aad: bytes = b"",
        flags: int = 0,
        epoch: int | None = None,
    ) -> bytes:
        """Seal one record; an answer names the epoch of its request.

        Beyond 2^20 records or 16 GiB the flag "rekey wanted" is set; at 2^24 records or 64 GiB
        it refuses.
        """
        if self.is_half_open or not self.is_alive(now_ms):
            raise LocalError("session is half-open or dead")
        if len(plaintext) > MAX_PLAINTEXT_LEN or (flags & FLAG_CLOSE and plaintext):
            raise LocalError("plaintext too long, or a close with plaintext")
        epoch = self.epoch if epoch is None else epoch
        sender = self._sender_of(epoch, now_ms)
        over_bytes = sender.sealed_len + len(plaintext) > HARD_BYTES_LEN
        if sender.sealed_count >= HARD_RECORD_COUNT or over_bytes:
            raise ProtocolError("rekey_required", "budget of the record key")
        if sender.sealed_count >= SOFT_RECORD_COUNT or sender.sealed_len >= SOFT_BYTES_LEN:
            flags |= FLAG_REKEY_WANTED
        header = Header(
            suite=self.suite & 0xFF,
            direction=self._sending_direction,
            flags=flags,
            session_id=self.session_id,
            incarnation=self.incarnation,
            epoch=epoch,
            seq=sender.sealed_count,
        )
        sender.sealed_count += 1
        sender.sealed_len += len(plaintext)
        record = sender.key.seal(header, plaintext, aad)
        self.closed = self.closed or bool(flags & FLAG_CLOSE)
        return record

    def _sender_of(self, epoch: int, now_ms: int) -> Sender:
        if epoch == self.epoch:
            return self.sender
        retired = self._retired_epoch(epoch, now_ms)
        if retired is None:
            raise LocalError(f"no key of epoch {epoch}")
        return retired.sender

    def _retired_epoch(self, epoch: int, now_ms: int) -> RetiredEpoch | None:
        self._retired = [old for old in self._retired if now_ms < old.until_ms]
        return next((old for old in self._retired if old.epoch == epoch), None)

    def open(self, record: bytes, *, now_ms: int, aad: bytes = b"") -> Opened:
        """Open one record and deliver it at most once."""
        header = parse(record)
        self._check_address(header, now_ms)
        if header.epoch != self.epoch:
            return self._open_retired(header, record, now_ms=now_ms, aad=aad)
        receiver = self.receivers.get(header.incarnation)
        is_new = receiver is None
        if receiver is None:
            receiver = Receiver(RecordKey.derive(self._receiving_secret, header.incarnation))
        plaintext = receiver.key.open(record, aad)
        self.last_active_ms = now_ms
        if self.windows_lost:
            raise ProtocolError("rekey_required", "windows were lost")
        if is_new:
            if len(self.receivers) >= self._max_incarnation_count:
                raise ProtocolError("rekey_required", "too many incarnations")
            self.receivers[header.incarnation] = receiver
        if not receiver.window.admit(header.seq):
            raise ProtocolError("replay_detected", f"seq {header.seq}")
        self._half_open_until_ms = None
        self._committed = None
        return self._deliver(header, plaintext)

    def _check_address(self, header: Header, now_ms: int) -> None:
        confirmable = not (self.is_half_open and self._signature_required)
        if (
            not self.is_alive(now_ms)
            or not confirmable
            or header.session_id != self.session_id
            or header.direction != 1 - self._sending_direction
            or header.suite != self.suite & 0xFF
        ):
            raise unauthenticated("no such session")

    def _open_retired(self, header: Header, record: bytes, *, now_ms: int, aad: bytes) -> Opened:
        """Open a record of an older epoch under a key that was derived before the rekey.

        A responder answers ``rekey_required``: the request was not executed. One that was
        executed before is ``replay_detected``. An initiator takes the answer.
        """
        retired = self._retired_epoch(header.epoch, now_ms)
        receiver = retired.receivers.get(header.incarnation) if retired else None
        if receiver is None:
            raise unauthenticated(f"no key of epoch {header.epoch}")
        plaintext = receiver.key.open(record, aad)
        if self.role == "responder":
            fresh = receiver.window.is_fresh(header.seq)
            raise ProtocolError("rekey_required" if fresh else "replay_detected")
        if not receiver.window.admit(header.seq):
            raise ProtocolError("replay_detected", f"seq {header.seq}")
        return self._deliver(header, plaintext)

    def _deliver(self, header: Header, plaintext: bytes) -> Opened:
        if header.flags & FLAG_CLOSE:
            if plaintext:
                raise malformed("close with plaintext")
            self.closed = True
        return Opened(header, plaintext)

    # Rekey.

    def rekey_request(self, nonce: bytes) -> R1:
        """Return the one R1 of this epoch; a later call repeats it and ignores the nonce."""
        if self.role != "initiator":
            raise LocalError("only the client asks for a rekey")
        if self._pending_r1 is None:
            self._pending_r1 = self.mac_keys.make_r1(self.session_id, self.epoch, nonce)
        return self._pending_r1

    def rekey_answer(self, r1: R1, *, nonce: bytes, now_ms: int) -> RekeyReply:
        """Commit the first R1 of an epoch, and give every valid one the same R2."""
        if (
            self.role != "responder"
            or self.is_half_open
            or not self.is_alive(now_ms)
            or r1.session_id != self.session_id
        ):
            raise unauthenticated("no such session")
        if self._committed is not None and r1.epoch == self._committed.r1.epoch:
            committed = self._committed
            if not committed.mac_keys.is_r1(r1):
                raise unauthenticated("mac of R1")
            return RekeyReply(committed.r2, None if r1 == committed.r1 else committed.r1)
        if r1.epoch != self.epoch or not self.mac_keys.is_r1(r1):
            raise unauthenticated("epoch or mac of R1")
        r2 = self.mac_keys.make_r2(r1, nonce)
        self._advance(r1, r2, now_ms)
        return RekeyReply(r2)

    def rekey_finish(self, reply: RekeyReply, *, now_ms: int) -> None:
        """Check R2, and R1 where another one was committed, and enter the next epoch."""
        if self._pending_r1 is None:
            raise unauthenticated("no rekey is under way")
        r1 = reply.adopted or self._pending_r1
        if (
            r1.session_id != self.session_id
            or r1.epoch != self.epoch
            or not self.mac_keys.is_r1(r1)
            or not self.mac_keys.is_r2(r1, reply.r2)
        ):
            raise unauthenticated("mac of R1 or R2")
        self._advance(r1, reply.r2, now_ms)

    def _advance(self, r1: R1, r2: R2, now_ms: int) -> None:
        until_ms = now_ms + RETIRED_KEY_MS
        self._retired.append(RetiredEpoch(self.epoch, until_ms, self.sender, self.receivers))
        self._committed = CommittedRekey(self.mac_keys, r1, r2)
        self._pending_r1 = None
        self.windows_lost = False
        c2s, s2c = next_secret(self.c2s, r1, r2), next_secret(self.s2c, r1, r2)
        self._start_epoch(self.epoch + 1, c2s, s2c)
