# ruff: noqa: D103 - the names say what is measured
"""Absolute baselines: handshake and records.

What may be done once (opening a record, answering an M1, finishing an attempt) gets fresh input in
every round, made outside the timed region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sage_native.keys import SigningKey, resolve_did_key
from sage_native.protocol import Initiator, RecordHeader, Responder
from sage_native.replay import ReplaySet

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from sage_native.protocol import Session

LENGTHS = [64, 1024, 16_384]
ALICE, BOB = SigningKey(bytes(range(32))), SigningKey(bytes(range(32, 64)))
ROUND_COUNT = 1_000


def fresh_each(
    benchmark: BenchmarkFixture,
    call: Callable[..., Any],
    arguments: Callable[[], tuple[object, ...]],
    round_count: int = ROUND_COUNT,
) -> Any:  # noqa: ANN401  # whatever the call returns
    """Time calls that each need arguments of their own."""
    return benchmark.pedantic(  # type: ignore[no-untyped-call]
        call, setup=lambda: (arguments(), {}), rounds=round_count
    )


def initiator() -> Initiator:
    return Initiator(ALICE, BOB.verifying_key)


def responder() -> Responder:
    return Responder(BOB, resolve=resolve_did_key, admit=ReplaySet().admit)


def sessions() -> tuple[Session, Session]:
    """Return client and server, both open."""
    attempt = initiator().initiate()
    reply, server = responder().respond(attempt.message)
    confirmation, client = attempt.finish(reply)
    server.confirm(confirmation)
    return client, server


def test_initiate(benchmark: BenchmarkFixture) -> None:
    assert benchmark(initiator().initiate).message


def test_respond(benchmark: BenchmarkFixture) -> None:
    client, server = initiator(), responder()

    _, session = fresh_each(benchmark, server.respond, lambda: (client.initiate().message,))
    assert session.state == "half_open"


def test_finish(benchmark: BenchmarkFixture) -> None:
    client, server = initiator(), responder()

    def fresh() -> tuple[object, ...]:
        attempt = client.initiate()
        return attempt, server.respond(attempt.message)[0]

    _, session = fresh_each(benchmark, lambda attempt, reply: attempt.finish(reply), fresh)
    assert session.state == "open"


@pytest.mark.parametrize("length", LENGTHS)
def test_seal_record(benchmark: BenchmarkFixture, length: int) -> None:
    client, _ = sessions()
    assert len(benchmark(client.seal, bytes(length))) == length + 64


@pytest.mark.parametrize("length", LENGTHS)
def test_open_record(benchmark: BenchmarkFixture, length: int) -> None:
    client, server = sessions()

    opened = fresh_each(
        benchmark, server.open, lambda: (client.seal(bytes(length)),), 20 * ROUND_COUNT
    )
    assert opened == bytes(length)


@pytest.mark.parametrize("count", [64, 1000])
def test_seal_records(benchmark: BenchmarkFixture, count: int) -> None:
    client, _ = sessions()
    benchmark.extra_info["operations"] = count
    records = fresh_each(benchmark, client.seal_many, lambda: ([bytes(64)] * count,))
    assert len(records) == count


@pytest.mark.parametrize("count", [64, 1000])
def test_open_records(benchmark: BenchmarkFixture, count: int) -> None:
    client, server = sessions()
    benchmark.extra_info["operations"] = count
    opened = fresh_each(
        benchmark, server.open_many, lambda: (client.seal_many([bytes(64)] * count),)
    )
    assert opened == [bytes(64)] * count


def test_parse_header(benchmark: BenchmarkFixture) -> None:
    client, _ = sessions()
    assert benchmark(RecordHeader.parse, client.seal(b"")).seq == 0


def test_export(benchmark: BenchmarkFixture) -> None:
    client, _ = sessions()
    assert len(benchmark(client.export, "baseline", b"context", 32)) == 32


def test_rekey(benchmark: BenchmarkFixture) -> None:
    client, server = sessions()

    def rekey() -> None:
        client.accept_rekey(server.answer_rekey(client.rekey_request()))
        server.open(client.seal(b""))

    benchmark(rekey)
    assert client.epoch == server.epoch
