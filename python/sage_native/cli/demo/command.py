"""``sage-native demo``: the whole story, in order."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sage_native.cli import rates
from sage_native.cli.demo import attacks, inputs, story
from sage_native.cli.demo.frames import Channel, Kind
from sage_native.cli.demo.initiator import Courier, shake_hands
from sage_native.cli.demo.processes import Child
from sage_native.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from sage_native.cli.demo.inputs import Source
    from sage_native.protocol import Session

__all__ = ["demo"]

ROUND_COUNT = 5
SLICE_S = 0.025


def demo(
    *files: Path,
    show_rates: Annotated[bool, Parameter(name="--rates", negative="--no-rates")] = True,
) -> None:
    """Two agents meet over TCP, send files, and withstand four attacks.

    Alice (this process) and Bob (another one) authenticate each other, agree on keys and exchange
    sealed records over the loopback interface. Bob keeps nothing: he computes a digest and answers
    with it. Nothing leaves this machine.

    Args:
        files: What Alice sends; this package's own native library if none is named.
        show_rates: Measure the table of rates at the end, in about 4 s.
    """
    sources = inputs.check(files or (inputs.default(),))
    with SigningKey.generate() as alice, Child("Bob", "responder", client_did=alice.did) as bob:
        ready = bob.expect("ready")
        bob_key, port = VerifyingKey.from_did(ready["did"]), ready["port"]
        story.section("Two agents, two processes")
        story.agent("Alice", alice.did, f"initiator, process {os.getpid()}")
        story.agent("Bob", bob_key.did, f"responder, process {ready['pid']}, 127.0.0.1:{port}")
        with Channel.connect(port) as channel:
            session = _open(alice, bob_key, channel, bob)
            _send(sources, session, channel, bob)
            story.section("Attacks")
            refusals = attacks.tamper_and_replay(session, channel, bob)
            channel.send(Kind.RECORD, session.seal_close())
            if bob.expect("closed")["state"] != "closed":
                raise attacks.NotRefusedError("Bob keeps a session that Alice has closed")
        refusals += attacks.impersonate(alice, bob_key, port, bob)
        story.refused(refusals)
        story.remark("The session outlived the first two: the honest record between them arrived.")
    if show_rates:
        _show_rates()


def _open(key: SigningKey, server_key: VerifyingKey, channel: Channel, bob: Child) -> Session:
    story.section("Handshake")
    started = perf_counter()
    session = shake_hands(key, server_key, channel)
    elapsed_ms = (perf_counter() - started) * 1e3
    established = bob.expect("established")
    if (established["session_id"], established["client_did"]) != (session.session_id, key.did):
        raise attacks.NotRefusedError(f"Bob is in another session: {established}")
    story.done(f"Alice and Bob authenticated each other in {elapsed_ms:.1f} ms, over TCP")
    story.remark(f"session {session.session_id}, X25519, HKDF-SHA256, AES-256-GCM")
    return session


def _send(sources: list[Source], session: Session, channel: Channel, bob: Child) -> None:
    story.section("Files")
    total_len = sum(source.size for source in sources)
    with story.progress() as progress:
        task = progress.add_task("sealed and sent", total=total_len)
        courier = Courier(session, channel, total_len, lambda n: progress.advance(task, n))
        for source in sources:
            story.delivered(courier.send(source))
    epoch = bob.expect("rekeyed")["epoch"]
    digests = "digest" if len(sources) == 1 else "digests"
    story.done(f"Bob answered, sealed, with the same {digests}")
    story.done(
        f"new keys after record {courier.rekeyed_after} of {courier.record_count}: epoch {epoch}"
    )


def _show_rates() -> None:
    story.section("Rates, one thread, libraries taking turns")
    rates.show(rates.measure(round_count=ROUND_COUNT, slice_s=SLICE_S))
