"""Everything that sage_native raises, sorted by whose fault it is.

``SageError`` catches all of it. ``PeerError`` means the other side is wrong and says little, on
purpose: its ``code`` is what may be answered on the wire, its text is for this side's operator.
"""

from __future__ import annotations


class SageError(Exception):
    """The root of the tree."""


class UsageError(SageError, ValueError):
    """The caller is wrong: the text says exactly what, with expected and actual length."""


class PeerError(SageError):
    """The other side is wrong. ``code`` is the error code of docs/protocol.md."""

    code = "malformed_request"


class AuthenticationError(PeerError):
    """A signature, MAC or tag does not verify, or a name is not known. Says nothing more."""

    code = "authentication_failed"


class ReplayDetectedError(PeerError):
    """This record or request was accepted before, or is older than what is remembered."""

    code = "replay_detected"


class HandshakeError(PeerError):
    """A message was refused before authentication.

    Attributes:
        code: The error code to answer with, such as ``stale_timestamp``.
        server_time_ms: With ``stale_timestamp``, this side's clock; for the human at the other end.
        challenge: With ``challenge_required``, 25 bytes for the client's next attempt.
    """

    def __init__(
        self,
        message: str,
        code: str = "malformed_request",
        server_time_ms: int | None = None,
        challenge: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.server_time_ms = server_time_ms
        self.challenge = challenge


class ExpiredError(PeerError):
    """Age, idleness or a missing confirmation has ended the session."""

    code = "authentication_failed"


class SessionStateError(SageError):
    """The object cannot do this now: closed, half-open, spent, or in another role.

    To a peer, a session that is not open is a session that is not known.
    """

    code = "authentication_failed"


class RekeyRequiredError(SessionStateError):
    """Nothing more may be sealed or opened before a rekey."""

    code = "rekey_required"


class CapacityError(SageError):
    """Full: nothing was evicted and nothing was accepted."""

    code = "store_full"


class RateLimitedError(CapacityError):
    """Asked more often than allowed: nothing was done."""

    code = "rate_limited"


class OverloadedError(CapacityError):
    """Too much at once: nothing was done, and soon there may be room.

    Attributes:
        retry_after_s: When to come again, in seconds.
    """

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageError(SageError):
    """A store failed, with its own error as ``__cause__``. Outcome unknown means refused."""

    code = "store_unavailable"


class ConflictError(StorageError):
    """The store holds something else than was expected: somebody else was first."""


class KeyUnavailableError(StorageError):
    """A stored secret does not open: another key-encryption key, or an edited or swapped row."""

    code = "key_unavailable"


class ConfigurationError(SageError):
    """A setting is missing, unknown or unsafe: the text names the key and the reason."""
