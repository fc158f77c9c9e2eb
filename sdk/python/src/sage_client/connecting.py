"""One client's steps: who the server is, new sessions, and which are open.

The server's key is pinned before the first M1. Where it comes from is the caller's decision; this
client takes it from the server itself only if told to trust on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.protocol import Initiator

from sage_client import server_identity
from sage_client.backoff import Budget
from sage_client.commands import Steps, Turn
from sage_client.errors import ServerIdentityError, SessionEndedError
from sage_client.gate import Gate
from sage_client.handshaking import shake_hands
from sage_client.records import SessionSteps

if TYPE_CHECKING:
    from sage_native.keys import SigningKey, VerifyingKey
    from sage_native.protocol import Session

    from sage_client.types import ClientSettings, ServerIdentity

__all__ = ["ClientSteps"]


class ClientSteps:
    """What a client does, as steps.

    Args:
        signing_key: The client's identity; stays open as long as the client is used.
        settings: Tries and times.
        server_key: The pinned key; None to trust on first use, if that is allowed.
        did: The client's DID; the ``did:key`` of its key if left out.
        server_did: The server's DID; the ``did:key`` of its key if left out.
        trust_on_first_use: Take the first key that the server announces where none is pinned.
    """

    def __init__(  # noqa: PLR0913 - one setting each
        self,
        signing_key: SigningKey,
        settings: ClientSettings,
        *,
        server_key: VerifyingKey | None = None,
        did: str | None = None,
        server_did: str | None = None,
        trust_on_first_use: bool = False,
    ) -> None:
        self.server_key = server_key
        self.sessions: list[SessionSteps] = []
        self._signing_key = signing_key
        self._settings = settings
        self._did = did
        self._server_did = server_did
        self._trust_on_first_use = trust_on_first_use
        self._known: set[str] = set()
        self._gate = Gate()
        self._standing: SessionSteps | None = None
        self._closed = False
        if server_key is not None:
            self._initiator(server_key)  # a DID that is none shows here

    def fetch_identity(self) -> Steps[ServerIdentity]:
        """Ask the server who it is, and compare that with the pinned key where there is one."""
        budget = Budget(self._settings)
        identity = yield from server_identity.fetch(budget, timeout_s=self._settings.timeout_s)
        if self.server_key is not None:
            server_identity.compare(identity, self.server_key)
        return identity

    def connect(self, *, renew: bool = False) -> Steps[SessionSteps]:
        """Make a session."""
        session = yield from self._shake_hands(Budget(self._settings))
        steps = SessionSteps(
            session,
            self._settings,
            renew=self._shake_hands if renew else None,
            forget=self._known.discard,
        )
        # A client may live long: what is closed need not be closed with it.
        self.sessions = [other for other in self.sessions if not other.closed]
        self.sessions.append(steps)
        return steps

    def standing_session(self) -> Steps[SessionSteps]:
        """Return the session that ``send`` uses, made on first use and renewed when it ends."""
        standing = self._standing
        if standing is not None and not standing.closed:
            return standing
        yield Turn(self._gate, alone=True)
        try:
            if self._standing is None or self._standing.closed:
                self._standing = yield from self.connect(renew=True)
            return self._standing
        finally:
            self._gate.release()

    def send(self, message: bytes, *, idempotent: bool = False) -> Steps[bytes]:
        """Send a message in the standing session."""
        session = yield from self.standing_session()
        return (yield from session.send(message, idempotent=idempotent))

    def close(self) -> None:
        """Allow no more handshakes. Sessions are closed one by one, by their own steps."""
        self._closed = True

    def _shake_hands(self, budget: Budget) -> Steps[Session]:
        if self._closed:
            raise SessionEndedError("this client was closed; make another", sent=False)
        if self.server_key is None:
            yield from self._pin(budget)
        if self.server_key is None:
            raise ServerIdentityError("no server key is pinned")
        session = yield from shake_hands(
            self._initiator(self.server_key),
            budget,
            known=self._known,
            timeout_s=self._settings.timeout_s,
        )
        self._known.add(session.session_id)
        return session

    def _pin(self, budget: Budget) -> Steps[None]:
        if not self._trust_on_first_use:
            raise ServerIdentityError(
                "no server key is pinned: give server_key=…, as its operator tells it, or accept "
                "whoever answers first with trust_on_first_use=True"
            )
        identity = yield from server_identity.fetch(budget, timeout_s=self._settings.timeout_s)
        # Another handshake may have pinned meanwhile; the first stays.
        if self.server_key is None:
            self.server_key = identity.keys[0][1]

    def _initiator(self, server_key: VerifyingKey) -> Initiator:
        return Initiator(
            self._signing_key,
            server_key,
            did=self._did,
            server_did=self._server_did,
            max_lifetime_s=self._settings.max_lifetime_s,
            sign_confirmation=True,
        )
