"""The handshake and the sessions it leads to, without I/O: bytes in, bytes out.

::

    attempt = Initiator(alice, bob.verifying_key).initiate()      # M1
    reply, server = responder.respond(attempt.message)            # M2, half-open session
    confirmation, client = attempt.finish(reply)                  # M3, open session
    server.confirm(confirmation)

Messages are in their binary carriers; ``encode_json`` and ``decode_json`` lead to and from the JSON
ones. Every function that depends on time takes ``now_ms`` and asks the clock only without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sage_native._native import (
    Attempt,
    Initiator,
    PreparedRekey,
    RecordHeader,
    Request,
    Session,
    SessionTable,
    WrappedSession,
    accept_many,
    authenticate_many,
    decode_json,
    encode_json,
)
from sage_native._native import Responder as NativeResponder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from sage_native._native import SigningKey, VerifyingKey, _Buffer

__all__ = [
    "MAX_PLAINTEXT_LEN",
    "RECORD_OVERHEAD",
    "Admit",
    "Attempt",
    "Initiator",
    "PreparedRekey",
    "RecordHeader",
    "Request",
    "Resolve",
    "Responder",
    "Session",
    "SessionTable",
    "WrappedSession",
    "accept_many",
    "authenticate_many",
    "decode_json",
    "encode_json",
]

MAX_PLAINTEXT_LEN = 1 << 20
"""The longest plaintext of one record, in bytes."""
RECORD_OVERHEAD = 64
"""By how much a record is longer than its plaintext: header 48, tag 16."""


class Resolve(Protocol):
    """Finds the keys that a DID lists, as ``resolve_did_key`` does."""

    def __call__(self, did: str, /) -> Sequence[VerifyingKey] | None:
        """Return None or nothing for a DID that is unknown, revoked, or not admitted by policy."""


class Admit(Protocol):
    """Admits a request nonce once, as ``ReplaySet.admit`` does."""

    def __call__(
        self, scope: str, nonce: bytes, remember_until_ms: int, /, *, now_ms: int | None
    ) -> None:
        """Raise ReplayDetectedError the second time, and CapacityError when full."""


class Responder(NativeResponder):
    """The server's side of handshakes: who it is, whom it knows, and what it remembers.

    ``respond`` takes an M1 through the whole order of work. Where a directory or a nonce store is
    asynchronous, take the steps yourself: ``read``, ``Request.authenticate``, admit the nonce,
    ``Request.accept``. For many M1s at once, ``authenticate_many`` and ``accept_many`` do these
    steps at less cost.

    Args:
        signing_key: The identity; keep it open while the responder is used.
        resolve: Returns the keys that a client DID lists, and None or an empty sequence for a DID
            that is unknown, revoked or not admitted by policy. ``resolve_did_key`` admits
            everybody.
        admit: Called with client DID, request nonce, remember-until in ms, and the keyword
            ``now_ms``; admits once or raises. Such as ``ReplaySet(...).admit``.
        dids: DIDs that list the key, beside its ``did:key``.
        require_challenge: Answer an M1 without a challenge by asking for one.
        require_signed_confirmation: Policy ``signature``: only a signed M3 opens a session.
        challenge_key: 32 bytes shared by the workers of one gateway; random if left out.
    """

    __slots__ = ("_admit", "_resolve")
    _resolve: Resolve
    _admit: Admit

    def __new__(  # noqa: PLR0913, D102 - one setting each; the class says what they mean
        cls,
        signing_key: SigningKey,
        *,
        resolve: Resolve,
        admit: Admit,
        dids: Sequence[str] = (),
        require_challenge: bool = False,
        require_signed_confirmation: bool = False,
        challenge_key: _Buffer | None = None,
    ) -> Self:
        responder = super().__new__(
            cls,
            signing_key,
            dids=list(dids),
            require_challenge=require_challenge,
            require_signed_confirmation=require_signed_confirmation,
            challenge_key=challenge_key,
        )
        responder._resolve = resolve
        responder._admit = admit
        return responder

    def respond(
        self,
        message: _Buffer,
        *,
        lifetime_s: int = 3600,
        idle_timeout_s: int = 600,
        now_ms: int | None = None,
    ) -> tuple[bytes, Session]:
        """Answer an M1, cheapest checks first.

        Args:
            message: M1 in its binary carrier, at most 16 KiB.
            lifetime_s: How long the session may live; clients refuse more than 86,400 unless
                their ``Initiator`` allows it.
            idle_timeout_s: How long it may stay silent.
            now_ms: The time; the clock is asked if it is left out.

        Returns:
            M2 in its binary carrier, and the session, half-open until M3 or the first record.

        Raises:
            HandshakeError: Refused before authentication; ``code`` is what to answer.
            AuthenticationError: Unknown DID, key not listed, or a wrong signature.
            ReplayDetectedError: This M1 was answered before.
            CapacityError: The replay memory is full.

        Cost: 45 to 90 µs, by processor, nearly all of it one verification, one agreement
        and one signature.
        Source: docs/protocol.md, "Order of work on M1".
        """
        request = self.read(message, now_ms=now_ms)
        # A resolver that finds nothing may say so with None; to the request that is an empty list.
        request.authenticate(self._resolve(request.client_did) or ())
        self._admit(request.client_did, request.nonce, request.remember_until_ms, now_ms=now_ms)
        return request.accept(lifetime_s=lifetime_s, idle_timeout_s=idle_timeout_s, now_ms=now_ms)
