"""Alice: opens the session and sends files through it, with new keys halfway."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from sage_native.cli import files
from sage_native.cli.demo import messages
from sage_native.cli.demo.frames import Kind
from sage_native.exceptions import SageError
from sage_native.protocol import Initiator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_native.cli.demo.frames import Channel
    from sage_native.cli.demo.inputs import Source
    from sage_native.keys import SigningKey, VerifyingKey
    from sage_native.protocol import Session

__all__ = ["Courier", "Delivery", "DeliveryError", "shake_hands"]

PIECE_LEN = 1 << 18


class DeliveryError(SageError):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Delivery:
    """One file, as both sides agree it was delivered."""

    source: Source
    record_count: int
    """How many records carried its content."""
    sha256: str
    elapsed_s: float


def shake_hands(key: SigningKey, server_key: VerifyingKey, channel: Channel) -> Session:
    """Open a session with the holder of this key. Raises AuthenticationError for all others."""
    attempt = Initiator(key, server_key).initiate()
    channel.send(Kind.INITIATE, attempt.message)
    confirmation, session = attempt.finish(channel.expect(Kind.ACCEPT))
    channel.send(Kind.CONFIRM, confirmation)
    return session


class Courier:
    """Sends files over one session and has its keys renewed when half of the bytes are through.

    Args:
        session: An open session.
        channel: Its connection.
        total_len: How many bytes all files have together.
        on_sent: Is told the length of each piece that was sent.
    """

    def __init__(
        self, session: Session, channel: Channel, total_len: int, on_sent: Callable[[int], object]
    ) -> None:
        self._session, self._channel = session, channel
        self._total_len, self._on_sent = total_len, on_sent
        self._sent_len = 0
        self.record_count = 0
        """How many records have carried content so far."""
        self.rekeyed_after: int | None = None
        """After how many records the keys were renewed; None before that."""

    def send(self, source: Source) -> Delivery:
        """Send one file and wait for the receipt.

        Raises:
            DeliveryError: The receiver got something else, or the file shrank meanwhile.
            UsageError: The file can no longer be read.
        """
        started, before, digest = perf_counter(), self.record_count, hashlib.sha256()
        self._seal(messages.begin(source.path.name, source.size))
        for piece in _pieces(source):
            digest.update(piece[1:])
            self._seal(piece)
            self._count(len(piece) - 1)
        sha256 = digest.hexdigest()
        self._check(source, sha256, self.finish(sha256))
        return Delivery(source, self.record_count - before, sha256, perf_counter() - started)

    def finish(self, sha256: str) -> messages.Receipt:
        """Say that the file has ended, and return the receiver's receipt."""
        self._seal(messages.end(sha256))
        return messages.read_receipt(self._session.open(self._channel.expect(Kind.RECORD)))

    def _seal(self, message: bytes | memoryview) -> None:
        self._channel.send(Kind.RECORD, self._session.seal(message))

    def _count(self, piece_len: int) -> None:
        self._on_sent(piece_len)
        self._sent_len += piece_len
        self.record_count += 1
        if self.rekeyed_after is None and 2 * self._sent_len >= self._total_len:
            self._channel.send(Kind.REKEY_REQUEST, self._session.rekey_request())
            self._session.accept_rekey(self._channel.expect(Kind.REKEY_REPLY))
            self.rekeyed_after = self.record_count

    def _check(self, source: Source, sha256: str, receipt: messages.Receipt) -> None:
        wanted = messages.Receipt(source.path.name, source.size, sha256, verified=True)
        if receipt != wanted:
            raise DeliveryError(f"'{source.path}' was sent as {wanted} and arrived as {receipt}")


def _pieces(source: Source) -> Iterator[memoryview]:
    """Yield messages that carry the file, each valid until the next."""
    message = bytearray(len(messages.PIECE) + PIECE_LEN)
    message[:1] = messages.PIECE
    view, left = memoryview(message), source.size
    try:
        with source.path.open("rb", buffering=0) as file:
            while left:
                count = file.readinto(view[1 : 1 + min(left, PIECE_LEN)])
                if not count:
                    raise DeliveryError(f"file '{source.path}' became shorter while it was sent")
                left -= count
                yield view[: 1 + count]
    except OSError as error:
        raise files.unreadable(source.path, "file", error) from error
