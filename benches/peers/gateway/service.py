"""The gateway without its HTTP: handshakes, stored sessions, records for an echoing application.

It joins the pieces that the other rows measure alone (`HandshakeServer`, `RecordOpener`,
`RecordSealer`) with a store. A session is stored when it is confirmed, by M3 or by its first
record, and nobody is answered before it is.
"""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING

from benches.peers.errors import RefusedError
from benches.peers.handshake import HandshakeServer
from benches.peers.records import RecordOpener, Session
from benches.peers.sealing import RecordSealer

from . import carriers
from .limits import Buckets
from .session_file import SessionFile, SessionRow
from .wrapping import Wrapper

if TYPE_CHECKING:
    import asyncio

    from benches.peers.handshake import HalfOpen

    from .settings import Settings

IDLE_TIMEOUT_S = 600
_HALF_OPEN_MS = 10_000
_REQUEST_AAD = b"SAGE-HTTP/1 request"
_RESPONSE_AAD = b"SAGE-HTTP/1 response"


class Service:
    """One process of the gateway. It belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._file = SessionFile(
            settings.session_path,
            synchronous=settings.synchronous,
            max_sessions_per_client=settings.max_sessions_per_client,
        )
        self._server = HandshakeServer(
            settings.seed,
            registered={did: (key,) for did, key in self._file.clients().items()},
            idle_timeout_s=IDLE_TIMEOUT_S,
        )
        self._server_did = self._server.did.decode()
        self._wrapper = Wrapper("kek-1", settings.kek, "gateway")
        self._opener = RecordOpener()
        self._sealers: dict[bytes, RecordSealer] = {}
        self._storing: dict[bytes, asyncio.Future[None]] = {}
        self._by_address = Buckets(settings.rate_per_s, settings.burst)
        self._by_did = Buckets(settings.rate_per_s, settings.burst)

    def initiate(self, body: bytes, address: str) -> bytes:
        """Answer an M1 with an M2, JSON both."""
        now_s = monotonic()
        self._by_address.take(address, now_s)
        message = carriers.read_initiate(body)
        answer = self._server.respond(message, time_ns() // 1_000_000)
        self._by_did.take(_client_did(message), now_s)
        return carriers.write_accept(answer)

    async def complete(self, body: bytes, address: str) -> None:
        """Take an M3, and store its session."""
        self._by_address.take(address, monotonic())
        message = carriers.read_confirm(body)
        now_ms = time_ns() // 1_000_000
        session_id = message[:16]
        entry = self._server.confirm(message, now_ms)
        del self._server.sessions[session_id]
        await self._confirmed(session_id, entry, now_ms)

    async def message(self, path_id: str, record: bytes, address: str) -> bytes:
        """Open a record, let the application echo it, and seal the answer."""
        self._by_address.take(address, monotonic())
        session_id = record[4:20]
        if carriers.dashed(session_id) != path_id:
            raise RefusedError("authentication_failed")
        now_ms = time_ns() // 1_000_000
        if session_id not in self._sealers:
            await self._confirm_by(record, session_id, now_ms)
        plaintext = self._opener.open(record, now_ms, _REQUEST_AAD)
        answer = await _echo(plaintext)
        return self._sealers[session_id].seal(answer, now_ms, _RESPONSE_AAD + record[:48])

    def close(self) -> None:
        """Write what is under way, and end."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._sealers)

    async def _confirm_by(self, record: bytes, session_id: bytes, now_ms: int) -> None:
        """Let a first record confirm: it must open, but is opened for delivery after that."""
        entry = self._server.half_open(session_id)
        if entry is None or now_ms >= entry.answered_ms + _HALF_OPEN_MS:
            raise RefusedError("authentication_failed")
        trial = RecordOpener()
        trial.add(_session(session_id, entry, now_ms))
        trial.open(record, now_ms, _REQUEST_AAD)
        await self._confirmed(session_id, entry, now_ms)

    async def _confirmed(self, session_id: bytes, entry: HalfOpen, now_ms: int) -> None:
        """Store and serve a session, once, however many confirm it."""
        if session_id in self._sealers:
            return
        stored = self._storing.get(session_id)
        if stored is None:
            stored = self._storing[session_id] = self._store(session_id, entry, now_ms)
        try:
            await stored
        finally:
            self._storing.pop(session_id, None)
        if session_id not in self._sealers:
            session = _session(session_id, entry, now_ms)
            self._opener.add(session)
            self._sealers[session_id] = RecordSealer(session, entry.s2c)

    def _store(self, session_id: bytes, entry: HalfOpen, now_ms: int) -> asyncio.Future[None]:
        wrapped = self._wrapper.wrap(
            entry.c2s + entry.s2c,
            session_id=session_id,
            client_did=entry.client_did,
            server_did=self._server.did,
            created_ms=entry.answered_ms,
            expires_ms=entry.expires_at_ms,
            epoch=0,
        )
        return self._file.create(
            SessionRow(
                session_id=carriers.dashed(session_id),
                client_did=entry.client_did.decode(),
                server_did=self._server_did,
                created_ms=entry.answered_ms,
                expires_ms=entry.expires_at_ms,
                epoch=0,
                kek_id=self._wrapper.kek_id,
                wrapped_secret=wrapped,
                idle_timeout_s=IDLE_TIMEOUT_S,
                last_activity_ms=now_ms,
            )
        )


def _session(session_id: bytes, entry: HalfOpen, now_ms: int) -> Session:
    return Session(
        session_id,
        entry.c2s,
        now_ms=now_ms,
        expires_at_ms=entry.expires_at_ms,
        idle_timeout_s=IDLE_TIMEOUT_S,
    )


def _client_did(message: bytes) -> bytes:
    start = 4 + 2 * message[1]
    return message[start : start + int.from_bytes(message[start - 2 : start], "big")]


async def _echo(plaintext: bytes) -> bytes:
    return plaintext
