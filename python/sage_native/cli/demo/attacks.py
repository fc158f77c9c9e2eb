"""Four attempts to cheat, each over the wire, each of which has to be refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.cli.demo import messages
from sage_native.cli.demo.frames import Channel, Kind
from sage_native.cli.demo.initiator import shake_hands
from sage_native.cli.demo.processes import Child
from sage_native.exceptions import AuthenticationError, SageError

if TYPE_CHECKING:
    from sage_native.keys import SigningKey, VerifyingKey
    from sage_native.protocol import Session

__all__ = ["NotRefusedError", "Refusal", "impersonate", "tamper_and_replay"]

PROBE = b"pay 10 to Carol"


class NotRefusedError(SageError):
    """An attack went through."""


@dataclass(frozen=True)
class Refusal:
    """One attack that failed."""

    attack: str
    refused_by: str
    error: str
    """The class of the exception, there."""
    text: str


def tamper_and_replay(session: Session, channel: Channel, bob: Child) -> list[Refusal]:
    """Be the man in the middle: flip one bit of a record, then send it honestly, then again.

    Raises:
        NotRefusedError: One of both was accepted, or the honest record was not.
    """

    def send(message: bytes) -> None:
        channel.send(Kind.RECORD, session.seal(message))

    send(messages.begin("probe", len(PROBE)))
    record = session.seal(messages.PIECE + PROBE)
    flipped = bytearray(record)
    flipped[len(flipped) // 2 + 24] ^= 1  # in the middle of the ciphertext
    channel.send(Kind.RECORD, bytes(flipped))
    refusals = [_refusal("a record with one bit flipped", channel, bob)]
    channel.send(Kind.RECORD, record)
    channel.send(Kind.RECORD, record)
    refusals.append(_refusal("an accepted record sent again", channel, bob))
    send(messages.end(hashlib.sha256(PROBE).hexdigest()))
    receipt = messages.read_receipt(session.open(channel.expect(Kind.RECORD)))
    if not receipt.verified:
        raise NotRefusedError(f"between two attacks Bob took something else: {receipt}")
    return refusals


def impersonate(
    key: SigningKey, server_key: VerifyingKey, server_port: int, bob: Child
) -> list[Refusal]:
    """Let Mallory pose as Alice before Bob, and as Bob before Alice.

    Raises:
        NotRefusedError: One of both believed it.
    """
    with Child(
        "Mallory",
        "impostor",
        client_did=key.did,
        server_did=server_key.did,
        server_port=server_port,
    ) as mallory:
        mallory.expect("client_refused")
        refusals = [_reported("another key under Alice's DID", bob)]
        with Channel.connect(mallory.expect("listening")["port"]) as channel:
            try:
                shake_hands(key, server_key, channel)
            except AuthenticationError as error:
                found = Refusal(
                    "another key under Bob's DID", "Alice", type(error).__name__, str(error)
                )
                refusals.append(found)
            else:
                raise NotRefusedError("Alice took Mallory for Bob")
        mallory.expect("server_refused")
    return refusals


def _refusal(attack: str, channel: Channel, bob: Child) -> Refusal:
    """Return what Bob made of the last record: on the wire a code, in his own report the error."""
    frame = channel.receive()
    if frame is None or frame[0] is not Kind.REFUSAL:
        raise NotRefusedError(f"{attack} was not refused")
    return _reported(attack, bob)


def _reported(attack: str, bob: Child) -> Refusal:
    reported = bob.expect("refused")
    return Refusal(attack, "Bob", reported["error"], reported["text"])
