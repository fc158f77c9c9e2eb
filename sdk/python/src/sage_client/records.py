"""One session's steps: sealing messages, opening their answers, and what to do in between.

What became of a message is known from a sealed answer alone. Everything else that comes back can
be forged, so the steps sort failures by what they allow:

* the identical record again: for a lost answer and for a server that is busy. The server's replay
  window makes sure that the message is delivered once at most;
* the message sealed anew, after a rekey or a handshake if need be: only for messages that the
  caller marked idempotent, since the first record may have been delivered;
* ``DeliveryUnknownError`` for all others. What was learned is kept: the *next* message comes after
  the rekey or the handshake.

Records share the session's gate; a rekey, a new handshake and the close have it alone.

Source: docs/protocol.md, "HTTP carrier of records" and "Rekey and resume".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import exceptions as native
from sage_native.protocol import (
    MAX_PLAINTEXT_LEN,
    RECORD_OVERHEAD,
    RecordHeader,
    decode_json,
    encode_json,
)

from sage_client.backoff import Budget
from sage_client.commands import JSON, RECORD, Call, Steps, Turn
from sage_client.errors import (
    AuthenticationFailedError,
    DeliveryUnknownError,
    ExchangeError,
    NotAuthenticError,
    RekeyRequiredError,
    ReplayDetectedError,
    SessionEndedError,
    UnexpectedAnswerError,
    UpstreamUnavailableError,
)
from sage_client.gate import Gate
from sage_client.repeating import repeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeAlias

    from sage_native.protocol import Session

    from sage_client.types import ClientSettings

    Renew: TypeAlias = Callable[[Budget], Steps[Session]]

__all__ = ["SessionSteps"]

REQUEST_AAD, ANSWER_AAD = b"SAGE-HTTP/1 request", b"SAGE-HTTP/1 response"
HEADER_LEN = 48
MAX_RECORD_LEN = MAX_PLAINTEXT_LEN + RECORD_OVERHEAD
MAX_REPLY_LEN = 16 << 10
CLOSED = frozenset((200, 204))


class SessionSteps:
    """A session and everything that can be done with it, as steps.

    Args:
        session: The open session.
        settings: Tries and times.
        renew: Makes the session that follows one that has ended; None if none should.
        forget: Called with the id of a session that has ended.
    """

    def __init__(
        self,
        session: Session,
        settings: ClientSettings,
        *,
        renew: Renew | None,
        forget: Callable[[str], None],
    ) -> None:
        self.session = session
        self.closed = False
        self._settings = settings
        self._renew = renew
        self._forget = forget
        self._gate = Gate()
        self._rekey_demanded = False
        self._ended = False

    def send(
        self, message: bytes, *, idempotent: bool = False, binary_http: bool = False
    ) -> Steps[bytes]:
        """Send a message and return the application's answer to it."""
        budget = Budget(self._settings)
        while True:
            yield from self._make_ready(budget)
            try:
                answer = yield from self._one_record(message, budget, binary_http=binary_http)
            except ExchangeError as error:
                if not error.sent:
                    raise
                self._learn(error)
                if not idempotent:
                    raise DeliveryUnknownError(error) from error
                if not self._may_seal_again(error) or not budget.again():
                    raise
                continue
            if answer is not None:
                return answer

    def rekey(self) -> Steps[None]:
        """Move to the next epoch now."""
        self._rekey_demanded = True
        yield from self._make_ready(Budget(self._settings))

    def close(self) -> Steps[bool]:
        """End the session on both sides; returns whether the server has answered that."""
        yield Turn(self._gate, alone=True)
        try:
            return (yield from self._close())
        finally:
            self.closed = True
            self._forget(self.session.session_id)
            self.session.close()
            self._gate.release()

    def _close(self) -> Steps[bool]:
        if self.closed:
            return False
        session = self.session
        try:
            record = session.seal_close(aad=REQUEST_AAD)
        except (native.PeerError, native.SessionStateError):
            return False
        try:
            call = self._record_call(session, record)
            yield from repeat(call, Budget(self._settings), statuses=CLOSED)
        except ExchangeError:
            return False
        # The answer is not opened: this side has closed, and there is nothing in it to learn.
        return True

    def _need(self) -> Literal["rekey", "renew"] | None:
        if self.closed:
            raise SessionEndedError("this session was closed; connect again", sent=False)
        self.session.sweep()
        if self._ended or self.session.state != "open":
            if self._renew is None:
                raise SessionEndedError(
                    f"session {self.session.session_id} is {self.session.state}; connect again, "
                    "or connect with renew=True",
                    sent=False,
                )
            return "renew"
        return "rekey" if self._rekey_demanded or self.session.rekey_wanted else None

    def _make_ready(self, budget: Budget) -> Steps[None]:
        while self._need() is not None:
            yield Turn(self._gate, alone=True)
            try:
                # Whoever had the gate before may have done it already.
                match self._need():
                    case "renew":
                        yield from self._replace(budget)
                    case "rekey":
                        yield from self._rekey(budget)
            finally:
                self._gate.release()

    def _replace(self, budget: Budget) -> Steps[None]:
        if self._renew is None:
            return
        follower = yield from self._renew(budget)
        self._forget(self.session.session_id)
        self.session.close()
        self.session = follower
        self._ended = self._rekey_demanded = False

    def _rekey(self, budget: Budget) -> Steps[None]:
        session = self.session
        # The same R1 until a reply was accepted, however often this is entered.
        content = encode_json("rekey_request", session.rekey_request())
        path = f"/v1/sessions/{session.session_id}/rekey"
        call = Call(path, content, JSON, self._settings.timeout_s, MAX_REPLY_LEN)
        try:
            reply = yield from repeat(call, budget)
        except ExchangeError as error:
            # Whatever it was, the message that waits for this rekey has not left.
            error.sent = False
            self._learn(error)
            if isinstance(error, AuthenticationFailedError) and self._renew and budget.again():
                return
            raise
        try:
            session.accept_rekey(decode_json("rekey_reply", reply.body))
        except native.PeerError as error:
            raise NotAuthenticError(
                "the reply to the rekey is not the server's; nothing has changed", sent=False
            ) from error
        self._rekey_demanded = False

    def _one_record(
        self, message: bytes, budget: Budget, *, binary_http: bool
    ) -> Steps[bytes | None]:
        """Seal, send and open; None if the session is not ready any more, with nothing sent."""
        yield Turn(self._gate)
        try:
            if self._need() is not None:
                return None
            session = self.session
            try:
                record = session.seal(message, aad=REQUEST_AAD, binary_http=binary_http)
            except native.RekeyRequiredError:
                self._rekey_demanded = True
                return None
            except (native.ExpiredError, native.SessionStateError):
                self._ended = True
                return None
            reply = yield from repeat(self._record_call(session, record), budget)
            return self._open(session, record, reply.body, binary_http=binary_http)
        finally:
            self._gate.release()

    def _record_call(self, session: Session, record: bytes) -> Call:
        path = f"/v1/sessions/{session.session_id}/messages"
        return Call(path, record, RECORD, self._settings.timeout_s, MAX_RECORD_LEN)

    def _open(self, session: Session, record: bytes, answer: bytes, *, binary_http: bool) -> bytes:
        try:
            content = session.open(answer, aad=ANSWER_AAD + record[:HEADER_LEN])
        except (native.PeerError, native.SessionStateError) as error:
            raise NotAuthenticError(
                "what came back is not the sealed answer to this message: "
                f"{type(error).__name__} on {len(answer)} bytes"
            ) from error
        header = RecordHeader.parse(answer)
        if header.close:
            self._ended = True
            raise SessionEndedError("the server closed the session instead of answering")
        if header.binary_http != binary_http:
            kinds = ("bytes", "binary HTTP")
            raise UnexpectedAnswerError(
                f"asked with {kinds[binary_http]}, answered with {kinds[header.binary_http]}"
            )
        return content

    def _learn(self, error: ExchangeError) -> None:
        if isinstance(error, RekeyRequiredError):
            self._rekey_demanded = True
        elif isinstance(error, AuthenticationFailedError) and self._renew is not None:
            # Without a successor the session is kept: the refusal may be forged.
            self._ended = True

    def _may_seal_again(self, error: ExchangeError) -> bool:
        match error:
            case RekeyRequiredError() | ReplayDetectedError() | UpstreamUnavailableError():
                return True
            case NotAuthenticError():
                return True
            case AuthenticationFailedError() | SessionEndedError():
                return self._renew is not None
            case _:
                return False
