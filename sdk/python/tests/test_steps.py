"""Steps driven by hand: what takes too long, or never happens, over a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sage_native.keys import SigningKey, resolve_did_key
from sage_native.protocol import Initiator, Responder, decode_json, encode_json
from sage_native.replay import ReplaySet

from sage_client import ClientSettings, NotAuthenticError
from sage_client.backoff import Budget
from sage_client.commands import JSON, RECORD, Call, Pause, Reply
from sage_client.connecting import ClientSteps
from sage_client.errors import (
    AnswerLostError,
    ConnectionFailedError,
    ExchangeError,
    OverloadedError,
)
from sage_client.handshaking import shake_hands
from sage_client.problems import error_of
from sage_client.repeating import repeat

if TYPE_CHECKING:
    from typing import Any

    from sage_native.protocol import Session

    from sage_client.commands import Command, Steps

SETTINGS = ClientSettings(backoff_s=1)
CALL = Call("/v1/x", b"x", RECORD, 30, 100)
GONE = ConnectionFailedError("refused")
LOST = AnswerLostError("reset")
BUSY = Reply(503, "application/problem+json", b'{"type":"urn:sage:problem:overloaded"}', "0")


class Everything:
    """A container that holds everything."""

    def __contains__(self, _: object) -> bool:
        return True


def outcome(events: list[ExchangeError | Reply]) -> ExchangeError:
    """Let one call meet one event after the other; return what it ends with."""
    steps = repeat(CALL, Budget(SETTINGS))
    assert next(steps) is CALL
    *earlier, last = events
    for event in earlier:
        assert isinstance(meet(steps, event), Pause)
        assert next(steps) is CALL
    with pytest.raises(ExchangeError) as caught:
        meet(steps, last)
    return caught.value


def meet(steps: Steps[Reply], event: ExchangeError | Reply) -> Command:
    return steps.throw(event) if isinstance(event, Exception) else steps.send(event)


@pytest.mark.parametrize(
    ("events", "sent"),
    [
        ([GONE, GONE, GONE, GONE], False),
        ([LOST, GONE, GONE, GONE], True),
        ([GONE, GONE, LOST, GONE], True),
        ([BUSY, GONE, GONE, GONE], True),
        ([GONE, GONE, GONE, LOST], True),
    ],
)
def test_one_try_that_may_have_arrived_is_enough(
    events: list[ExchangeError | Reply], *, sent: bool
) -> None:
    for error in (GONE, LOST):
        error.sent = error is LOST
    assert outcome(events).sent is sent


def test_the_last_failure_is_told() -> None:
    assert isinstance(outcome([LOST, LOST, LOST, BUSY]), OverloadedError)
    assert type(error_of(BUSY)) is OverloadedError


class Server:
    """Answers the calls of a handshake."""

    def __init__(self) -> None:
        self.signing_key = SigningKey.generate()
        self._responder = Responder(
            self.signing_key, resolve=resolve_did_key, admit=ReplaySet(100).admit
        )

    def initiator(self) -> Initiator:
        key = SigningKey.generate()
        return Initiator(key, self.signing_key.verifying_key, sign_confirmation=True)

    def m2(self, call: Call) -> Reply:
        assert call.content is not None
        m2, _ = self._responder.respond(decode_json("initiate", call.content))
        return Reply(200, JSON, encode_json("accept", m2))


def first_call(steps: Steps[Session]) -> Call:
    command = next(steps)
    assert isinstance(command, Call)
    return command


def test_an_m1_waits_no_longer_than_it_lives() -> None:
    steps = shake_hands(
        Server().initiator(), Budget(SETTINGS), known=(), timeout_s=SETTINGS.timeout_s
    )
    assert first_call(steps).timeout_s == 10
    steps.close()


def test_a_session_id_that_is_known_is_refused() -> None:
    server = Server()
    steps = shake_hands(server.initiator(), Budget(SETTINGS), known=Everything(), timeout_s=5)
    with pytest.raises(NotAuthenticError):
        steps.send(server.m2(first_call(steps)))


def test_the_ids_of_open_sessions_are_known() -> None:
    server = Server()
    client = ClientSteps(
        SigningKey.generate(), SETTINGS, server_key=server.signing_key.verifying_key
    )
    steps = client.connect()
    command = next(steps)
    assert isinstance(command, Call)
    steps.send(server.m2(command))
    with pytest.raises(StopIteration) as end:
        steps.send(Reply(204, "", b""))
    session = end.value.value
    assert client._known == {session.session.session_id}
    closing = session.close()
    next(closing)  # its turn
    closing.send(None)  # the close record
    with pytest.raises(StopIteration):
        closing.send(Reply(204, "", b""))
    assert client._known == set()


def local_of(steps: Any, name: str) -> Any:
    """Find a local variable of steps that wait, or of those that they wait for."""
    while name not in steps.gi_frame.f_locals:
        steps = steps.gi_yieldfrom
    return steps.gi_frame.f_locals[name]


def test_steps_that_are_given_up_erase_their_secrets() -> None:
    server = Server()
    steps = shake_hands(server.initiator(), Budget(SETTINGS), known=(), timeout_s=5)
    m1 = first_call(steps)
    attempt = local_of(steps, "attempt")
    confirm = steps.send(server.m2(m1))
    assert isinstance(confirm, Call)
    assert confirm.path == "/v1/handshake/complete"
    session = local_of(steps, "session")
    assert (attempt.closed, session.closed) == (True, False)
    steps.close()
    assert session.closed

    steps = shake_hands(server.initiator(), Budget(SETTINGS), known=(), timeout_s=5)
    first_call(steps)
    attempt = local_of(steps, "attempt")
    assert not attempt.closed
    steps.close()
    assert attempt.closed
