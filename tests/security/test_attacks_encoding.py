"""Attacks on the carriers and on capacity. Each docstring begins with its row of the table."""

from __future__ import annotations

import json

import pytest

from sage_native import CapacityError, HandshakeError, ReplayDetectedError, ReplaySet
from sage_native.protocol import MAX_PLAINTEXT_LEN, decode_json, encode_json
from tests.agents import NOW_MS, Agents, code_of

MALFORMED, TOO_LARGE = "malformed_request", "payload_too_large"
HOUR_MS = 3_600_000


def carrier() -> str:
    """Return an honest M1 as JSON."""
    message = Agents().initiator.initiate(now_ms=NOW_MS).message
    return encode_json("initiate", message).decode()


def with_value(literal: str, field: str = "nonce") -> str:
    """Return an honest M1 with a literal in place of a value."""
    fields = json.loads(carrier())
    fields[field] = "@"
    return json.dumps(fields).replace('"@"', literal)


DOCUMENTS = {
    "duplicate key": carrier()[:-1] + ',"version":1}',
    "duplicate key through an escape": carrier()[:-1] + ',"\\u0076ersion":1}',
    "NaN": with_value("NaN", "timestamp"),
    "Infinity": with_value("-Infinity", "timestamp"),
    "1e999": with_value("1e999", "timestamp"),
    "5,000 digits": with_value("1" * 5_000, "timestamp"),
    "5,000 digits as version": with_value("1" * 5_000, "version"),
    "lone surrogate": with_value('"\\ud800"'),
    "lone surrogate as a key": carrier()[:-1] + ',"\\udfff":1}',
    "byte order mark": "\ufeff" + carrier(),
    "trailing byte": carrier() + "x",
    "trailing NUL": carrier() + "\0",
    "two objects": carrier() * 2,
    "an array of the values": json.dumps(list(json.loads(carrier()).values())),
    "null": with_value("null", "challenge"),
    "unknown field": carrier()[:-1] + ',"admin":true}',
}


@pytest.mark.parametrize("title", DOCUMENTS)
def test_documents(title: str) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone \
surrogates, BOM, trailing bytes"""
    assert code_of(decode_json, "initiate", DOCUMENTS[title].encode()) == MALFORMED


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("place", ["{}", '{{"version":{}', '{{"x":{}'])
@pytest.mark.parametrize("depth", [1_000, 3_000])
def test_deep_nesting(opening: str, place: str, depth: int) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone \
surrogates, BOM, trailing bytes"""
    text = place.format(opening * depth).encode()
    assert code_of(decode_json, "initiate", text) == MALFORMED
    deeper = place.format(opening * 100_000).encode()
    assert code_of(decode_json, "initiate", deeper) == TOO_LARGE


def test_the_last_key_does_not_win() -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone \
surrogates, BOM, trailing bytes"""
    fields = json.loads(carrier())
    for name, value in fields.items():
        text = f"{carrier()[:-1]},{json.dumps(name)}:{json.dumps(value)}}}"
        assert code_of(decode_json, "initiate", text.encode()) == MALFORMED


def spellings(text: str) -> dict[str, str]:
    """Return other spellings of the 32 bytes that a base64url text stands for."""
    last = text[:-1] + chr(ord(text[-1]) + 1)
    return {
        "padding": text + "=",
        "alphabet": "+/" + text[2:],
        "leading space": " " + text,
        "inner space": text[:9] + " " + text[9:],
        "line end": text + "\\n",
        "trailing bits": last,
        "two characters more": text + "AA",
        "percent": text[:-1] + "%41",
    }


@pytest.mark.parametrize("title", spellings("A" * 43))
@pytest.mark.parametrize(
    "field", ["nonce", "client_public_key", "client_ephemeral_key", "signature"]
)
def test_base64(title: str, field: str) -> None:
    """base64 with padding, `+/`, whitespace, non-zero trailing bits"""
    text = carrier()
    value = json.loads(text)[field]
    assert code_of(decode_json, "initiate", text.encode()) is None
    changed = text.replace(value, spellings(value)[title])
    assert code_of(decode_json, "initiate", changed.encode()) in (MALFORMED, "invalid_key")


def test_handshake_messages_beyond_16_kib() -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    agents = Agents()
    message = agents.initiator.initiate(now_ms=NOW_MS).message
    text = encode_json("initiate", message)
    limit = 16 * 1024
    assert code_of(decode_json, "initiate", text.ljust(limit)) is None
    assert code_of(decode_json, "initiate", text.ljust(limit + 1)) == TOO_LARGE
    padded = message.ljust(limit, b"\0")
    assert code_of(agents.responder.read, padded, now_ms=NOW_MS) == MALFORMED
    assert code_of(agents.responder.read, padded + b"\0", now_ms=NOW_MS) == TOO_LARGE
    assert code_of(agents.responder.read, b"\x1f\x8b" + message, now_ms=NOW_MS) is not None


def test_records_beyond_1_mib() -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    client, server = Agents().pair()
    record = client.seal(bytes(MAX_PLAINTEXT_LEN), now_ms=NOW_MS)
    with pytest.raises(HandshakeError) as caught:
        server.open(record + b"\0", now_ms=NOW_MS)
    assert caught.value.code == TOO_LARGE
    (refused,) = server.open_many([record + b"\0"], now_ms=NOW_MS)
    assert isinstance(refused, HandshakeError)
    assert len(server.open(record, now_ms=NOW_MS)) == MAX_PLAINTEXT_LEN


def test_clock_steps() -> None:
    """clock −1 h, +1 h"""
    agents, admitted = Agents(), ReplaySet()
    request = agents.responder.read(agents.initiator.initiate(now_ms=NOW_MS).message, now_ms=NOW_MS)
    nonce, until_ms = request.nonce, request.remember_until_ms
    assert until_ms >= NOW_MS + 60_000
    admitted.admit(agents.alice.did, nonce, until_ms, now_ms=NOW_MS)
    for step_ms in (-HOUR_MS, 0, HOUR_MS, -HOUR_MS, 0):
        with pytest.raises(ReplayDetectedError):
            admitted.admit(agents.alice.did, nonce, until_ms, now_ms=NOW_MS + step_ms)
    # A clock alone gives nothing up. With a request of its time it does, and what is forgotten then
    # stays refused when the clock is right again.
    assert len(admitted) == 1
    ahead_ms = NOW_MS + HOUR_MS
    admitted.admit(agents.alice.did, b"of that time", ahead_ms + 60_000, now_ms=ahead_ms)
    assert len(admitted) == 1, "the first is forgotten"
    for now_ms in (NOW_MS, ahead_ms, NOW_MS):
        with pytest.raises(ReplayDetectedError):
            admitted.admit(agents.alice.did, nonce, until_ms, now_ms=now_ms)


def test_replay_capacity() -> None:
    """nonce or session capacity reached"""
    admitted, until_ms = ReplaySet(capacity=2), NOW_MS + 1000
    nonces, taken = (bytes([number]) for number in range(100)), list[bytes]()

    def take() -> None:
        for nonce in nonces:
            admitted.admit("did:example:a", nonce, until_ms, now_ms=NOW_MS)
            taken.append(nonce)

    with pytest.raises(CapacityError):
        take()
    assert len(taken) >= 2
    for nonce in taken:
        with pytest.raises(ReplayDetectedError):
            admitted.admit("did:example:a", nonce, until_ms, now_ms=NOW_MS)
    admitted.admit("did:example:a", b"fresh", until_ms + 3000, now_ms=NOW_MS + 3000)
