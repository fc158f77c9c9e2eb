"""The process that holds a session: ``python -m tests.erasure.session_holder [PATH]``.

With a path of Curve25519 it answers in the middle of a batch, on that path; else alone.

It is the responder; its peer is the reference in the parent, which knows every secret and sends
none. Lines of hex come and go. A line with the step goes out when it is done; any line lets it go
on.
"""

from __future__ import annotations

import gc
import sys

from sage_native import Initiator, ReplaySet, Responder, Session, SigningKey, resolve_did_key
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _take_curve25519_path,
)
from sage_native.exceptions import HandshakeError
from sage_native.protocol import accept_many, authenticate_many

# Two groups of lanes and one request beside them.
BATCH_LEN = 17


def main() -> None:
    key = SigningKey.generate()
    responder = Responder(key, resolve=resolve_did_key, admit=ReplaySet().admit)
    say(key.verifying_key_bytes)
    reply, session = answered(responder, key) if sys.argv[1:] else responder.respond(hear())
    say(reply)
    session.open(hear())
    wait_at("open")
    say(session.answer_rekey(hear()))
    session.open(hear())
    session.seal(b"answer")
    wait_at("rekeyed")
    session.close()
    key.close()
    gc.collect()
    wait_at("closed")
    # Closed but alive: close must erase, not the end of the object.
    assert session.closed


def answered(responder: Responder, key: SigningKey) -> tuple[bytes, Session]:
    """Answer the message in the middle of a batch of others."""
    _take_curve25519_path(sys.argv[1])
    other = Initiator(SigningKey.generate(), key.verifying_key)
    messages = [other.initiate().message for _ in range(BATCH_LEN)]
    messages[BATCH_LEN // 2] = hear()
    requests = [responder.read(message) for message in messages]
    assert all(authenticate_many(requests, [resolve_did_key(one.client_did) for one in requests]))
    answer = accept_many(requests)[BATCH_LEN // 2]
    assert not isinstance(answer, HandshakeError)
    return answer


def say(message: bytes) -> None:
    sys.stdout.write(message.hex() + "\n")
    sys.stdout.flush()


def hear() -> bytes:
    return bytes.fromhex(sys.stdin.readline())


def wait_at(step: str) -> None:
    sys.stdout.write(step + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
