"""Named situations in which vectors are fed: all inputs as data, and the live objects from them.

A `Setup` is what stands in a vector file; a `Situation` is built from it, so that a reader of the
file needs nothing that is not written there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from .handshake import Identity, Initiator, Policy, Responder, resolve_any_did_key
from .session import MAX_INCARNATION_COUNT, Session

if TYPE_CHECKING:
    from collections.abc import Collection

    from .messages import Accept

State = Literal["fresh", "offered", "half_open", "open", "rekeying"]
NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def derived_bytes(name: str, length: int = 32) -> bytes:
    """Return bytes that look random and depend only on their name."""
    return hashlib.shake_256(b"SAGE-HS/1 vectors: " + name.encode()).digest(length)


def _secret(name: str, length: int = 32) -> bytes:
    return field(default=derived_bytes(name, length))


@dataclass(frozen=True)
class Setup:
    """One situation; every field is an input of the run.

    States: `fresh`, no message yet; `offered`, the client sent its M1 at `now_ms`; `half_open`,
    the server answered it; `open`, M3 arrived; `rekeying`, the client sent R1 as well.
    """

    role: Literal["client", "server"] = "server"
    state: State = "fresh"
    now_ms: int = NOW_MS
    confirmation: Literal["mac", "signature"] = "mac"
    challenge_required: bool = False
    windows_lost: bool = False
    session_id_known: bool = False
    max_incarnation_count: int = MAX_INCARNATION_COUNT
    lifetime_ms: int = 3_600_000
    max_lifetime_ms: int = 86_400_000
    idle_timeout_s: int = 900
    client_did: str = ""
    server_did: str = ""
    suites: tuple[int, ...] = (1,)
    challenge: bytes = b""
    channel_binding: bytes = b""
    client_seed: bytes = _secret("client seed")
    server_seed: bytes = _secret("server seed")
    client_ephemeral_secret: bytes = _secret("client ephemeral secret")
    server_ephemeral_secret: bytes = _secret("server ephemeral secret")
    client_nonce: bytes = _secret("client nonce")
    server_nonce: bytes = _secret("server nonce")
    session_id: bytes = _secret("session id", 16)
    client_incarnation: bytes = _secret("client incarnation", 16)
    server_incarnation: bytes = _secret("server incarnation", 16)
    challenge_key: bytes = _secret("challenge key")
    rekey_nonce_c: bytes = _secret("rekey nonce c")
    rekey_nonce_s: bytes = _secret("rekey nonce s")
    registered: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def client(self) -> Identity:
        """The client's identity; its DID is its ``did:key`` unless named."""
        return Identity(self.client_seed, self.client_did)

    @property
    def server(self) -> Identity:
        """The server's identity."""
        return Identity(self.server_seed, self.server_did)

    def to_json(self) -> dict[str, object]:
        """Return all fields as JSON values, bytes as hex."""
        values: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bytes):
                value = value.hex()
            elif isinstance(value, dict):
                value = {did: [key.hex() for key in keys] for did, keys in value.items()}
            elif isinstance(value, tuple):
                value = list(value)
            values[item.name] = value
        values["client_did"], values["server_did"] = self.client.did, self.server.did
        return values

    @classmethod
    def from_json(cls, values: dict[str, object]) -> Setup:
        """Invert `to_json`."""
        blank = cls()
        known: dict[str, object] = {}
        for item in fields(cls):
            value = values[item.name]
            if isinstance(getattr(blank, item.name), bytes):
                assert isinstance(value, str)
                value = bytes.fromhex(value)
            elif isinstance(value, dict):
                value = {
                    did: tuple(bytes.fromhex(key) for key in keys) for did, keys in value.items()
                }
            elif isinstance(value, list):
                value = tuple(value)
            known[item.name] = value
        return cls(**known)  # type: ignore[arg-type]  # values come from a file


class Situation:
    """The live objects of a setup: both sides, brought to the state that it names."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.responder = Responder(
            identities=(setup.server,),
            resolve=self._resolve,
            policy=Policy(
                confirmation=setup.confirmation,
                challenge_required=setup.challenge_required,
                lifetime_ms=setup.lifetime_ms,
                idle_timeout_s=setup.idle_timeout_s,
                channel_binding=setup.channel_binding,
            ),
            challenge_key=setup.challenge_key,
        )
        self.initiator = Initiator(
            setup.client,
            server_did=setup.server.did,
            server_public_key=setup.server.public_key,
            ephemeral_secret=setup.client_ephemeral_secret,
            nonce=setup.client_nonce,
            now_ms=setup.now_ms,
            suites=setup.suites,
            challenge=setup.challenge,
            channel_binding=setup.channel_binding,
            max_lifetime_ms=setup.max_lifetime_ms,
        )
        self._client_session: Session | None = None
        if setup.state in ("half_open", "open", "rekeying"):
            self._shake_hands()

    def _resolve(self, did: str) -> Collection[bytes]:
        return self.setup.registered.get(did) or resolve_any_did_key(did)

    def answer(self, now_ms: int | None = None) -> Accept:
        """Let the server answer the client's M1."""
        setup = self.setup
        return self.responder.respond(
            self.initiator.message,
            now_ms=setup.now_ms if now_ms is None else now_ms,
            ephemeral_secret=setup.server_ephemeral_secret,
            server_nonce=setup.server_nonce,
            session_id=setup.session_id,
            incarnation=setup.server_incarnation,
        )

    def finish(self, accept: Accept, *, now_ms: int) -> None:
        """Let the client take an M2."""
        known = [(self.setup.server.did, self.setup.session_id)]
        self._client_session = self.initiator.finish(
            accept,
            now_ms=now_ms,
            incarnation=self.setup.client_incarnation,
            known_sessions=known if self.setup.session_id_known else (),
        )

    def _shake_hands(self) -> None:
        setup = self.setup
        self.finish(self.answer(), now_ms=setup.now_ms)
        if setup.state == "half_open":
            return
        signed = setup.confirmation == "signature"
        self.responder.confirm(self.initiator.confirm(signed=signed), now_ms=setup.now_ms)
        session = self.server_session
        session._max_incarnation_count = setup.max_incarnation_count
        if setup.windows_lost:
            session.lose_windows()
        if setup.state == "rekeying":
            self.client_session.rekey_request(setup.rekey_nonce_c)

    @property
    def client_session(self) -> Session:
        """The client's session."""
        assert self._client_session is not None
        return self._client_session

    @property
    def server_session(self) -> Session:
        """The server's session."""
        return self.responder.session(self.setup.session_id)
