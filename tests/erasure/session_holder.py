"""The process that holds a session: ``python -m tests.erasure.session_holder``.

It is the responder; its peer is the reference in the parent, which knows every secret and sends
none. Lines of hex come and go. A line with the step goes out when it is done; any line lets it go
on.
"""

from __future__ import annotations

import gc
import sys

from sage_native import ReplaySet, Responder, SigningKey, resolve_did_key


def main() -> None:
    key = SigningKey.generate()
    responder = Responder(key, resolve=resolve_did_key, admit=ReplaySet().admit)
    say(key.verifying_key_bytes)
    reply, session = responder.respond(hear())
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
