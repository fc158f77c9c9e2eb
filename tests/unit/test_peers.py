"""The benchmark peers do the same protocol as the reference: same bytes, same refusals."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from benches.peers import hkdf, identities
from benches.peers.errors import RefusedError
from benches.peers.handshake import HandshakeServer
from benches.peers.records import Receiver, RecordOpener, Session
from tests.reference import generate, primitives, schedule
from tests.reference.generators.case import item_from_json
from tests.reference.generators.situations import SETUPS
from tests.reference.messages import Accept
from tests.reference.records import C2S, Header, RecordKey
from tests.reference.setups import NOW_MS, Setup, Situation, derived_bytes
from tests.reference.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable


def server_of(setup: Setup, max_half_open_count: int = 1_000_000) -> HandshakeServer:
    return HandshakeServer(
        setup.server_seed,
        registered=setup.registered,
        any_did_key=True,
        confirmation=setup.confirmation,
        challenge_required=setup.challenge_required,
        challenge_key=setup.challenge_key,
        lifetime_ms=setup.lifetime_ms,
        idle_timeout_s=setup.idle_timeout_s,
        max_half_open_count=max_half_open_count,
    )


def opener_of(setup: Setup) -> RecordOpener:
    """Return an opener that serves the session of a setup."""
    situation = Situation(setup)
    half_open = setup.state == "half_open"
    session = Session(
        setup.session_id,
        situation.client_session.c2s,
        now_ms=setup.now_ms,
        expires_at_ms=setup.now_ms + setup.lifetime_ms,
        idle_timeout_s=setup.idle_timeout_s,
        half_open_until_ms=setup.now_ms + 10_000 if half_open else None,
        signature_required=setup.confirmation == "signature",
    )
    session.windows_lost = setup.windows_lost
    opener = RecordOpener(max_incarnation_count=setup.max_incarnation_count)
    opener.add(session)
    return opener


def code_of(call: Callable[..., object], *arguments: object) -> str | None:
    try:
        call(*arguments)
    except RefusedError as error:
        return error.code
    return None


def negative_cases(kind: str) -> list[dict[str, Any]]:
    document = json.loads((generate.VECTORS_DIR / "negative.json").read_bytes())
    cases: list[dict[str, Any]] = document["cases"]
    return [
        case
        for case in cases
        if case["feed"] == kind
        and SETUPS[case["setup"]].role == "server"
        and all(item["feed"] == kind for item in case["before"])
    ]


@pytest.mark.parametrize("signed", [False, True])
def test_handshake_interoperates_with_the_reference(*, signed: bool) -> None:
    setup = Setup(confirmation="signature" if signed else "mac", suites=(2, 1))
    situation = Situation(setup)
    server = server_of(setup)
    answer = server.respond(situation.initiator.message.encode(), NOW_MS)
    situation.finish(Accept.decode(answer), now_ms=NOW_MS)
    entry = server.confirm(situation.initiator.confirm(signed=signed).encode(), NOW_MS)
    client = situation.client_session
    assert (entry.c2s, entry.s2c, entry.exporter) == (client.c2s, client.s2c, client.exporter)
    assert server.did == setup.server.did.encode()


def test_a_first_record_may_confirm() -> None:
    situation = Situation(Setup())
    server = server_of(situation.setup)
    answer = Accept.decode(server.respond(situation.initiator.message.encode(), NOW_MS))
    situation.finish(answer, now_ms=NOW_MS)
    entry = server.half_open(answer.m2.session_id)
    assert entry is not None
    opener = RecordOpener()
    opener.add(
        Session(
            answer.m2.session_id,
            entry.c2s,
            now_ms=NOW_MS,
            expires_at_ms=entry.expires_at_ms,
            half_open_until_ms=NOW_MS + 10_000,
        )
    )
    record = situation.client_session.seal(b"first", now_ms=NOW_MS, aad=b"aad")
    assert opener.open(record, NOW_MS, b"aad") == b"first"


def test_every_negative_m1_gets_the_code_of_the_reference() -> None:
    cases = negative_cases("initiate")
    for case in cases:
        server = server_of(SETUPS[case["setup"]])
        for fields in case["before"]:
            item = item_from_json(fields)
            refused = code_of(server.respond, item.message, item.at_ms) is not None
            assert refused == case["before_refused"], case["name"]
        item = item_from_json(case)
        assert code_of(server.respond, item.message, item.at_ms) == case["error"], case["name"]
    assert len(cases) >= 160


def test_m3_is_judged_as_by_the_reference() -> None:
    for name in ("half-open", "half-open, signature wanted"):
        situation = Situation(Setup(confirmation=SETUPS[name].confirmation))
        server = server_of(situation.setup)
        answer = server.respond(situation.initiator.message.encode(), NOW_MS)
        situation.finish(Accept.decode(answer), now_ms=NOW_MS)
        signed = situation.initiator.confirm(signed=True).encode()
        bare = signed[:48]
        wanted = "authentication_failed" if "signature" in name else None
        assert code_of(server.confirm, bare, NOW_MS) == wanted
        assert code_of(server.confirm, bare + bytes(64), NOW_MS) == "authentication_failed"
        assert code_of(server.confirm, bytes(16) + bare[16:], NOW_MS) == "authentication_failed"
        assert code_of(server.confirm, bare[:47], NOW_MS) == "malformed_request"
        assert code_of(server.confirm, signed, NOW_MS) is None
        assert code_of(server.confirm, signed, NOW_MS) is None
        assert code_of(server.confirm, signed, NOW_MS + 10_000) == "authentication_failed"


def test_half_open_sessions_are_capped_and_die() -> None:
    server = server_of(Setup(), max_half_open_count=1)
    first = Situation(Setup()).initiator.message.encode()
    second = Situation(Setup(client_nonce=bytes(32))).initiator.message.encode()
    third = Situation(Setup(client_nonce=bytes(31) + b"\1")).initiator.message.encode()
    assert code_of(server.respond, first, NOW_MS) is None
    assert code_of(server.respond, second, NOW_MS) == "overloaded"
    assert code_of(server.respond, third, NOW_MS + 10_000) is None


def test_every_negative_record_gets_the_code_of_the_reference() -> None:
    cases = negative_cases("record")
    for case in cases:
        opener = opener_of(SETUPS[case["setup"]])
        for fields in case["before"]:
            item = item_from_json(fields)
            refused = code_of(opener.open, item.message, item.at_ms, item.aad) is not None
            assert refused == case["before_refused"], case["name"]
        item = item_from_json(case)
        answer = code_of(opener.open, item.message, item.at_ms, item.aad)
        assert answer == case["error"], case["name"]
    assert len(cases) >= 90


def test_record_vectors_open() -> None:
    document = json.loads((generate.VECTORS_DIR / "records.json").read_bytes())
    opened_count = 0
    for case in document["cases"]:
        if case["kind"] != "session" or case["name"] == "extreme numbers":
            continue
        opener = RecordOpener()
        session_id = bytes.fromhex(case["session_id"])
        secret = bytes.fromhex(case["c2s_0"])
        opener.add(Session(session_id, secret, now_ms=0, expires_at_ms=1000))
        for step in case["steps"]:
            if step["op"] == "rekey":
                opener.rekey(session_id, bytes.fromhex(step["next_c2s"]), 0)
            elif step["direction"] == C2S:
                record, aad = bytes.fromhex(step["record"]), bytes.fromhex(step["aad"])
                assert opener.open(record, 0, aad).hex() == step["plaintext"]
                opened_count += 1
    assert opened_count >= 10


def test_old_epoch_is_judged_as_by_the_reference() -> None:
    opener, session_id = RecordOpener(), derived_bytes("session", 16)
    secret, incarnation = bytes(32), derived_bytes("incarnation", 16)
    opener.add(Session(session_id, secret, now_ms=0, expires_at_ms=10**6))

    def sealed(seq: int, epoch: int, process: bytes = incarnation) -> bytes:
        header = Header(1, C2S, 0, session_id, process, epoch, seq)
        return RecordKey.derive(secret, process).seal(header, b"x")

    opener.open(sealed(0, 0), 0)
    opener.rekey(session_id, bytes(31) + b"\1", 0)
    forged = sealed(1, 0)[:-1] + b"\0"
    assert code_of(opener.open, sealed(1, 0), 0) == "rekey_required"
    assert code_of(opener.open, sealed(0, 0), 0) == "replay_detected"
    assert code_of(opener.open, forged, 0) == "authentication_failed"
    assert code_of(opener.open, sealed(0, 0, bytes(16)), 0) == "authentication_failed"
    assert code_of(opener.open, sealed(1, 0), 60_000) == "authentication_failed"


def test_counters() -> None:
    client = Situation(SETUPS["open"]).client_session
    opener = opener_of(SETUPS["open"])
    for length in (0, 64, 1000):
        opener.open(client.seal(bytes(length), now_ms=NOW_MS), NOW_MS)
    (receiver,) = set(opener._receivers.values())
    assert (receiver.opened_count, receiver.opened_len) == (3, 1064)


def test_ring_of_bytes_is_the_window_of_the_reference() -> None:
    source = random.Random(1024)
    session = Session(bytes(16), bytes(32), now_ms=0, expires_at_ms=1)
    for _ in range(20):
        window, receiver, around = Window(), Receiver(session, bytes(36)), 0
        for _ in range(2_000):
            around += source.choice((0, 1, 1, 2, 100, 1023, 1024, 1025, 3000))
            seq = max(0, around - source.randrange(1200))
            assert receiver.is_fresh(seq) == window.is_fresh(seq)
            assert receiver.admit(seq) == window.admit(seq)


def test_strict_verdicts_and_identities() -> None:
    document = json.loads((generate.VECTORS_DIR / "ed25519_strict.json").read_bytes())
    for case in document["cases"]:
        key, message, signature = (
            bytes.fromhex(case[field]) for field in ("key", "message", "signature")
        )
        if len(key) != 32:
            continue
        if not case["key_acceptable"]:
            with pytest.raises(RefusedError, match="invalid_key"):
                identities.load_identity(key)
            continue
        loaded = identities.load_identity(key)
        assert identities.verify(loaded, signature, message) == case["valid"], case["name"]


def test_hkdf_is_the_one_of_the_reference() -> None:
    secret, incarnation = derived_bytes("secret"), derived_bytes("incarnation", 16)
    assert hkdf.record_key(secret, incarnation) == schedule.record_key(secret, incarnation)
    assert hkdf.hmac_sha256(secret, b"text") == primitives.hmac_sha256(secret, b"text")
    info = hkdf.label_head(b"c2s", 32, 32) + secret
    assert info == primitives.hkdf_label(b"c2s", secret, 32)
