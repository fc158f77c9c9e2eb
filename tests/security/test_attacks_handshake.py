"""Attacks on the handshake. Each docstring begins with its row of the table of attacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sage_native import (
    HandshakeError,
    Initiator,
    ReplaySet,
    Responder,
    SigningKey,
    UsageError,
    VerifyingKey,
    X25519PublicKey,
    resolve_did_key,
)
from sage_native.protocol import decode_json, encode_json
from tests.agents import NOW_MS, REFUSED, Agents, code_of, state_of
from tests.reference import edwards, schedule
from tests.reference.messages import Initiate
from tests.reference.setups import derived_bytes
from tests.security import forge

P = 2**255 - 19
REPLAYED, STALE = "replay_detected", "stale_timestamp"


def answer(agents: Agents, message: bytes) -> str | None:
    """Let Bob answer; returns the code."""
    return code_of(agents.responder.respond, message, now_ms=NOW_MS)


def test_replayed_m1() -> None:
    """replay of an accepted M1: same process, other worker, after restart"""
    agents = Agents()
    message = agents.initiator.initiate(now_ms=NOW_MS).message
    assert answer(agents, message) is None
    assert answer(agents, message) == REPLAYED
    worker = Responder(agents.bob, resolve=resolve_did_key, admit=agents.admitted.admit)
    assert code_of(worker.respond, message, now_ms=NOW_MS) == REPLAYED
    restarted = Responder(
        agents.bob, resolve=resolve_did_key, admit=ReplaySet().admit, require_challenge=True
    )
    assert code_of(restarted.respond, message, now_ms=NOW_MS) == "challenge_required"


def test_same_nonce_same_client() -> None:
    """same nonce, other ephemeral, same client"""
    agents = Agents()
    assert answer(agents, forge.initiate(agents)) is None
    assert answer(agents, forge.initiate(agents, client_key_share=bytes(31) + b"\t")) == REPLAYED


def test_same_nonce_two_clients() -> None:
    """same nonce from two clients"""
    agents, mallory = Agents(), SigningKey.generate()
    theirs = forge.m1(agents, client_did=mallory.did, client_public_key=mallory.verifying_key_bytes)
    assert answer(agents, forge.signed(theirs, mallory).encode()) is None
    assert answer(agents, forge.initiate(agents)) is None


def test_burning_a_nonce() -> None:
    """garbage signature with a victim's DID and nonce, then the victim's real M1"""
    agents = Agents()
    message = agents.initiator.initiate(now_ms=NOW_MS).message
    assert answer(agents, message[:-64] + bytes(64)) == REFUSED
    assert len(agents.admitted) == 0
    assert answer(agents, message) is None


TIMES = {
    NOW_MS - 60_000: None,
    NOW_MS + 60_000: None,
    NOW_MS - 60_001: STALE,
    NOW_MS + 60_001: STALE,
    0: STALE,
    2**63 - 1: STALE,
    2**63: STALE,
    2**64 - 1: STALE,
    NOW_MS // 1000: STALE,
}


@pytest.mark.parametrize(("timestamp_ms", "code"), TIMES.items())
def test_timestamps(timestamp_ms: int, code: str | None) -> None:
    """timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms"""
    agents = Agents()
    assert answer(agents, forge.initiate(agents, timestamp_ms=timestamp_ms)) == code
    assert len(agents.admitted) == (code is None)


@pytest.mark.parametrize(
    "literal", ["-1", "-0", "1.0", "1e12", '"1800000000000"', "1e999", str(2**63)]
)
def test_timestamps_in_json(literal: str) -> None:
    """timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms"""
    text = encode_json("initiate", Agents().initiator.initiate(now_ms=NOW_MS).message)
    changed = text.replace(f'"timestamp":{NOW_MS}'.encode(), f'"timestamp":{literal}'.encode())
    assert changed != text
    assert code_of(decode_json, "initiate", changed) == "malformed_request"


def test_the_time_of_a_stale_answer_is_for_the_human() -> None:
    agents = Agents()
    with pytest.raises(HandshakeError) as caught:
        agents.responder.respond(forge.initiate(agents, timestamp_ms=0), now_ms=NOW_MS)
    assert caught.value.server_time_ms == NOW_MS


def test_signatures_of_others() -> None:
    """signature by another registered DID; by another key of the same DID than the one named; \
over the RFC 9421 base of the same fields; M2's signature as M1's"""
    second = SigningKey.generate()
    agents: Agents = Agents(resolve=lambda _: [agents.alice.verifying_key, second.verifying_key])
    message = forge.m1(agents, client_did="did:example:two-keys")
    base = b'"@method": POST\n"nonce": :' + message.nonce.hex().encode() + b":"
    m2_signature = agents.meet().m2[-96:-32]
    for signature in (
        forge.signed(message, second).signature,
        forge.signed(message, agents.bob).signature,
        forge.signed(message, agents.alice, role=b"accept").signature,
        forge.signed(message, agents.alice, role=b"confirm").signature,
        agents.alice.sign(base),
        agents.alice.sign(message.encode()),
        agents.alice.sign(schedule.th1(message.encode())),
        m2_signature,
    ):
        before = len(agents.admitted)
        assert answer(agents, Initiate(message, signature).encode()) == REFUSED
        assert len(agents.admitted) == before
    named = replace(message, client_public_key=second.verifying_key_bytes)
    assert answer(agents, forge.signed(named, second).encode()) is None


def test_m2_signature_as_m1() -> None:
    """signature by another registered DID; by another key of the same DID than the one named; \
over the RFC 9421 base of the same fields; M2's signature as M1's"""
    agents = Agents()
    as_client = replace(
        forge.m1(agents),
        client_did=agents.bob.did,
        client_public_key=agents.bob.verifying_key_bytes,
    )
    forged = Initiate(as_client, agents.meet().m2[-96:-32])
    assert answer(agents, forged.encode()) == REFUSED


def test_misdirected() -> None:
    """another gateway's `server_did` or retired `server_public_key`"""
    other = SigningKey.generate()
    for changes in (
        {"server_did": other.did, "server_public_key": other.verifying_key_bytes},
        {"server_did": other.did},
        {"server_public_key": other.verifying_key_bytes},
        {"server_did": "did:example:gateway"},
    ):
        agents = Agents(server_dids=["did:example:bob"])
        assert answer(agents, forge.initiate(agents, **changes)) == "misdirected"
        assert len(agents.admitted) == 0
    assert answer(agents, forge.initiate(agents, server_did="did:example:bob")) is None


@pytest.mark.parametrize(
    "did",
    [
        "did:Key:z6Mk",
        "DID:example:a",
        "did:example:a%41",
        "did:example:a\0b",
        "did:example:a\nlevel=info",
        "did:example:a|b",
        "did:example:" + "a" * 10_000,
        "did:example:a#key-1",
        "did:example:a?versionId=1",
        "did:example:é",
    ],
)
def test_did_tricks(did: str) -> None:
    """DID with upper-case method, percent trick, NUL, newline, `|`, 10 kB, fragment, query"""
    agents = Agents()
    for name in ("client_did", "server_did"):
        with pytest.raises(HandshakeError) as caught:
            agents.responder.respond(forge.initiate(agents, **{name: did}), now_ms=NOW_MS)
        assert caught.value.code == "invalid_did"
        assert did not in str(caught.value), "nothing of it goes into a log"
    with pytest.raises(UsageError):
        Initiator(agents.alice, agents.bob.verifying_key, did=did)
    with pytest.raises(UsageError):
        resolve_did_key(did)


def test_revoked_did() -> None:
    """DID revoked between cache fill and M1"""
    listed = {"did:example:alice": [SigningKey.generate().verifying_key]}
    agents = Agents(resolve=lambda did: listed.get(did, ()))
    listed["did:example:alice"].append(agents.alice.verifying_key)
    message = forge.initiate(agents, client_did="did:example:alice")
    request = agents.responder.read(message, now_ms=NOW_MS)
    del listed["did:example:alice"]
    assert code_of(request.authenticate, listed.get(request.client_did, ())) == REFUSED
    assert answer(agents, message) == REFUSED
    assert len(agents.admitted) == 0


LOW_ORDER = [0, 1, P - 1, P, P + 1, *(value | 1 << 255 for value in (0, 1, P - 1, P, P + 1))]


@pytest.mark.parametrize("value", LOW_ORDER)
def test_low_order_ephemeral(value: int) -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    agents, share = Agents(), value.to_bytes(32, "little")
    assert answer(agents, forge.initiate(agents, client_key_share=share)) == "invalid_key"
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply = forge.accept(agents, attempt.message, server_key_share=share, shared=bytes(32))
    assert code_of(attempt.finish, reply, now_ms=NOW_MS) == REFUSED
    assert X25519PublicKey(share).to_bytes() == share


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_ephemeral_of_wrong_length(length: int) -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    agents, share = Agents(), b"\t" * length
    assert answer(agents, forge.initiate(agents, client_key_share=share)) == "invalid_key"
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply = forge.accept(agents, attempt.message, server_key_share=share)
    assert code_of(attempt.finish, reply, now_ms=NOW_MS) == REFUSED


def test_contributory_ephemeral() -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    agents = Agents()
    assert answer(agents, forge.initiate(agents, client_key_share=b"\xff" * 32)) is None


BAD_KEYS = [
    *edwards.SMALL_ORDER_ENCODINGS,
    P.to_bytes(32, "little"),
    (P + 3).to_bytes(32, "little"),
    (1 | 1 << 255).to_bytes(32, "little"),
    b"\xff" * 32,
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=bytes.hex)
def test_bad_identity_key(key: bytes) -> None:
    """small-order, non-canonical or mixed-order identity key registered"""
    with pytest.raises(UsageError):
        VerifyingKey(key)
    agents = Agents()
    message = forge.m1(agents, client_public_key=key)
    assert answer(agents, Initiate(message, bytes(64)).encode()) == "invalid_key"


def test_mixed_order_identity_key() -> None:
    """small-order, non-canonical or mixed-order identity key registered"""
    good = edwards.decode(SigningKey.generate().verifying_key_bytes)
    assert good is not None
    key = VerifyingKey(edwards.encode(edwards.add(good, edwards.torsion_generator())))
    with pytest.raises(UsageError, match="small-order component"):
        key.check()
    assert not resolve_did_key(key.did)


@pytest.mark.parametrize(
    ("suites", "code"),
    [
        ((2, 7), "unsupported_suite"),
        ((0x0101,), "unsupported_suite"),
        ((), "malformed_request"),
        ((1, 1), "malformed_request"),
        ((1, 2, 3, 4, 5), "malformed_request"),
        ((9, 8, 7, 1), None),
    ],
)
def test_suites(suites: tuple[int, ...], code: str | None) -> None:
    """suites: none known; empty, duplicate, too many"""
    agents = Agents()
    assert answer(agents, forge.initiate(agents, suites=suites)) == code
    if code:
        with pytest.raises(UsageError):
            Initiator(agents.alice, agents.bob.verifying_key, suites=suites).initiate()


def test_sign_is_no_oracle() -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    agents = Agents()
    future = forge.m1(agents, timestamp_ms=NOW_MS + 3_600_000)
    wanted = schedule.signing_input(b"initiate", schedule.th1(future.encode()))
    for message in (wanted, b" " * 64, b" " * 65):
        with pytest.raises(UsageError, match="64 spaces"):
            agents.alice.sign(message)
        with pytest.raises(UsageError, match="64 spaces"):
            agents.alice.sign_many([b"harmless", message])
    assert agents.alice.sign(b" " * 63)


def test_m1_signed_for_later() -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    later_ms = NOW_MS + 3_600_000
    for agents in (Agents(), Agents(require_challenge=True)):
        assert answer(agents, forge.initiate(agents, timestamp_ms=later_ms)) == STALE
    agents = Agents(require_challenge=True)
    message = forge.initiate(agents, timestamp_ms=later_ms)
    assert code_of(agents.responder.respond, message, now_ms=later_ms) == "challenge_required"


def test_m1_signed_for_later_opens_nothing_without_the_key() -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    agents = Agents(signed=True)
    attempt = Initiator(agents.alice, agents.bob.verifying_key).initiate(now_ms=NOW_MS)
    reply, server = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    unsigned, client = attempt.finish(reply, now_ms=NOW_MS)
    assert code_of(server.confirm, unsigned, now_ms=NOW_MS) == REFUSED
    assert code_of(server.confirm, unsigned + bytes(64), now_ms=NOW_MS) == REFUSED
    record = client.seal(b"in without a signature?", now_ms=NOW_MS)
    assert code_of(server.open, record, now_ms=NOW_MS) == REFUSED
    assert state_of(server) == "half_open"


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": 2},
        {"suite": 7},
        {"suite": 0x0101},
        {"server_did": "did:example:other"},
        {"expires_at_ms": NOW_MS},
        {"expires_at_ms": NOW_MS + 86_400_001},
        {"expires_at_ms": 2**64 - 1},
    ],
)
def test_m2_beyond_what_was_offered(changes: dict[str, Any]) -> None:
    """M2 with a suite not offered, other server_did, expiry beyond policy"""
    agents = Agents()
    attempt = Initiator(agents.alice, agents.bob.verifying_key, suites=[1, 7]).initiate(
        now_ms=NOW_MS
    )
    reply = forge.accept(agents, attempt.message, **changes)
    assert code_of(attempt.finish, reply, now_ms=NOW_MS) == REFUSED
    honest = forge.accept(agents, attempt.message)
    assert attempt.closed
    assert code_of(attempt.finish, honest, now_ms=NOW_MS) == REFUSED, "spent"


def test_forged_m2_is_right_but_for_the_change() -> None:
    agents = Agents()
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    _, session = attempt.finish(forge.accept(agents, attempt.message), now_ms=NOW_MS)
    assert session.session_id.replace("-", "") == derived_bytes("forger's session", 16).hex()


def test_known_session_id() -> None:
    agents = Agents()
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply, server = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    assert code_of(attempt.finish, reply, known={server.session_id}, now_ms=NOW_MS) == REFUSED


def test_unconfirmed_sessions_die_after_ten_seconds() -> None:
    meeting = Agents().meet()
    assert code_of(meeting.server.confirm, meeting.m3, now_ms=NOW_MS + 10_000) == REFUSED
    assert state_of(meeting.server) == "expired"
    assert code_of(meeting.server.confirm, meeting.m3, now_ms=NOW_MS) == REFUSED, "no revival"


def test_late_m2() -> None:
    agents = Agents()
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply, _ = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    assert code_of(attempt.finish, reply, now_ms=NOW_MS + 10_000) == REFUSED
