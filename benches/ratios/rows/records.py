"""Row 13: records of 64 bytes, whole path, and their sealing.

Opening is the server's work: parse, find the session by its id (in our ``SessionTable``, in the
peer's dict), key of the sending process, AEAD, replay window, counters, expiry. Both servers get
records that our client sealed before the clock was started, each record once and in order. The
time is handed in on both sides; the row beside it has both ask the clock for every record, as a
server would. In a batch our side looks the session up once, since a batch belongs to one session.
Sealing is the server's answer; the client opens what the test compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING
from uuid import UUID

from benches.peers.handshake import HandshakeServer
from benches.peers.records import RecordOpener
from benches.peers.records import Session as PeerSession
from benches.peers.sealing import RecordSealer
from benches.ratios.sides import Row, Side, always
from sage_native.keys import SigningKey, resolve_did_key
from sage_native.protocol import Initiator, Responder, SessionTable
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.ratios.sides import Arguments, Standing
    from sage_native.protocol import Session

PLAINTEXT = bytes(range(64))
SERVER_SEED = bytes(range(32))
_BATCH_LENS = (64, 1000)


@dataclass(frozen=True)
class OurPair:
    """Both ends of one of our sessions, open."""

    client: Session
    server: Session
    now_ms: int

    @classmethod
    def shaken(cls) -> OurPair:
        """Return a fresh pair, by a handshake."""
        identity, now_ms = SigningKey(SERVER_SEED), time_ns() // 1_000_000
        responder = Responder(identity, resolve=resolve_did_key, admit=ReplaySet().admit)
        attempt = Initiator(SigningKey.generate(), identity.verifying_key).initiate(now_ms=now_ms)
        reply, server = responder.respond(attempt.message, now_ms=now_ms)
        confirmation, client = attempt.finish(reply, now_ms=now_ms)
        server.confirm(confirmation, now_ms=now_ms)
        return cls(client, server, now_ms)


@dataclass(frozen=True)
class PeerPair:
    """Our client at a peer's server: opener and sealer of one open session."""

    client: Session
    opener: RecordOpener
    sealer: RecordSealer
    now_ms: int

    @classmethod
    def shaken(cls) -> PeerPair:
        """Return a fresh pair, by a handshake."""
        identity, now_ms = SigningKey(SERVER_SEED), time_ns() // 1_000_000
        server = HandshakeServer(SERVER_SEED, any_did_key=True)
        attempt = Initiator(SigningKey.generate(), identity.verifying_key).initiate(now_ms=now_ms)
        confirmation, client = attempt.finish(server.respond(attempt.message, now_ms))
        entry = server.confirm(confirmation, now_ms)
        session = PeerSession(
            confirmation[:16], entry.c2s, now_ms=now_ms, expires_at_ms=entry.expires_at_ms
        )
        opener = RecordOpener()
        opener.add(session)
        return cls(client, opener, RecordSealer(session, entry.s2c), now_ms)


def sealed_by(client: Session, now_ms: int, count: int) -> Iterator[Arguments]:
    """Seal so many records, each to be opened once."""
    return ((client.seal(PLAINTEXT, now_ms=now_ms),) for _ in range(count))


def _batches_by(client: Session, now_ms: int, length: int, count: int) -> Iterator[Arguments]:
    plaintexts = [PLAINTEXT] * length
    return ((client.seal_many(plaintexts, now_ms=now_ms),) for _ in range(count))


def our_open() -> Side:
    """Find the session in the table and open one record."""
    pair = OurPair.shaken()
    table, now_ms = SessionTable(), pair.now_ms
    table.add(pair.server)
    open_record = table.open

    def call(record: bytes) -> bytes:
        return open_record(record, now_ms=now_ms)[1]

    return Side(call, partial(sealed_by, pair.client, now_ms))


def _peer_open() -> Side:
    pair = PeerPair.shaken()
    open_record, now_ms = pair.opener.open, pair.now_ms

    def call(record: bytes) -> bytes:
        return open_record(record, now_ms)

    return Side(call, partial(sealed_by, pair.client, now_ms))


def _our_open_now() -> Side:
    pair = OurPair.shaken()
    table = SessionTable()
    table.add(pair.server)
    open_record = table.open

    def call(record: bytes) -> bytes:
        return open_record(record)[1]

    return Side(call, partial(sealed_by, pair.client, pair.now_ms))


def _peer_open_now() -> Side:
    pair = PeerPair.shaken()
    open_record = pair.opener.open

    def call(record: bytes) -> bytes:
        return open_record(record, time_ns() // 1_000_000)

    return Side(call, partial(sealed_by, pair.client, pair.now_ms))


def our_open_many(length: int) -> Side:
    """Open batches of records, each of its own session."""
    pair = OurPair.shaken()
    sessions, now_ms = {UUID(pair.server.session_id).bytes: pair.server}, pair.now_ms

    def call(records: list[bytes]) -> list[bytes | Exception]:
        return sessions[records[0][4:20]].open_many(records, now_ms=now_ms)

    return Side(call, partial(_batches_by, pair.client, now_ms, length), length)


def _peer_open_each(length: int) -> Side:
    pair = PeerPair.shaken()
    open_record, now_ms = pair.opener.open, pair.now_ms

    def call(records: list[bytes]) -> list[bytes]:
        return [open_record(record, now_ms) for record in records]

    return Side(call, partial(_batches_by, pair.client, now_ms, length), length)


def _our_seal() -> Side:
    pair = OurPair.shaken()
    seal, now_ms = pair.server.seal, pair.now_ms

    def call(plaintext: bytes) -> bytes:
        return seal(plaintext, now_ms=now_ms)

    return Side(call, always(PLAINTEXT), seen=pair.client.open)


def _peer_seal() -> Side:
    pair = PeerPair.shaken()
    seal, now_ms = pair.sealer.seal, pair.now_ms

    def call(plaintext: bytes) -> bytes:
        return seal(plaintext, now_ms)

    return Side(call, always(PLAINTEXT), seen=pair.client.open)


def _our_seal_many(length: int) -> Side:
    pair = OurPair.shaken()
    seal_many, now_ms = pair.server.seal_many, pair.now_ms

    def call(plaintexts: list[bytes]) -> list[bytes]:
        return seal_many(plaintexts, now_ms=now_ms)

    return Side(call, always([PLAINTEXT] * length), length, seen=pair.client.open_many)


def _peer_seal_each(length: int) -> Side:
    pair = PeerPair.shaken()
    seal, now_ms = pair.sealer.seal, pair.now_ms

    def call(plaintexts: list[bytes]) -> list[bytes]:
        return [seal(plaintext, now_ms) for plaintext in plaintexts]

    return Side(call, always([PLAINTEXT] * length), length, seen=pair.client.open_many)


def _opening_many(length: int) -> tuple[Side, Side]:
    return our_open_many(length), _peer_open_each(length)


def _sealing_many(length: int) -> tuple[Side, Side]:
    return _our_seal_many(length), _peer_seal_each(length)


_PEER = "the same path on pyca"
_LINES: dict[str, tuple[float | None, float | None, Standing]] = {
    "open": (10, 16, "due"),
    "seal": (None, None, "beside"),
}


def _batch_rows() -> Iterator[Row]:
    for length in _BATCH_LENS:
        for verb, sides in (("open", _opening_many), ("seal", _sealing_many)):
            operation = f"Record {verb}, 64 B, batch of {length:,}"
            yield Row(13, operation, _PEER, partial(sides, length), *_LINES[verb])


ROWS = (
    Row(13, "Record open, 64 B, whole path", _PEER, lambda: (our_open(), _peer_open()), 6, 10),
    Row(
        13,
        "Record open, 64 B, each side asking the clock",
        _PEER,
        lambda: (_our_open_now(), _peer_open_now()),
        standing="beside",
    ),
    Row(
        13,
        "Record seal, 64 B, whole path",
        _PEER,
        lambda: (_our_seal(), _peer_seal()),
        standing="beside",
    ),
    *_batch_rows(),
)
