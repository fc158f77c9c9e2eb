"""Mallory: first a client under Alice's DID, then a server under Bob's. A process of its own."""

from __future__ import annotations

import socket

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sage_native.cli.demo.forgery import forge_accept
from sage_native.cli.demo.frames import TIMEOUT_S, Channel, Kind, RefusedError
from sage_native.cli.demo.processes import Report, report, setup
from sage_native.keys import SigningKey, VerifyingKey
from sage_native.protocol import Initiator

__all__ = ["main"]


def main() -> None:
    """Try both, and report how each went."""
    wanted = setup()
    key = SigningKey.generate()
    _pose_as_client(key, wanted)
    _pose_as_server(Ed25519PrivateKey.from_private_bytes(key.to_bytes()))


def _pose_as_client(key: SigningKey, wanted: Report) -> None:
    """Sign an M1 under Alice's DID with Mallory's key."""
    server_key = VerifyingKey.from_did(wanted["server_did"])
    attempt = Initiator(key, server_key, did=wanted["client_did"]).initiate()
    with Channel.connect(wanted["server_port"]) as channel:
        channel.send(Kind.INITIATE, attempt.message)
        try:
            attempt.finish(channel.expect(Kind.ACCEPT))
        except RefusedError as error:
            report("client_refused", code=error.code)
        else:
            report("client_accepted")


def _pose_as_server(key: Ed25519PrivateKey) -> None:
    """Answer one M1 that is meant for Bob."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        report("listening", port=listener.getsockname()[1])
        connection, _address = listener.accept()
        with Channel(connection) as channel:
            channel.send(Kind.ACCEPT, forge_accept(bytes(channel.expect(Kind.INITIATE)), key))
            report("server_refused" if channel.receive() is None else "server_accepted")


if __name__ == "__main__":
    main()
