"""What clients of a gateway do: handshakes, and requests that were sealed beforehand.

Clients are always of sage_native, whoever the server is. First messages are made before they are
needed, since each is fresh for a minute; the answers to M2 are worked out while the load runs, in
the generator's process.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from sage_native.keys import SigningKey
from sage_native.protocol import Initiator, RecordHeader, decode_json, encode_json

from .messages import post

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sage_native.keys import VerifyingKey
    from sage_native.protocol import Attempt, Session

    from .load import Dialogue

JSON = "application/json"
RECORD = "application/sage-record"
REQUEST_AAD = b"SAGE-HTTP/1 request"
RESPONSE_AAD = b"SAGE-HTTP/1 response"


def client_keys(count: int) -> list[SigningKey]:
    """Return the keys of so many clients, always the same."""
    return [SigningKey(number.to_bytes(32, "big")) for number in range(1, count + 1)]


class Clients:
    """Some clients of one server, and the sessions that they have made."""

    def __init__(self, server_key: VerifyingKey, count: int) -> None:
        keys = client_keys(count)
        self.registered = {key.did: key.verifying_key.to_bytes() for key in keys}
        self._initiators = cycle([Initiator(key, server_key) for key in keys])
        self.sessions: list[Session] = []

    def handshakes(self, count: int) -> list[Dialogue]:
        """Return so many handshakes, their M1s made; each leaves its session in `sessions`."""
        attempts = [one.initiate() for one in islice(self._initiators, count)]
        return [
            self._handshake(attempt, _initiation(encode_json("initiate", attempt.message)))
            for attempt in attempts
        ]

    def _handshake(self, attempt: Attempt, request: bytes) -> Dialogue:
        answer = yield request
        accept = decode_json("accept", answer.expect(200))
        confirmation, session = attempt.finish(accept)
        body = encode_json("confirm", confirmation)
        answer = yield post("/v1/handshake/complete", body, JSON)
        answer.expect(204)
        self.sessions.append(session)


def _initiation(body: bytes) -> bytes:
    return post("/v1/handshake/initiate", body, JSON)


def _message(session: Session, record: bytes) -> bytes:
    return post(f"/v1/sessions/{session.session_id}/messages", record, RECORD)


def echoes(sessions: Sequence[Session], plaintext: bytes, count: int) -> Iterator[Dialogue]:
    """Return so many record requests to an application that echoes, sealed beforehand.

    Every answer is a record; it is opened after the run by `check_echo`, not while it runs.
    """
    for session in islice(cycle(sessions), count):
        yield _echo(_message(session, session.seal(plaintext, aad=REQUEST_AAD)), plaintext)


def _echo(request: bytes, plaintext: bytes) -> Dialogue:
    answer = yield request
    record = answer.expect(200)
    RecordHeader.parse(record)
    assert len(record) == 64 + len(plaintext)


def checked_echo(session: Session, plaintext: bytes) -> Dialogue:
    """Return one record request whose answer is opened, bound to its request."""
    record = session.seal(plaintext, aad=REQUEST_AAD)
    answer = yield _message(session, record)
    aad = RESPONSE_AAD + record[:48]
    assert session.open(answer.expect(200), aad=aad) == plaintext


def same(request: bytes, count: int) -> Iterator[Dialogue]:
    """Return the same request so many times; its answer must have status 200."""
    return (_once(request) for _ in range(count))


def _once(request: bytes) -> Dialogue:
    answer = yield request
    answer.expect(200)
