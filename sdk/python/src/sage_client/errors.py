"""Everything that the client raises, sorted by what the caller can conclude from it.

Errors of the gateway travel outside the sealed records, so nobody vouches for them: a stranger on
the way can write any of them. Once a record has left, only a sealed answer tells what became of
it. Therefore a message that was not marked idempotent ends in ``DeliveryUnknownError`` whatever
the gateway says, and ``reason`` tells what it said.

Wrong arguments raise ``sage_native.exceptions.UsageError``.
"""

from __future__ import annotations

from sage_native.exceptions import SageError

__all__ = [
    "AnswerLostError",
    "AuthenticationFailedError",
    "ChallengeRequiredError",
    "ConnectionFailedError",
    "DeliveryUnknownError",
    "ExchangeError",
    "InternalError",
    "InvalidDidError",
    "InvalidKeyError",
    "KeyUnavailableError",
    "MalformedRequestError",
    "MisdirectedError",
    "NotAuthenticError",
    "NotFoundError",
    "OverloadedError",
    "PayloadTooLargeError",
    "ProblemError",
    "RateLimitedError",
    "RekeyRequiredError",
    "ReplayDetectedError",
    "RequestTimeoutError",
    "SageClientError",
    "ServerIdentityError",
    "SessionEndedError",
    "StaleTimestampError",
    "StoreFullError",
    "StoreUnavailableError",
    "TransportError",
    "UnexpectedAnswerError",
    "UnsupportedSuiteError",
    "UnsupportedVersionError",
    "UpstreamUnavailableError",
]


class SageClientError(SageError):
    """The root of what the client raises."""


class ServerIdentityError(SageClientError):
    """The server announces another identity than the pinned one, or none was pinned."""


class DeliveryUnknownError(SageClientError):
    """A record left, and no answer says whether the message was delivered.

    Send it again only if it may arrive twice; mark such messages ``idempotent=True`` and the
    client does so itself.

    Attributes:
        reason: What stood in the way of an answer.
    """

    def __init__(self, reason: ExchangeError) -> None:
        super().__init__(
            f"the message may have been delivered, or not: {reason}; "
            "send it again only if it may arrive twice (idempotent=True)"
        )
        self.reason = reason


class ExchangeError(SageClientError):
    """One exchange with the server has failed.

    Attributes:
        sent: Whether the server may have received what was sent.
        retriable: Whether the same can be tried again later.
        retry_after_s: How long the server asks to wait; None if it does not say.
    """

    retriable = False

    def __init__(
        self, message: str, *, sent: bool = True, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.retry_after_s = retry_after_s


class SessionEndedError(ExchangeError):
    """Age, idleness or a close has ended the session; connect again."""


class NotAuthenticError(ExchangeError):
    """What came is not from the pinned server, or not the answer to what was sent."""


class TransportError(ExchangeError):
    """No answer came over the network."""

    retriable = True


class ConnectionFailedError(TransportError):
    """No connection: the server has received nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class AnswerLostError(TransportError):
    """The connection broke, or the time was up, before the whole answer came."""


class UnexpectedAnswerError(ExchangeError):
    """An answer that this protocol does not know: a redirect, a page of a proxy, too many bytes.

    Attributes:
        status: The HTTP status; None if the answer was sealed.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        # What proxies say by themselves when the server behind them is not there or is busy.
        self.retriable = status in {429, 502, 503, 504}


class ProblemError(ExchangeError):
    """The gateway refused, with a code (RFC 9457). Nobody vouches for that: see the module.

    Attributes:
        code: The error code of the protocol, such as ``rate_limited``.
        status: The HTTP status.
    """

    code = ""

    def __init__(
        self, message: str, *, code: str, status: int, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.code = code
        self.status = status


class AuthenticationFailedError(ProblemError):
    """Unknown or revoked DID, wrong signature or tag, or a session that is not open (any more)."""

    code = "authentication_failed"


class StaleTimestampError(ProblemError):
    """The clocks of client and server are more than 60 s apart.

    Attributes:
        server_time_ms: The server's clock as it says, for the human; None if it does not say.
        client_time_ms: This machine's clock when the answer came.
    """

    code = "stale_timestamp"
    server_time_ms: int | None = None
    client_time_ms: int = 0


class ChallengeRequiredError(ProblemError):
    """The server wants its challenge in the next M1.

    Attributes:
        challenge: The challenge to send.
    """

    code = "challenge_required"
    challenge: bytes = b""


class MalformedRequestError(ProblemError):
    """Not of the strict form."""

    code = "malformed_request"


class InvalidDidError(ProblemError):
    """Not a DID of this protocol."""

    code = "invalid_did"


class InvalidKeyError(ProblemError):
    """A key or key share of wrong length, order or encoding."""

    code = "invalid_key"


class UnsupportedVersionError(ProblemError):
    """The server speaks another version."""

    code = "unsupported_version"


class UnsupportedSuiteError(ProblemError):
    """The server supports none of the client's suites."""

    code = "unsupported_suite"


class MisdirectedError(ProblemError):
    """The server has another identity than the pinned one; ``fetch_identity`` tells which."""

    code = "misdirected"


class ReplayDetectedError(ProblemError):
    """This was accepted before."""

    code = "replay_detected"


class RekeyRequiredError(ProblemError):
    """The session's epoch may not be used any more."""

    code = "rekey_required"


class PayloadTooLargeError(ProblemError):
    """More than the gateway takes."""

    code = "payload_too_large"


class RateLimitedError(ProblemError):
    """Asked more often than allowed."""

    code = "rate_limited"
    retriable = True


class OverloadedError(ProblemError):
    """The gateway has no room now."""

    code = "overloaded"
    retriable = True


class StoreUnavailableError(ProblemError):
    """The gateway's store does not answer."""

    code = "store_unavailable"
    retriable = True


class StoreFullError(ProblemError):
    """The gateway's store is full."""

    code = "store_full"
    retriable = True


class KeyUnavailableError(ProblemError):
    """The gateway cannot open its stored secret of this session."""

    code = "key_unavailable"
    retriable = True


class RequestTimeoutError(ProblemError):
    """The request came too slowly."""

    code = "request_timeout"
    retriable = True


class UpstreamUnavailableError(ProblemError):
    """The application behind the gateway did not answer; it may have received the message."""

    code = "upstream_unavailable"


class NotFoundError(ProblemError):
    """The server knows no such address or name."""

    code = "not_found"


class InternalError(ProblemError):
    """Something is wrong with the gateway."""

    code = "internal_error"
