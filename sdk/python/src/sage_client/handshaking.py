"""The steps of a handshake, from the first M1 to an open session.

Every try is a new M1, with a nonce, a time and a key share of its own; an M1 whose answer was lost
is lost. M3 may be repeated: the server takes a right one however often it comes, for 10 s. This
client always signs M3, so that it need not ask (nor believe) which policy a server has.

The errors in between are unauthenticated. They can make this client try again, within its budget,
or give up; they cannot make it accept another server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import PeerError
from sage_native.protocol import decode_json, encode_json

from sage_client.commands import JSON, Call, Steps
from sage_client.errors import (
    AuthenticationFailedError,
    ChallengeRequiredError,
    ExchangeError,
    NotAuthenticError,
    ReplayDetectedError,
)
from sage_client.repeating import call_once, repeat

if TYPE_CHECKING:
    from collections.abc import Container

    from sage_native.protocol import Initiator, Session

    from sage_client.backoff import Budget

__all__ = ["shake_hands"]

MAX_MESSAGE_LEN = 16 << 10
HANDSHAKE_TIMEOUT_S = 10.0
MAX_CHALLENGES = 3
NO_CONTENT = frozenset((204,))


class _UnconfirmedError(ExchangeError):
    """M3 was refused: too late, most likely. The session is over before it began."""

    retriable = True


def shake_hands(
    initiator: Initiator, budget: Budget, *, known: Container[str], timeout_s: float
) -> Steps[Session]:
    """Agree on a session with the pinned server.

    Args:
        initiator: Who we are and whom we expect; made with ``sign_confirmation=True``.
        budget: The tries.
        known: The ids of the sessions that this client has with this server.
        timeout_s: For one exchange; never more than the 10 s that an M1 lives.

    Raises:
        NotAuthenticError: What answers does not hold the pinned key.
        ExchangeError: The typed refusal, or no answer, when no try is left.
    """
    timeout_s = min(timeout_s, HANDSHAKE_TIMEOUT_S)
    challenge: bytes | None = None
    challenges_left = MAX_CHALLENGES
    while True:
        try:
            return (yield from _attempt(initiator, challenge, budget, known, timeout_s))
        except ChallengeRequiredError as error:
            challenges_left -= 1
            if challenges_left < 0:
                raise
            challenge = error.challenge
            continue
        except ExchangeError as error:
            # A replayed M1 was copied on the way; ours will be a new one.
            again = error.retriable or isinstance(error, ReplayDetectedError)
            pause = budget.pause(error) if again else None
            if pause is None:
                raise _cause(error) from error.__cause__
        yield pause


def _attempt(
    initiator: Initiator,
    challenge: bytes | None,
    budget: Budget,
    known: Container[str],
    timeout_s: float,
) -> Steps[Session]:
    # Leaving the block, also when it is cancelled in between, erases the ephemeral secret.
    with initiator.initiate(challenge=challenge) as attempt:
        content = encode_json("initiate", attempt.message)
        call = Call("/v1/handshake/initiate", content, JSON, timeout_s, MAX_MESSAGE_LEN)
        reply = yield from call_once(call)
        try:
            m3, session = attempt.finish(decode_json("accept", reply.body), known=known)
        except PeerError as error:
            raise NotAuthenticError(
                f"the server does not prove that it is {initiator.server_did}: the pinned key is "
                "not the server's, or somebody in between answers"
            ) from error
    try:
        yield from _confirm(m3, budget, timeout_s)
    except BaseException:
        session.close()
        raise
    return session


def _confirm(m3: bytes, budget: Budget, timeout_s: float) -> Steps[None]:
    content = encode_json("confirm", m3)
    call = Call("/v1/handshake/complete", content, JSON, timeout_s, MAX_MESSAGE_LEN)
    try:
        yield from repeat(call, budget, statuses=NO_CONTENT)
    except AuthenticationFailedError as error:
        raise _UnconfirmedError(str(error)) from error


def _cause(error: ExchangeError) -> ExchangeError:
    cause = error.__cause__
    if isinstance(error, _UnconfirmedError) and isinstance(cause, ExchangeError):
        return cause
    return error
