"""The reference against itself, against the RFCs, and against the vectors on disk."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.reference import carriers, dids, ed25519, edwards, generate, primitives
from tests.reference.errors import LocalError, ProtocolError
from tests.reference.feed import Item, feed
from tests.reference.generators.case import answer_of, item_from_json
from tests.reference.messages import Accept, Confirm, Initiate
from tests.reference.records import FLAG_CLOSE, FLAG_REKEY_WANTED, MAX_PLAINTEXT_LEN, parse
from tests.reference.rekey import RekeyMacKeys
from tests.reference.schedule import record_key
from tests.reference.session import (
    HARD_BYTES_LEN,
    HARD_RECORD_COUNT,
    RETIRED_KEY_MS,
    SOFT_BYTES_LEN,
    SOFT_RECORD_COUNT,
    Session,
)
from tests.reference.setups import NOW_MS, Setup, Situation, derived_bytes
from tests.reference.window import WINDOW_LEN, Window

if TYPE_CHECKING:
    from collections.abc import Iterator


def pair(**changes: object) -> tuple[Session, Session]:
    """Return the client's and the server's open session."""
    situation = Situation(replace(Setup(state="open"), **changes))  # type: ignore[arg-type]
    return situation.client_session, situation.server_session


def vectors(name: str) -> dict[str, object]:
    value: dict[str, object] = json.loads((generate.VECTORS_DIR / name).read_bytes())
    return value


# Vectors on disk.


@pytest.mark.parametrize("name", sorted(generate.BUILDERS))
def test_vectors_on_disk_are_what_the_generator_makes(name: str) -> None:
    assert (generate.VECTORS_DIR / name).read_bytes() == generate.render(name)


def test_negative_vectors_need_nothing_but_the_file() -> None:
    document = vectors("negative.json")
    setups, cases = document["setups"], document["cases"]
    assert isinstance(setups, dict)
    assert isinstance(cases, list)
    live = {name: Setup.from_json(values) for name, values in setups.items()}
    for case in cases:
        before = [item_from_json(fields) for fields in case["before"]]
        answer = answer_of(
            live[case["setup"]],
            before,
            item_from_json(case),
            before_refused=case["before_refused"],
        )
        assert answer == case["error"], case["name"]
    assert len(cases) >= 450


def test_ed25519_vectors() -> None:
    cases = vectors("ed25519_strict.json")["cases"]
    assert isinstance(cases, list)
    defects = set()
    for case in cases:
        key, message, signature = (
            bytes.fromhex(case[field]) for field in ("key", "message", "signature")
        )
        assert ed25519.verify(key, message, signature) == case["valid"], case["name"]
        if case["name"].startswith("A0 + ") and "R0 + " in case["name"]:
            defects.add((case["name"].split(",")[0], case["name"].split(",")[1]))
    assert len(defects) == 64


# Primitives against the RFCs.


def test_labels_reproduce_the_tls_trace_of_rfc_8448() -> None:
    early = primitives.hkdf_extract(bytes(32), bytes(32))
    assert early.hex() == "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
    derived = primitives.expand(early, b"derived", primitives.sha256(), 32, prefix=b"tls13 ")
    assert derived.hex() == "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"


def test_expand_is_plain_hkdf() -> None:
    label = primitives.hkdf_label(b"x", b"context", 40)
    block = primitives.hmac_sha256(bytes(32), label, b"\1")
    blocks = block + primitives.hmac_sha256(bytes(32), block, label, b"\2")
    assert primitives.expand(bytes(32), b"x", b"context", 40) == blocks[:40]


def test_signature_of_rfc_8032() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    expected = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert ed25519.sign(seed, b"").hex() == expected


def test_small_order_encodings_are_the_eight_torsion_points() -> None:
    generator = edwards.torsion_generator()
    encodings = {edwards.encode(edwards.multiply(k, generator)) for k in range(8)}
    assert encodings == set(edwards.SMALL_ORDER_ENCODINGS)


def test_curve_arithmetic_agrees_with_the_library() -> None:
    for number in range(20):
        key = ed25519.public_key(derived_bytes(f"key {number}"))
        point = edwards.decode(key)
        assert point is not None
        assert edwards.encode(point) == key
        assert ed25519.is_acceptable_identity(key)
        mixed = edwards.encode(edwards.add(point, edwards.torsion_generator()))
        assert not ed25519.is_acceptable_identity(mixed)


def test_did_key_round_trip() -> None:
    known = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
    key = dids.did_to_key(known)
    assert key is not None
    assert dids.key_to_did(key) == known


def test_siv_round_trip() -> None:
    sealed = primitives.gcm_siv_seal(bytes(32), bytes(12), b"row", b"aad")
    assert primitives.gcm_siv_open(bytes(32), bytes(12), sealed, b"aad") == b"row"
    with pytest.raises(ProtocolError, match="authentication_failed"):
        primitives.gcm_siv_open(bytes(32), bytes(12), sealed, b"other")


# Handshake, both roles.


@pytest.mark.parametrize("confirmation", ["mac", "signature"])
def test_both_roles_meet(confirmation: str) -> None:
    client, server = pair(confirmation=confirmation)
    assert (client.c2s, client.s2c, client.exporter) == (server.c2s, server.s2c, server.exporter)
    assert client.export(b"x", b"context", 8160) == server.export(b"x", b"context", 8160)
    assert server.open(client.seal(b"ping", now_ms=NOW_MS), now_ms=NOW_MS).plaintext == b"ping"
    assert client.open(server.seal(b"pong", now_ms=NOW_MS), now_ms=NOW_MS).plaintext == b"pong"


def test_carriers_carry_the_same_messages() -> None:
    situation = Situation(Setup(suites=(2, 1), channel_binding=b"binding"))
    initiate = situation.initiator.message
    accept = situation.answer()
    situation.finish(accept, now_ms=NOW_MS)
    confirm = situation.initiator.confirm(signed=True)
    assert Initiate.decode(initiate.encode()) == initiate
    assert carriers.decode_initiate(carriers.encode_initiate(initiate)) == initiate
    assert Accept.decode(accept.encode()) == accept
    assert carriers.decode_accept(carriers.encode_accept(accept)) == accept
    assert Confirm.decode(confirm.encode()) == confirm
    assert carriers.decode_confirm(carriers.encode_confirm(confirm)) == confirm


def bit_flips(data: bytes) -> Iterator[bytes]:
    for offset in range(len(data)):
        for bit in range(8):
            yield data[:offset] + bytes((data[offset] ^ 1 << bit,)) + data[offset + 1 :]


def test_every_flipped_bit_of_m1_is_refused() -> None:
    situation = Situation(Setup())
    for message in bit_flips(situation.initiator.message.encode()):
        with pytest.raises(ProtocolError) as caught:
            feed(situation, Item("initiate", message, NOW_MS))
        assert caught.value.status in (400, 401, 421)
    assert situation.responder.sessions == {}
    feed(situation, Item("initiate", situation.initiator.message.encode(), NOW_MS))


def test_every_flipped_bit_of_m2_is_refused() -> None:
    good = Situation(Setup()).answer().encode()
    for message in bit_flips(good):
        with pytest.raises(ProtocolError, match="authentication_failed"):
            feed(Situation(Setup(role="client", state="offered")), Item("accept", message, NOW_MS))


# Records and sessions.


def test_every_flipped_bit_of_a_record_is_refused() -> None:
    client, server = pair()
    record = client.seal(b"plaintext", now_ms=NOW_MS, aad=b"aad")
    for flipped in bit_flips(record):
        with pytest.raises(ProtocolError) as caught:
            server.open(flipped, now_ms=NOW_MS, aad=b"aad")
        assert caught.value.status in (400, 401)
    assert server.open(record, now_ms=NOW_MS, aad=b"aad").plaintext == b"plaintext"


def test_largest_record() -> None:
    client, server = pair()
    record = client.seal(bytes(MAX_PLAINTEXT_LEN), now_ms=NOW_MS)
    assert len(server.open(record, now_ms=NOW_MS).plaintext) == MAX_PLAINTEXT_LEN
    with pytest.raises(LocalError):
        client.seal(bytes(MAX_PLAINTEXT_LEN + 1), now_ms=NOW_MS)
    with pytest.raises(ProtocolError, match="payload_too_large"):
        parse(record + b"\0")


@pytest.mark.parametrize(
    ("count", "length"), [(SOFT_RECORD_COUNT, 0), (0, SOFT_BYTES_LEN)], ids=["records", "bytes"]
)
def test_soft_budget_asks_for_a_rekey(count: int, length: int) -> None:
    client, _ = pair()
    client.sender.sealed_count, client.sender.sealed_len = (
        count - bool(count),
        length - bool(length),
    )
    assert parse(client.seal(b"x", now_ms=NOW_MS)).flags == 0
    assert parse(client.seal(b"x", now_ms=NOW_MS)).flags == FLAG_REKEY_WANTED


def test_hard_budget_refuses() -> None:
    client, _ = pair()
    client.sender.sealed_count = HARD_RECORD_COUNT - 1
    client.seal(b"x", now_ms=NOW_MS)
    with pytest.raises(ProtocolError, match="rekey_required"):
        client.seal(b"x", now_ms=NOW_MS)
    client.sender.sealed_count, client.sender.sealed_len = 0, HARD_BYTES_LEN - 1
    client.seal(b"x", now_ms=NOW_MS)
    with pytest.raises(ProtocolError, match="rekey_required"):
        client.seal(b"x", now_ms=NOW_MS)


def test_close_ends_both_directions() -> None:
    client, server = pair()
    server.open(client.seal(b"", now_ms=NOW_MS, flags=FLAG_CLOSE), now_ms=NOW_MS)
    for session in (client, server):
        with pytest.raises(LocalError):
            session.seal(b"more", now_ms=NOW_MS)


def test_half_open_session_sends_nothing() -> None:
    server = Situation(Setup(state="half_open")).server_session
    with pytest.raises(LocalError):
        server.seal(b"early", now_ms=NOW_MS)


def test_restored_session_has_no_exporter() -> None:
    _, server = pair(windows_lost=True)
    with pytest.raises(LocalError):
        server.export(b"x", b"", 32)


def test_rekey_gives_the_same_answer_and_meets() -> None:
    client, server = pair()
    r1 = client.rekey_request(bytes(32))
    assert client.rekey_request(bytes(31) + b"\1") == r1
    first = server.rekey_answer(r1, nonce=derived_bytes("first"), now_ms=NOW_MS)
    again = server.rekey_answer(r1, nonce=derived_bytes("second"), now_ms=NOW_MS)
    assert first == again
    client.rekey_finish(again, now_ms=NOW_MS)
    assert (client.epoch, client.c2s, client.s2c) == (1, server.c2s, server.s2c)
    assert server.open(client.seal(b"x", now_ms=NOW_MS), now_ms=NOW_MS).header.epoch == 1


def test_lost_answer_and_other_r1_meet_on_the_committed_pair() -> None:
    client, server = pair()
    first = RekeyMacKeys.derive(client.c2s, client.s2c).make_r1(
        client.session_id, 0, derived_bytes("another process")
    )
    server.rekey_answer(first, nonce=bytes(32), now_ms=NOW_MS)
    r1 = client.rekey_request(derived_bytes("own nonce"))
    reply = server.rekey_answer(r1, nonce=bytes(32), now_ms=NOW_MS)
    assert reply.adopted == first
    client.rekey_finish(reply, now_ms=NOW_MS)
    assert (client.c2s, client.s2c) == (server.c2s, server.s2c)


def test_answer_is_sealed_in_the_epoch_of_its_request() -> None:
    client, server = pair()
    server.open(client.seal(b"one", now_ms=NOW_MS), now_ms=NOW_MS)
    client.open(server.seal(b"one", now_ms=NOW_MS), now_ms=NOW_MS)
    request = server.open(client.seal(b"two", now_ms=NOW_MS), now_ms=NOW_MS)
    r1 = client.rekey_request(bytes(32))
    client.rekey_finish(server.rekey_answer(r1, nonce=bytes(32), now_ms=NOW_MS), now_ms=NOW_MS)
    answer = server.seal(b"two", now_ms=NOW_MS, epoch=request.header.epoch)
    assert client.open(answer, now_ms=NOW_MS + RETIRED_KEY_MS - 1).plaintext == b"two"
    with pytest.raises(LocalError):
        server.seal(b"late", now_ms=NOW_MS + RETIRED_KEY_MS, epoch=0)


def test_incarnations_never_share_a_key() -> None:
    keys = {record_key(bytes(32), derived_bytes(f"process {n}", 16)) for n in range(100)}
    assert len(keys) == 100


class Ring:
    """The bitmap of RFC 6479 with 64-bit words, one word wider than the window."""

    words = WINDOW_LEN // 64 + 1

    def __init__(self) -> None:
        self.last, self.bitmap = -1, [0] * self.words

    def admit(self, seq: int) -> bool:
        if seq <= self.last - WINDOW_LEN:
            return False
        word = seq // 64
        if seq > self.last:
            first_new = self.last // 64 + 1
            for index in range(first_new, min(word, first_new + self.words - 1) + 1):
                self.bitmap[index % self.words] = 0
            if word - first_new >= self.words:
                self.bitmap = [0] * self.words
            self.last = seq
        if self.bitmap[word % self.words] >> seq % 64 & 1:
            return False
        self.bitmap[word % self.words] |= 1 << seq % 64
        return True


def test_window_is_the_ring_of_rfc_6479() -> None:
    source = random.Random(6479)
    for _ in range(20):
        window, ring, around = Window(), Ring(), 0
        for _ in range(2_000):
            around += source.choice((0, 1, 1, 2, 63, 64, 65, 500, 1500))
            seq = max(0, around - source.randrange(1200))
            assert window.admit(seq) == ring.admit(seq), (seq, around)
