"""Which secrets of a session are in memory at which time of its life."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from sage_native._native import _curve25519_paths  # noqa: TID251 - no public name tells
from tests.erasure.forms import parts
from tests.erasure.search import found
from tests.reference.dids import key_to_did
from tests.reference.handshake import Identity, Initiator
from tests.reference.messages import Accept, RekeyReply

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Holder:
    """The responder in another process."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.erasure.session_holder", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finds(self, needles: dict[str, bytes]) -> set[str]:
        places = found(self.process.pid, needles)
        return {name.partition("[")[0] for name in places}


def needles(**secrets: bytes) -> dict[str, bytes]:
    return {
        name: part for key, value in secrets.items() for name, part in parts(key, value).items()
    }


@pytest.mark.parametrize("arguments", [[], *([path] for path in _curve25519_paths())])
def test_a_session_keeps_what_it_needs_and_no_longer(arguments: list[str]) -> None:
    """Handshake secrets are gone once it is open, an epoch's once rekeyed, all once closed.

    Whether it was answered alone, or in a batch, on any path.
    """
    holder = Holder(*arguments)
    with holder.process:
        live_through(holder)
    assert holder.process.returncode == 0


def live_through(holder: Holder) -> None:
    now_ms = time.time_ns() // 1_000_000
    server_key = bytes.fromhex(holder.hear())
    client = Initiator(
        Identity(os.urandom(32)),
        server_did=key_to_did(server_key),
        server_public_key=server_key,
        ephemeral_secret=os.urandom(32),
        nonce=os.urandom(32),
        now_ms=now_ms,
    )
    holder.tell(client.message.encode().hex())
    accept = Accept.decode(bytes.fromhex(holder.hear()))
    session = client.finish(accept, now_ms=now_ms, incarnation=os.urandom(16))
    holder.tell(session.seal(b"first", now_ms=now_ms).hex())
    assert holder.hear() == "open"

    assert client.transcript is not None
    secrets = client.transcript.secrets
    handshake = needles(
        dh=client.transcript.shared_secret,
        prk=secrets.prk,
        master=secrets.master,
        finish_c=secrets.finish_c,
        finish_s=secrets.finish_s,
    )
    first = needles(c2s_0=secrets.c2s_0, s2c_0=secrets.s2c_0)
    assert holder.finds(first) == {"c2s_0", "s2c_0"}
    assert holder.finds(handshake) == set()

    holder.tell("")
    request = session.rekey_request(os.urandom(32))
    holder.tell(request.encode().hex())
    session.rekey_finish(RekeyReply.decode(bytes.fromhex(holder.hear())), now_ms=now_ms)
    holder.tell(session.seal(b"second", now_ms=now_ms).hex())
    assert holder.hear() == "rekeyed"
    second = needles(c2s_1=session.c2s, s2c_1=session.s2c)
    assert holder.finds(second) == {"c2s_1", "s2c_1"}
    assert holder.finds(first) == set()

    holder.tell("")
    assert holder.hear() == "closed"
    assert holder.finds({**handshake, **first, **second}) == set()
    holder.tell("")
