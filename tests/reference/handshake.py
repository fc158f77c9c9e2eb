"""The reference initiator and responder.

Both do their checks in the order of the text, and answer with the first that fails.
Source: docs/protocol.md, "Messages", "Order of work on M1", "Order of work on M2".
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from . import challenge as challenges
from . import dids, ed25519, schedule
from .errors import LocalError, ProtocolError, malformed, unauthenticated
from .messages import M1, M2, Accept, Confirm, Initiate
from .primitives import equal, x25519, x25519_public
from .session import Session

SUITE_CLASSIC: Final = 1
SKEW_MS: Final = 60_000
MARGIN_MS: Final = 5_000
ATTEMPT_MS: Final = 10_000

Resolver = Callable[[str], Collection[bytes]]
"""From a DID to the keys that it lists; empty for unknown, revoked and not admitted."""


@dataclass(frozen=True)
class Identity:
    """A signing key and the DID that lists it, by default its own ``did:key``."""

    seed: bytes
    did: str = ""

    def __post_init__(self) -> None:
        if not self.did:
            object.__setattr__(self, "did", dids.key_to_did(self.public_key))

    @property
    def public_key(self) -> bytes:
        """The 32-byte verifying key."""
        return ed25519.public_key(self.seed)

    def sign(self, role: bytes, transcript: bytes) -> bytes:
        """Sign a transcript hash in a role."""
        return ed25519.sign(self.seed, schedule.signing_input(role, transcript))


def resolve_any_did_key(did: str) -> Collection[bytes]:
    """List the key inside a ``did:key``: the admission policy ``any_did_key``."""
    key = dids.did_to_key(did)
    return () if key is None else (key,)


@dataclass(frozen=True)
class Transcript:
    """Every intermediate value of a finished handshake, for vectors."""

    th1: bytes
    th2: bytes
    th3: bytes
    th4: bytes
    shared_secret: bytes
    secrets: schedule.Secrets


class Initiator:
    """One attempt at a handshake by the client."""

    def __init__(
        self,
        identity: Identity,
        *,
        server_did: str,
        server_public_key: bytes,
        ephemeral_secret: bytes,
        nonce: bytes,
        now_ms: int,
        suites: tuple[int, ...] = (SUITE_CLASSIC,),
        challenge: bytes = b"",
        channel_binding: bytes = b"",
        max_lifetime_ms: int = 24 * 3600 * 1000,
    ) -> None:
        self._identity = identity
        self._server_public_key = server_public_key
        self._ephemeral_secret: bytes | None = ephemeral_secret
        self._started_ms = now_ms
        self._max_lifetime_ms = max_lifetime_ms
        m1 = M1(
            suites=suites,
            client_did=identity.did,
            client_public_key=identity.public_key,
            server_did=server_did,
            server_public_key=server_public_key,
            client_key_share=x25519_public(ephemeral_secret),
            nonce=nonce,
            timestamp_ms=now_ms,
            challenge=challenge,
            channel_binding=channel_binding,
        )
        self._th1 = schedule.th1(m1.encode())
        self.message = Initiate(m1, identity.sign(b"initiate", self._th1))
        self.transcript: Transcript | None = None

    def finish(
        self,
        accept: Accept,
        *,
        now_ms: int,
        incarnation: bytes,
        known_sessions: Collection[tuple[str, bytes]] = (),
    ) -> Session:
        """Take the one M2 and return the open session; every refusal is one answer.

        Args:
            accept: The parsed carrier; a carrier that does not parse fails the attempt as well.
            now_ms: The client's clock.
            incarnation: 16 bytes for this sending process.
            known_sessions: Pairs ``(peer DID, session_id)`` in this client's table.

        """
        ephemeral_secret, self._ephemeral_secret = self._ephemeral_secret, None
        if ephemeral_secret is None or now_ms >= self._started_ms + ATTEMPT_MS:
            raise unauthenticated("attempt is over")
        m1, m2 = self.message.m1, accept.m2
        if accept.server_did != m1.server_did:
            raise unauthenticated("server_did")
        if m2.suite not in m1.suites or m2.suite != SUITE_CLASSIC:
            raise unauthenticated("suite")
        if not now_ms < m2.expires_at_ms <= now_ms + self._max_lifetime_ms:
            raise unauthenticated("expires_at")
        th2 = schedule.th2(self._th1, self.message.signature, m2.encode())
        signed = schedule.signing_input(b"accept", th2)
        if not ed25519.verify(self._server_public_key, signed, accept.signature):
            raise unauthenticated("server signature")
        try:
            shared = x25519(ephemeral_secret, m2.server_key_share)
        except ProtocolError as error:
            raise unauthenticated("server key share") from error
        th3 = schedule.th3(th2, accept.signature)
        secrets = schedule.derive(m2.suite, shared, th2, th3)
        if not equal(schedule.server_confirmation(secrets.finish_s, th3), accept.confirmation):
            raise unauthenticated("server confirmation")
        if (m1.server_did, m2.session_id) in known_sessions:
            raise unauthenticated("session_id is not new")
        th4 = schedule.th4(th3, accept.confirmation)
        self.transcript = Transcript(self._th1, th2, th3, th4, shared, secrets)
        self._session_id = m2.session_id
        return Session(
            role="initiator",
            session_id=m2.session_id,
            suite=m2.suite,
            peer_did=m1.server_did,
            c2s=secrets.c2s_0,
            s2c=secrets.s2c_0,
            exporter=secrets.exporter,
            incarnation=incarnation,
            created_ms=now_ms,
            expires_at_ms=m2.expires_at_ms,
            idle_timeout_s=m2.idle_timeout_s,
        )

    def confirm(self, *, signed: bool = False) -> Confirm:
        """Return M3, with ``client_confirm_signature`` when `signed`."""
        if self.transcript is None:
            raise LocalError("no M2 was accepted")
        th4 = self.transcript.th4
        return Confirm(
            session_id=self._session_id,
            confirmation=schedule.client_confirmation(self.transcript.secrets.finish_c, th4),
            signature=self._identity.sign(b"confirm", th4) if signed else b"",
        )


@dataclass(frozen=True)
class Policy:
    """What a responder decides for itself."""

    confirmation: Literal["mac", "signature"] = "mac"
    challenge_required: bool = False
    suites: tuple[int, ...] = (SUITE_CLASSIC,)
    lifetime_ms: int = 3600 * 1000
    idle_timeout_s: int = 900
    channel_binding: bytes = b""


@dataclass
class HalfOpen:
    """A session with what is needed to judge its M3."""

    session: Session
    client_public_key: bytes
    th4: bytes
    transcript: Transcript


@dataclass
class Responder:
    """The server: identities, admission, replay memory and the sessions that it opened."""

    identities: tuple[Identity, ...]
    resolve: Resolver
    policy: Policy = Policy()
    challenge_key: bytes = b""
    sessions: dict[bytes, HalfOpen] = field(default_factory=dict)
    _nonces: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def respond(
        self,
        message: Initiate,
        *,
        now_ms: int,
        ephemeral_secret: bytes,
        server_nonce: bytes,
        session_id: bytes,
        incarnation: bytes,
    ) -> Accept:
        """Answer a parsed M1 and hold the session half-open."""
        m1 = message.m1
        suite = self._select_suite(m1)
        identity = self._addressed_identity(m1)
        self._check_freshness(m1, now_ms)
        self._authenticate(message)
        self._admit_nonce(m1, now_ms)
        shared = x25519(ephemeral_secret, m1.client_key_share)
        m2 = M2(
            suite=suite,
            session_id=session_id,
            server_key_share=x25519_public(ephemeral_secret),
            server_nonce=server_nonce,
            expires_at_ms=now_ms + self.policy.lifetime_ms,
            idle_timeout_s=self.policy.idle_timeout_s,
        )
        th1 = schedule.th1(m1.encode())
        th2 = schedule.th2(th1, message.signature, m2.encode())
        signature = identity.sign(b"accept", th2)
        th3 = schedule.th3(th2, signature)
        secrets = schedule.derive(suite, shared, th2, th3)
        confirmation = schedule.server_confirmation(secrets.finish_s, th3)
        th4 = schedule.th4(th3, confirmation)
        transcript = Transcript(th1, th2, th3, th4, shared, secrets)
        session = Session(
            role="responder",
            session_id=session_id,
            suite=suite,
            peer_did=m1.client_did,
            c2s=secrets.c2s_0,
            s2c=secrets.s2c_0,
            exporter=secrets.exporter,
            incarnation=incarnation,
            created_ms=now_ms,
            expires_at_ms=m2.expires_at_ms,
            idle_timeout_s=m2.idle_timeout_s,
        )
        session.await_confirmation(
            schedule.client_confirmation(secrets.finish_c, th4),
            now_ms=now_ms,
            signature_required=self.policy.confirmation == "signature",
        )
        self.sessions[session_id] = HalfOpen(session, m1.client_public_key, th4, transcript)
        return Accept(m1.server_did, m2, signature, confirmation)

    def confirm(self, message: Confirm, *, now_ms: int) -> Session:
        """Take M3 and return the open session."""
        entry = self.sessions.get(message.session_id)
        if entry is None:
            raise unauthenticated("no such session")
        signed = schedule.signing_input(b"confirm", entry.th4)
        signature_ok = ed25519.verify(entry.client_public_key, signed, message.signature)
        entry.session.confirm(message, signature_ok=signature_ok, now_ms=now_ms)
        return entry.session

    def session(self, session_id: bytes) -> Session:
        """Return a session for its next record or R1."""
        entry = self.sessions.get(session_id)
        if entry is None:
            raise unauthenticated("no such session")
        return entry.session

    def mint_challenge(self, client_did: str, server_did: str, *, now_ms: int) -> bytes:
        """Return the challenge that goes into the body of a 401 ``challenge_required``."""
        return challenges.mint(
            self.challenge_key, issued_ms=now_ms, client_did=client_did, server_did=server_did
        )

    def _select_suite(self, m1: M1) -> int:
        """Take the client's first suite that is supported; check its key share's length."""
        suite = next((s for s in m1.suites if s in self.policy.suites), None)
        if suite is None:
            raise ProtocolError("unsupported_suite", str(m1.suites))
        if m1.channel_binding != self.policy.channel_binding:
            raise malformed("channel_binding")
        if len(m1.client_key_share) != 32:
            raise ProtocolError("invalid_key", "length of client_key_share")
        return suite

    def _addressed_identity(self, m1: M1) -> Identity:
        for identity in self.identities:
            if (identity.did, identity.public_key) == (m1.server_did, m1.server_public_key):
                return identity
        raise ProtocolError("misdirected", m1.server_did)

    def _check_freshness(self, m1: M1, now_ms: int) -> None:
        if abs(m1.timestamp_ms - now_ms) > SKEW_MS:
            raise ProtocolError("stale_timestamp", str(m1.timestamp_ms))
        if not m1.challenge and not self.policy.challenge_required:
            return
        if not challenges.is_valid(
            m1.challenge,
            self.challenge_key,
            now_ms=now_ms,
            client_did=m1.client_did,
            server_did=m1.server_did,
        ):
            raise ProtocolError("challenge_required")

    def _authenticate(self, message: Initiate) -> None:
        m1 = message.m1
        if m1.client_public_key not in self.resolve(m1.client_did):
            raise unauthenticated("DID unknown, revoked, or does not list this key")
        if not ed25519.is_acceptable_identity(m1.client_public_key):
            raise ProtocolError("invalid_key", "client_public_key")
        signed = schedule.signing_input(b"initiate", schedule.th1(m1.encode()))
        if not ed25519.verify(m1.client_public_key, signed, message.signature):
            raise unauthenticated("client signature")

    def _admit_nonce(self, m1: M1, now_ms: int) -> None:
        for key, until_ms in list(self._nonces.items()):
            if until_ms <= now_ms:
                del self._nonces[key]
        key = (m1.client_did, m1.nonce)
        if key in self._nonces:
            raise ProtocolError("replay_detected")
        self._nonces[key] = m1.timestamp_ms + SKEW_MS + MARGIN_MS
