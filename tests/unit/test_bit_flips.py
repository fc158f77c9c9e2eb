"""Every single flipped bit of every message is refused, and changes nothing."""

from __future__ import annotations

import pytest

from sage_native.exceptions import AuthenticationError
from tests.agents import NOW_MS, REFUSED, Agents, bit_flips, code_of, flip, rekey, state_of


def test_m1() -> None:
    """any single bit of any field flipped, exhaustively"""
    agents = Agents()
    message = agents.initiator.initiate(now_ms=NOW_MS).message
    codes = {code_of(agents.responder.respond, bad, now_ms=NOW_MS) for bad in bit_flips(message)}
    assert codes == {
        "malformed_request",
        "unsupported_version",
        "unsupported_suite",
        "invalid_did",
        "misdirected",
        "stale_timestamp",
        REFUSED,
    }
    assert len(agents.admitted) == 0
    _, server = agents.responder.respond(message, now_ms=NOW_MS)
    assert server.state == "half_open"


def test_m2() -> None:
    """any single bit of any field flipped, exhaustively"""
    agents = Agents()
    flips = len(agents.meet().m2) * 8
    for bit in range(flips):
        attempt = agents.initiator.initiate(now_ms=NOW_MS)
        reply, _ = agents.responder.respond(attempt.message, now_ms=NOW_MS)
        with pytest.raises(AuthenticationError):
            attempt.finish(flip(reply, bit), now_ms=NOW_MS)
        assert attempt.closed
    assert flips == 8 * 250


@pytest.mark.parametrize("signed", [False, True])
def test_m3(signed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    meeting = Agents(signed=signed).meet()
    for bad in bit_flips(meeting.m3):
        assert code_of(meeting.server.confirm, bad, now_ms=NOW_MS) == REFUSED
    assert state_of(meeting.server) == "half_open"
    meeting.server.confirm(meeting.m3, now_ms=NOW_MS)
    assert state_of(meeting.server) == "open"


def test_r1_and_r2() -> None:
    client, server = Agents().pair()
    request = client.rekey_request(now_ms=NOW_MS)
    for bad in bit_flips(request):
        assert code_of(server.answer_rekey, bad, now_ms=NOW_MS) == REFUSED
    assert server.epoch == 0
    reply = server.answer_rekey(request, now_ms=NOW_MS)
    for bad in bit_flips(request):
        assert code_of(server.answer_rekey, bad, now_ms=NOW_MS) == REFUSED, "after the commit"
    for bad in bit_flips(reply):
        assert code_of(client.accept_rekey, bad, now_ms=NOW_MS) == REFUSED
    assert client.epoch == 0
    client.accept_rekey(reply, now_ms=NOW_MS)
    assert server.open(client.seal(b"met", now_ms=NOW_MS), now_ms=NOW_MS) == b"met"


@pytest.mark.parametrize("state", ["half_open", "open", "rekeyed"])
def test_record(state: str) -> None:
    meeting = Agents().meet()
    client, server = meeting.client, meeting.server
    if state != "half_open":
        server.confirm(meeting.m3, now_ms=NOW_MS)
    if state == "rekeyed":
        rekey(client, server)
    record = client.seal(b"sixteen byte str", aad=b"aad", now_ms=NOW_MS)
    for bad in bit_flips(record):
        code = code_of(server.open, bad, aad=b"aad", now_ms=NOW_MS)
        assert code in (REFUSED, "malformed_request")
    for bad in bit_flips(b"aad"):
        assert code_of(server.open, record, aad=bad, now_ms=NOW_MS) == REFUSED
    assert (server.state == "half_open") == (state == "half_open")
    assert server.open(record, aad=b"aad", now_ms=NOW_MS) == b"sixteen byte str"


def test_record_of_the_epoch_before() -> None:
    client, server = Agents().pair()
    client.open(server.seal(b"known from here on", now_ms=NOW_MS), now_ms=NOW_MS)
    late = server.seal(b"late answer", now_ms=NOW_MS)
    rekey(client, server)
    for bad in bit_flips(late):
        assert code_of(client.open, bad, now_ms=NOW_MS) in (REFUSED, "malformed_request")
    assert client.open(late, now_ms=NOW_MS) == b"late answer"
