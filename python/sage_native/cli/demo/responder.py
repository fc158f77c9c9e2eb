"""Bob: answers handshakes, takes files, refuses everything else. Runs as a process of its own."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from sage_native.cli.demo.frames import Channel, ConnectionLostError, FrameError, Kind
from sage_native.cli.demo.messages import Inbox
from sage_native.cli.demo.processes import report, setup
from sage_native.exceptions import PeerError
from sage_native.keys import SigningKey, VerifyingKey
from sage_native.protocol import Responder, Session
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main() -> None:
    """Serve until the parent lets go."""
    client_did = setup()["client_did"]
    key = SigningKey.generate()

    def resolve(did: str) -> Sequence[VerifyingKey]:
        """Know one client, Alice."""
        return [VerifyingKey.from_did(did)] if did == client_did else []

    responder = Responder(key, resolve=resolve, admit=ReplaySet().admit)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        report("ready", did=key.did, port=listener.getsockname()[1], pid=os.getpid())
        while True:
            connection, _address = listener.accept()
            serving = threading.Thread(target=serve, args=(responder, connection), daemon=True)
            serving.start()


def serve(responder: Responder, connection: socket.socket) -> None:
    """Serve one connection from its handshake to its end."""
    with suppress(ConnectionLostError), Channel(connection) as channel:  # the peer knows it, too
        try:
            session = _shake_hands(responder, channel)
            report("established", session_id=session.session_id, client_did=session.client_did)
            _take_records(session, channel)
        except PeerError as error:
            _refuse(channel, error)


def _shake_hands(responder: Responder, channel: Channel) -> Session:
    reply, session = responder.respond(channel.expect(Kind.INITIATE))
    channel.send(Kind.ACCEPT, reply)
    session.confirm(channel.expect(Kind.CONFIRM))
    return session


def _take_records(session: Session, channel: Channel) -> None:
    inbox = Inbox()
    while session.state == "open" and (frame := channel.receive()) is not None:
        kind, body = frame
        try:
            match kind:
                case Kind.RECORD:
                    _take_record(session, inbox, channel, body)
                case Kind.REKEY_REQUEST:
                    channel.send(Kind.REKEY_REPLY, session.answer_rekey(body))
                    report("rekeyed", epoch=session.epoch or 0)
                case _:
                    raise FrameError(f"a session has no use for {kind.name}")
        except PeerError as error:
            _refuse(channel, error)  # the session goes on: a forged record must not end it
    report("closed", state=session.state)


def _take_record(session: Session, inbox: Inbox, channel: Channel, record: bytearray) -> None:
    message = session.open(record)
    if session.state == "open":
        answer = inbox.take(message)
        if answer is not None:
            channel.send(Kind.RECORD, session.seal(answer, answers=record))


def _refuse(channel: Channel, error: PeerError) -> None:
    """Tell the peer the code alone, and this side's operator the rest."""
    report("refused", error=type(error).__name__, code=error.code, text=str(error))
    channel.send(Kind.REFUSAL, error.code.encode())


if __name__ == "__main__":
    main()
