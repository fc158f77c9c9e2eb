"""What the native module counts: each operation once, whichever way it was asked for."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sage_native import AeadKey, SageError, SessionTable, SigningKey, VerifyingKeyCache, verify_many
from sage_native.counting import BOUNDS_NS, count_operations, operation_counts
from sage_native.protocol import accept_many, authenticate_many
from tests.agents import NOW_MS, Agents
from tests.security import forge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NONCE = bytes(12)
NONCES = [number.to_bytes(12, "big") for number in range(1000)]


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    count_operations()
    yield
    count_operations(is_on=False)


def change(work: Callable[[], object]) -> dict[str, tuple[int, int, int]]:
    """What a piece of work adds: calls, refused ones and bytes, where it adds anything."""
    before = operation_counts()
    with contextlib.suppress(SageError):
        work()
    after = operation_counts()
    changes = {
        name: (
            counts.calls - before[name].calls,
            counts.refused - before[name].refused,
            counts.plaintext_len - before[name].plaintext_len,
        )
        for name, counts in after.items()
    }
    return {name: counts for name, counts in changes.items() if any(counts)}


def test_keys_count_what_they_seal_and_open() -> None:
    key = AeadKey.generate()
    sealed = key.seal(NONCE, b"x" * 100)
    forged = bytes(len(sealed))
    out = bytearray(200)
    rows = np.zeros((1000, 50), dtype=np.uint8)
    many = key.seal_many(NONCES, [b"x" * 50] * 1000)
    all_rows = np.stack([np.frombuffer(one, dtype=np.uint8) for one in many])
    assert change(lambda: key.seal(NONCE, b"x" * 100)) == {"seal": (1, 0, 100)}
    assert change(lambda: key.seal_into(NONCE, b"x" * 100, out)) == {"seal": (1, 0, 100)}
    assert change(lambda: key.open(NONCE, sealed)) == {"open": (1, 0, 100)}
    assert change(lambda: key.open_into(NONCE, sealed, out)) == {"open": (1, 0, 100)}
    assert change(lambda: key.open(NONCE, forged)) == {"open": (1, 1, 0)}
    assert change(lambda: key.seal_many(NONCES, rows)) == {"seal": (1000, 0, 50_000)}
    assert change(lambda: key.seal_many(NONCES, [b"x"] * 1000)) == {"seal": (1000, 0, 1000)}
    assert change(lambda: key.open_many(NONCES, all_rows)) == {"open": (1000, 0, 50_000)}
    mixed = [*many[:990], *[bytes(66)] * 10]
    assert change(lambda: key.open_many(NONCES, mixed)) == {"open": (1000, 10, 990 * 50)}
    key.close()
    assert change(lambda: key.seal(NONCE, b"x")) == {"seal": (1, 1, 0)}
    assert change(lambda: key.seal_many(NONCES, [b"x"] * 1000)) == {"seal": (1000, 1000, 0)}


def test_sessions_count_records() -> None:
    client, server = Agents().pair()
    table = SessionTable()
    table.add(server)
    record = client.seal(b"hello", now_ms=NOW_MS)
    assert change(lambda: client.seal(b"hello", now_ms=NOW_MS)) == {"seal": (1, 0, 5)}
    assert change(lambda: server.open(record, now_ms=NOW_MS)) == {"open": (1, 0, 5)}
    assert change(lambda: server.open(record, now_ms=NOW_MS)) == {"open": (1, 1, 0)}
    assert change(lambda: table.open(record, now_ms=NOW_MS)) == {"open": (1, 1, 0)}
    records = client.seal_many([b"hello"] * 1000, now_ms=NOW_MS)
    assert change(lambda: client.seal_many([b"hi"] * 1000, now_ms=NOW_MS)) == {
        "seal": (1000, 0, 2000)
    }
    assert change(lambda: table.open(records[0], now_ms=NOW_MS)) == {"open": (1, 0, 5)}
    assert change(lambda: server.open_many(records, now_ms=NOW_MS)) == {"open": (1000, 1, 999 * 5)}
    table.remove(server.session_id)
    assert change(lambda: table.open(records[0], now_ms=NOW_MS)) == {"open": (1, 1, 0)}
    assert change(lambda: client.seal_close(now_ms=NOW_MS)) == {"seal": (1, 0, 0)}
    assert change(lambda: client.seal(b"x", now_ms=NOW_MS)) == {"seal": (1, 1, 0)}


def test_keys_count_signatures() -> None:
    key, cache = SigningKey.generate(), VerifyingKeyCache()
    verifying = key.verifying_key
    cache.register(verifying)
    signature = key.sign(b"x")
    messages = [b"x"] * 100
    signatures = [*[signature] * 97, *[bytes(64)] * 3]
    assert change(lambda: key.sign(b"x")) == {"sign": (1, 0, 0)}
    assert change(lambda: key.sign(b" " * 64)) == {"sign": (1, 1, 0)}
    assert change(lambda: key.sign_many(messages)) == {"sign": (100, 0, 0)}
    assert change(lambda: verifying.verify(signature, b"x")) == {"verify": (1, 0, 0)}
    assert change(lambda: verifying.verify(signature, b"y")) == {"verify": (1, 1, 0)}
    assert change(lambda: verifying.is_valid(b"short", b"x")) == {"verify": (1, 1, 0)}
    assert change(lambda: cache.verify(verifying, signature, b"x")) == {"verify": (1, 0, 0)}
    assert change(lambda: cache.is_valid(verifying, b"short", b"x")) == {"verify": (1, 1, 0)}
    for many in (verify_many, cache.verify_many):
        assert change(lambda many=many: many(verifying, signatures, messages)) == {  # type: ignore[misc]
            "verify": (100, 3, 0)
        }


def test_batches_of_handshakes_count_their_signatures() -> None:
    agents, other = Agents(), SigningKey.generate()
    messages = [agents.initiator.initiate(now_ms=NOW_MS).message for _ in range(100)]
    messages[7] = forge.initiate(agents, client_key_share=bytes(32))
    requests = [agents.responder.read(message, now_ms=NOW_MS) for message in messages]
    listed = [[agents.alice.verifying_key]] * 97 + [[other.verifying_key]] * 3
    assert change(lambda: authenticate_many(requests, listed)) == {"verify": (100, 3, 0)}
    # One share has small order, and gets no signature.
    assert change(lambda: accept_many(requests[:97], now_ms=NOW_MS)) == {"sign": (96, 0, 0)}


def test_handshakes_count_their_signatures() -> None:
    assert change(lambda: Agents().pair()) == {"sign": (2, 0, 0), "verify": (2, 0, 0)}
    assert change(lambda: Agents(signed=True).pair()) == {"sign": (3, 0, 0), "verify": (3, 0, 0)}
    agents = Agents()
    forged = bytearray(agents.initiator.initiate(now_ms=NOW_MS).message)
    forged[-1] ^= 1
    assert change(lambda: agents.responder.respond(bytes(forged), now_ms=NOW_MS)) == {
        "verify": (1, 1, 0)
    }


def test_nothing_is_counted_before_it_is_asked_for() -> None:
    count_operations(is_on=False)
    key = AeadKey.generate()
    assert change(lambda: key.seal_many(NONCES, [key.seal(NONCE, b"x")] * 1000)) == {}
    assert change(lambda: Agents().pair()) == {}


@pytest.mark.parametrize("batch_len", [1, 10, 64, 1000])
def test_one_operation_in_64_is_measured(batch_len: int) -> None:
    key = AeadKey.generate()

    def work() -> None:
        for _ in range(6400 // batch_len):
            if batch_len == 1:
                key.seal(NONCE, b"x")
            else:
                key.seal_many(NONCES[:batch_len], [b"x"] * batch_len)

    before = operation_counts()["seal"]
    work()
    after = operation_counts()["seal"]
    calls = after.calls - before.calls
    assert calls == 6400 // batch_len * batch_len
    # At most one more or less, by where the count stood before.
    assert abs(sum(after.took) - sum(before.took) - calls / 64) <= 1
    assert len(after.took) == len(BOUNDS_NS) + 1
    assert after.took_ns > before.took_ns


def test_a_batch_and_the_reading_of_all_counts_cross_once_each() -> None:
    called: list[str] = []

    def profile(_frame: object, event: str, argument: object) -> None:
        if event == "c_call":
            called.append(getattr(argument, "__name__", ""))

    key = AeadKey.generate()
    sys.setprofile(profile)
    try:
        key.seal_many(NONCES, [b"x"] * 1000)
        operation_counts()
    finally:
        sys.setprofile(None)
    native = {*dir(AeadKey), "_operation_counts", "_count_operations"} - {*dir(object)}
    assert [name for name in called if name in native] == ["_seal_many", "_operation_counts"]
