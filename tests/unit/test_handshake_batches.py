"""Many handshakes answered in one call get what each would get alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sage_native import SessionStateError, SigningKey, UsageError
from sage_native._native import (  # noqa: TID251 - no public name takes a path
    _curve25519_paths,
    _take_curve25519_path,
)
from sage_native.exceptions import AuthenticationError, HandshakeError
from sage_native.protocol import accept_many, authenticate_many
from tests.agents import NOW_MS, Agents
from tests.security import forge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sage_native import Session, VerifyingKey
    from sage_native.protocol import Attempt, Request

SIZES = [*range(21), 47]
LOW_ORDER = bytes(32)


@pytest.fixture(params=_curve25519_paths(), autouse=True)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """A path that is taken; the fastest again afterwards."""
    _take_curve25519_path(request.param)
    yield request.param
    _take_curve25519_path(None)


class Crowd:
    """M1s of clients to one responder, read and not yet authenticated."""

    def __init__(self, size: int) -> None:
        self.agents = Agents()
        self.attempts: list[Attempt] = [
            self.agents.initiator.initiate(now_ms=NOW_MS) for _ in range(size)
        ]

    def read(self) -> list[Request]:
        """Return the requests, each time anew."""
        return [
            self.agents.responder.read(attempt.message, now_ms=NOW_MS) for attempt in self.attempts
        ]

    def authenticated(self) -> list[Request]:
        """Return the requests with the first step done."""
        requests = self.read()
        assert authenticate_many(requests, self.listed) == [True] * len(requests)
        return requests

    @property
    def listed(self) -> list[Sequence[VerifyingKey]]:
        """The client's key, for each request."""
        return [[self.agents.alice.verifying_key]] * len(self.attempts)


def verdict(request: Request, listed: Sequence[VerifyingKey]) -> bool:
    try:
        request.authenticate(listed)
    except AuthenticationError:
        return False
    return True


def session_of(answer: tuple[bytes, Session] | HandshakeError) -> tuple[bytes, Session]:
    assert not isinstance(answer, HandshakeError)
    return answer


@pytest.mark.parametrize("size", SIZES)
def test_each_verdict_is_its_own(size: int) -> None:
    """Right and wrong keys, expanded and plain, right and wrong signatures, side by side."""
    agents, other = Agents(), SigningKey.generate()
    plain, hot = agents.alice.verifying_key, agents.alice.verifying_key.expand()
    good = agents.initiator.initiate(now_ms=NOW_MS).message
    bad = good[:-40] + bytes([good[-40] ^ 1]) + good[-39:]
    elsewhere = forge.initiate(agents, client_did="did:example:alice")
    wrong_did = forge.signed(forge.m1(agents, client_did=other.did), agents.alice).encode()
    cases: list[tuple[bytes, list[VerifyingKey], bool]] = [
        (good, [hot], True),
        (bad, [hot], False),
        (good, [plain], True),
        (bad, [plain], False),
        (good, [], False),
        (good, [other.verifying_key], False),
        (good, [other.verifying_key, hot], True),
        (elsewhere, [plain], True),
        (wrong_did, [plain], False),
        (bytes([*good[:-32], *[255] * 32]), [hot], False),
    ]
    # At each size every case comes to the edge of the lanes somewhere.
    for shift in range(len(cases)):
        batch = [cases[(at + shift) % len(cases)] for at in range(size)]
        requests, alone = (
            [agents.responder.read(message, now_ms=NOW_MS) for message, _, _ in batch]
            for _ in range(2)
        )
        expected = [expected for _, _, expected in batch]
        listed = [keys for _, keys, _ in batch]
        assert [verdict(one, keys) for one, keys in zip(alone, listed, strict=True)] == expected
        assert authenticate_many(requests, listed) == expected
        for request, holds in zip(requests, expected, strict=True):
            if holds:
                request.accept(now_ms=NOW_MS)
            else:
                with pytest.raises(SessionStateError, match="authenticate the request first"):
                    request.accept(now_ms=NOW_MS)


@pytest.mark.parametrize("size", SIZES)
def test_clients_finish_with_what_a_batch_answers(size: int) -> None:
    crowd = Crowd(size)
    requests = crowd.authenticated()
    answers = accept_many(requests, lifetime_s=60, idle_timeout_s=5, now_ms=NOW_MS)
    assert len(answers) == size
    ids = set()
    for attempt, request, answer in zip(crowd.attempts, requests, answers, strict=True):
        message, server = session_of(answer)
        m3, client = attempt.finish(message, now_ms=NOW_MS)
        server.confirm(m3, now_ms=NOW_MS)
        record = client.seal(b"hello", now_ms=NOW_MS)
        assert server.open(record, now_ms=NOW_MS) == b"hello"
        assert server.expires_ms == NOW_MS + 60_000
        assert server.idle_timeout_s == 5
        ids.add(server.session_id)
        with pytest.raises(SessionStateError, match="accepted before"):
            request.accept(now_ms=NOW_MS)
    assert len(ids) == size


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 20])
def test_a_share_of_small_order_is_refused_alone(size: int) -> None:
    for wrong in range(size):
        crowd = Crowd(size)
        requests = crowd.read()
        message = forge.initiate(crowd.agents, client_key_share=LOW_ORDER)
        requests[wrong] = crowd.agents.responder.read(message, now_ms=NOW_MS)
        assert all(authenticate_many(requests, crowd.listed))
        answers = accept_many(requests, now_ms=NOW_MS)
        refusal = answers[wrong]
        assert isinstance(refusal, HandshakeError)
        assert refusal.code == "invalid_key"
        with pytest.raises(HandshakeError) as alone:
            requests[wrong].accept(now_ms=NOW_MS)
        assert str(alone.value) == str(refusal)
        for place, (attempt, answer) in enumerate(zip(crowd.attempts, answers, strict=True)):
            if place != wrong:
                attempt.finish(session_of(answer)[0], now_ms=NOW_MS)


def test_nothing_is_done_unless_all_can_be() -> None:
    crowd = Crowd(4)
    requests = crowd.read()
    with pytest.raises(UsageError, match="listed_keys must be as many as requests: 3 are not 4"):
        authenticate_many(requests, crowd.listed[:3])
    with pytest.raises(SessionStateError, match="twice"):
        authenticate_many([*requests[:3], requests[0]], crowd.listed)
    requests[2].authenticate(crowd.listed[2])
    with pytest.raises(SessionStateError, match="authenticated before"):
        authenticate_many(requests, crowd.listed)
    with pytest.raises(SessionStateError, match="authenticate the request first"):
        accept_many(requests, now_ms=NOW_MS)
    requests = crowd.authenticated()
    with pytest.raises(SessionStateError, match="twice"):
        accept_many([*requests, requests[1]], now_ms=NOW_MS)
    for times in ({"lifetime_s": 0}, {"idle_timeout_s": 0}):
        with pytest.raises(UsageError, match="must be positive"):
            accept_many(requests, now_ms=NOW_MS, **times)
    with pytest.raises(UsageError, match="of one responder"):
        accept_many([*requests, *Crowd(1).authenticated()], now_ms=NOW_MS)
    # All that was refused has changed nothing.
    assert len(accept_many(requests[:3], now_ms=NOW_MS)) == 3
    with pytest.raises(SessionStateError, match="accepted before"):
        accept_many(requests[2:], now_ms=NOW_MS)
    crowd.agents.bob.close()
    with pytest.raises(SessionStateError, match="closed"):
        accept_many(requests[3:], now_ms=NOW_MS)


def test_batches_of_the_same_requests_do_not_wait_for_each_other() -> None:
    """In opposite orders, large enough to be at work without the interpreter lock."""
    crowd = Crowd(100)
    requests = crowd.read()
    outcomes: list[list[bool] | SessionStateError] = []
    start = threading.Barrier(2)

    def authenticate(batch: list[Request]) -> None:
        start.wait()
        try:
            outcomes.append(authenticate_many(batch, crowd.listed))
        except SessionStateError as error:
            outcomes.append(error)

    threads = [
        threading.Thread(target=authenticate, args=[batch]) for batch in (requests, requests[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One came first and did all; the other found that and did nothing.
    assert sorted(isinstance(outcome, list) for outcome in outcomes) == [False, True]
    assert [True] * 100 in outcomes
    assert len(accept_many(requests, now_ms=NOW_MS)) == 100
