"""Row 14: the server's side of a handshake, from M1 to M2 and a half-open session.

Both servers know `CLIENT_COUNT` clients whose keys were judged when they were registered, get M1s
that nobody has seen before from one client after the other, and do the same: parse, check address
and time, resolve, verify, admit the request nonce, agree, sign, derive. Both keep the half-open
session in a dict; it is thrown away between slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from time import time_ns
from typing import TYPE_CHECKING

from benches.peers.handshake import HandshakeServer
from benches.ratios.sides import Row, Side
from sage_native.keys import SigningKey
from sage_native.protocol import Initiator, Responder
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.ratios.sides import Arguments
    from sage_native.keys import VerifyingKey
    from sage_native.protocol import Attempt, Session

SERVER_SEED = bytes(range(32))
CLIENT_COUNT = 64


def signing_keys() -> list[SigningKey]:
    """Return the keys of the clients."""
    return [SigningKey(number.to_bytes(32, "big")) for number in range(1, CLIENT_COUNT + 1)]


class Clients:
    """Makes first messages, and remembers the attempts behind the last of them."""

    def __init__(self) -> None:
        server_key = SigningKey(SERVER_SEED).verifying_key
        self._initiators = cycle([Initiator(key, server_key) for key in signing_keys()])
        self.attempts: dict[bytes, Attempt] = {}

    def first_messages(self, count: int) -> Iterator[Arguments]:
        """Return so many (M1, time in ms)."""
        now_ms = time_ns() // 1_000_000
        attempts = [one.initiate(now_ms=now_ms) for one in islice(self._initiators, count)]
        self.attempts = {attempt.message: attempt for attempt in attempts}
        return ((attempt.message, now_ms) for attempt in attempts)

    def finish(self, reply: bytes) -> str:
        """Let the client whose attempt it is take an M2; return its session's state."""
        (attempt,) = self.attempts.values()
        return attempt.finish(reply)[1].state


@dataclass(frozen=True)
class OurServer:
    """A responder with a directory, a replay set and its half-open sessions."""

    responder: Responder
    directory: dict[str, list[VerifyingKey]]
    replays: ReplaySet
    half_open: dict[str, Session]

    @classmethod
    def ready(cls) -> OurServer:
        """Return a server that knows the clients."""
        directory = {key.did: [key.verifying_key] for key in signing_keys()}
        # Small, so that its pages are soon all touched.
        replays = ReplaySet(200_000)
        responder = Responder(
            SigningKey(SERVER_SEED), resolve=directory.__getitem__, admit=replays.admit
        )
        return cls(responder, directory, replays, {})

    def respond(self, message: bytes, now_ms: int) -> bytes:
        """Answer an M1."""
        reply, session = self.responder.respond(message, now_ms=now_ms)
        self.half_open[session.session_id] = session
        return reply


def our_server() -> Side:
    """Our responder and its clients."""
    server, clients = OurServer.ready(), Clients()
    return Side(server.respond, _fresh(clients, server.half_open.clear), seen=clients.finish)


def _peer_server() -> Side:
    registered = {key.did: (key.verifying_key_bytes,) for key in signing_keys()}
    server, clients = HandshakeServer(SERVER_SEED, registered=registered), Clients()

    def forget() -> None:
        server._half_open.clear()
        server._half_open_order.clear()

    return Side(server.respond, _fresh(clients, forget), seen=clients.finish)


def _fresh(clients: Clients, forget: Callable[[], None]) -> Callable[[int], Iterator[Arguments]]:
    def prepare(count: int) -> Iterator[Arguments]:
        forget()
        return clients.first_messages(count)

    return prepare


ROWS = (
    Row(
        14,
        "Handshake, server side",
        "the same protocol on pyca",
        lambda: (our_server(), _peer_server()),
        3,
        8,
    ),
)
