"""``tests/vectors`` through the Python API, as far as it goes without injecting randomness.

What needs a chosen ephemeral secret (the exact bytes of M1, M2, M3, R1, R2, sessions of negative
cases) is replayed in ``rust/sage-core/tests/vectors``.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import starmap
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from sage_native import (
    AeadKey,
    HandshakeError,
    Prk,
    ReplaySet,
    Responder,
    SigningKey,
    VerifyingKey,
    resolve_did_key,
)
from sage_native.protocol import RecordHeader, decode_json, encode_json
from tests.agents import REFUSED, code_of
from tests.reference import schedule
from tests.reference.generate import VECTORS_DIR
from tests.reference.primitives import hkdf_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Case = dict[str, Any]
Kind = Literal["initiate", "accept", "confirm", "rekey_request", "rekey_reply"]

KINDS: dict[str, Kind] = {
    "initiate": "initiate",
    "accept": "accept",
    "confirm": "confirm",
    "r1": "rekey_request",
    "rekey_reply": "rekey_reply",
}


def load(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((VECTORS_DIR / name).read_bytes())


def cases(name: str) -> list[Case]:
    return cast("list[Case]", load(name)["cases"])


def unhex(case: Case, *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


# negative.json: M1 in both carriers against a responder, and every JSON carrier against the parser.


class Server:
    """The server of a setup, that remembers what it admitted."""

    def __init__(self, setup: Case) -> None:
        self._registered = setup["registered"]
        seed, challenge_key = unhex(setup, "server_seed", "challenge_key")
        self._responder = Responder(
            SigningKey(seed),
            resolve=self._resolve,
            admit=ReplaySet().admit,
            challenge_key=challenge_key,
            require_challenge=setup["challenge_required"],
        )

    def _resolve(self, did: str) -> Sequence[VerifyingKey]:
        listed = self._registered.get(did, ())
        return [VerifyingKey(bytes.fromhex(key)) for key in listed] or resolve_did_key(did)

    def feed(self, item: Case) -> str | None:
        """Return the code that a message gets, None if it is accepted."""
        message = bytes.fromhex(item["message"])
        if item["feed"] == "initiate":
            return code_of(self._responder.respond, message, now_ms=item["at_ms"])
        return code_of(self._respond_to_json, message, item["at_ms"])

    def _respond_to_json(self, text: bytes, now_ms: int) -> None:
        self._responder.respond(decode_json("initiate", text), now_ms=now_ms)


def test_every_m1_gets_its_code() -> None:
    document = load("negative.json")
    fed: Counter[str] = Counter()
    for case in document["cases"]:
        if case["feed"] not in ("initiate", "initiate.json"):
            continue
        server = Server(document["setups"][case["setup"]])
        for item in case["before"]:
            assert (server.feed(item) is not None) == case["before_refused"], case["name"]
        assert server.feed(case) in (case["error"], *case["also"]), case["name"]
        fed[case["feed"]] += 1
    assert fed == {"initiate": 170, "initiate.json": 139}


def test_every_json_carrier_is_read_or_refused() -> None:
    read: Counter[str] = Counter()
    for case in cases("negative.json"):
        name, dot, _ = case["feed"].partition(".json")
        if not dot or name == "initiate":
            continue
        answer = code_of(decode_json, KINDS[name], bytes.fromhex(case["message"]))
        # A client answers whatever is wrong with the one code; here it is always the carrier.
        refused = case["error"] not in (None, REFUSED) or (name == "accept" and case["error"])
        assert answer == ("malformed_request" if refused else None), case["name"]
        read[case["feed"]] += 1
    assert read == {"accept.json": 10, "confirm.json": 15, "r1.json": 9, "rekey_reply.json": 12}


# handshake.json: carriers, M1 at its time, and all three signatures.


@pytest.mark.parametrize("name", ["initiate", "accept", "confirm"])
def test_handshake_carriers(name: str) -> None:
    transcripts = cases("handshake.json")
    for case in transcripts:
        check_carriers(KINDS[name], case["outputs"][name], case["outputs"][f"{name}_json"])
    assert len(transcripts) == 6


def check_carriers(kind: Kind, binary_hex: str, text: str) -> None:
    binary = bytes.fromhex(binary_hex)
    assert decode_json(kind, text.encode()) == binary
    assert json.loads(encode_json(kind, binary)) == json.loads(text)


@pytest.mark.parametrize("case", cases("handshake.json"), ids=lambda case: case["name"])
def test_m1_is_read_and_authenticated_at_its_time(case: Case) -> None:
    inputs, outputs = case["inputs"], case["outputs"]
    seed, challenge_key = unhex(inputs, "server_seed", "challenge_key")
    responder = Responder(
        SigningKey(seed),
        resolve=resolve_did_key,
        admit=ReplaySet().admit,
        dids=[inputs["server_did"]],
        challenge_key=challenge_key,
        require_challenge=inputs["challenge_required"],
        require_signed_confirmation=inputs["confirmation"] == "signature",
    )
    request = responder.read(
        bytes.fromhex(outputs["initiate"]),
        channel_binding=bytes.fromhex(inputs["channel_binding"]),
        now_ms=inputs["server_now_ms"],
    )
    assert (request.client_did, request.server_did) == (inputs["client_did"], inputs["server_did"])
    assert request.timestamp_ms == inputs["client_now_ms"]
    assert request.nonce.hex() == inputs["client_nonce"]
    request.authenticate([VerifyingKey(request.client_key)])
    _, session = request.accept(
        lifetime_s=inputs["lifetime_ms"] // 1000,
        idle_timeout_s=inputs["idle_timeout_s"],
        now_ms=inputs["server_now_ms"],
    )
    assert (session.expires_ms, session.suite) == (outputs["expires_at_ms"], outputs["suite"])


@pytest.mark.parametrize(
    ("role", "key", "transcript", "signature", "count"),
    [
        ("initiate", "client_public_key", "th1", "client_signature", 6),
        ("accept", "server_public_key", "th2", "server_signature", 6),
        ("confirm", "client_public_key", "th4", "client_confirm_signature", 1),
    ],
)
def test_signatures(role: str, key: str, transcript: str, signature: str, count: int) -> None:
    verified = 0
    for outputs in (case["outputs"] for case in cases("handshake.json")):
        if outputs[signature]:
            signed = schedule.signing_input(role.encode(), bytes.fromhex(outputs[transcript]))
            VerifyingKey(bytes.fromhex(outputs[key])).verify(
                bytes.fromhex(outputs[signature]), signed
            )
            verified += 1
    assert verified == count


# records.json: headers, keys and ciphertexts by the same primitives that sessions use.


def steps(operation: str) -> list[Case]:
    sessions = [case for case in cases("records.json") if case["kind"] == "session"]
    return [step for case in sessions for step in case["steps"] if step["op"] == operation]


def test_records() -> None:
    all_records = steps("record")
    for step in all_records:
        record, aad, plaintext, key, nonce = unhex(
            step, "record", "aad", "plaintext", "key", "nonce"
        )
        header = RecordHeader.parse(record)
        flags = header.close | header.rekey_wanted << 1 | header.binary_http << 2
        assert header.direction == ("c2s", "s2c")[step["direction"]]
        assert (header.epoch, header.seq, flags) == (step["epoch"], step["seq"], step["flags"])
        assert header.incarnation.hex() == step["incarnation"]
        aead = AeadKey(key)
        assert aead.seal(nonce, plaintext, record[:48] + aad) == record[48:]
        assert aead.open(nonce, record[48:], record[:48] + aad) == plaintext
    assert len(all_records) == 26


def test_record_keys_and_next_secrets() -> None:
    derived: Counter[str] = Counter()
    for case in cases("records.json"):
        if case["kind"] != "session":
            continue
        secrets = unhex(case, "c2s_0", "s2c_0")
        for step in case["steps"]:
            if step["op"] == "record":
                secret, incarnation = secrets[step["direction"]], bytes.fromhex(step["incarnation"])
                okm = Prk.from_bytes(secret).expand(hkdf_label(b"record", incarnation, 44), 44)
                assert okm.hex() == step["key"] + step["iv"]
            else:
                info = hkdf_label(b"rekey", b"", 32)
                macs = [Prk.from_bytes(secret).expand(info, 32).hex() for secret in secrets]
                assert macs == [step["mac_key_c"], step["mac_key_s"]]
                secrets = unhex(step, "next_c2s", "next_s2c")
            derived[step["op"]] += 1
    assert derived == {"record": 26, "rekey": 4}


def test_rekey_carriers() -> None:
    rekeys = steps("rekey")
    for step in rekeys:
        check_carriers("rekey_request", step["r1"], step["r1_json"])
        check_carriers("rekey_reply", step["reply"], step["reply_json"])
    assert len(rekeys) == 4


def test_a_carrier_of_another_kind_is_refused() -> None:
    outputs = cases("handshake.json")[0]["outputs"]
    texts = [outputs[f"{name}_json"].encode() for name in ("initiate", "accept", "confirm")]
    kinds: list[Kind] = ["initiate", "accept", "confirm"]
    refused = sum(starmap(is_refused, ((kind, text) for kind in kinds for text in texts)))
    assert refused == 6


def is_refused(kind: Kind, text: bytes) -> bool:
    return raises(lambda: decode_json(kind, text))


def raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except HandshakeError:
        return True
    return False
