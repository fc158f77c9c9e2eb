"""How often addresses and DIDs may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway import pacing
from sage_native.gateway.pacing import Pacing
from sage_native.gateway.problems import ProblemError
from tests.gateways import gateway_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RARELY = {"rate": 1, "burst": 2}
LIMITS: dict[str, object] = {
    "limits.requests_per_address": RARELY,
    "limits.handshakes_per_address": RARELY,
    "limits.handshakes_per_did": RARELY,
    "limits.records_per_did": RARELY,
}


class Clock:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


@pytest.fixture
def paced(tmp_path: Path, clock: Clock) -> Pacing:
    del clock  # it stands before the first bucket is made
    return Pacing(gateway_settings(tmp_path, LIMITS))


def scope(address: str) -> dict[str, Any]:
    return {"client": (address, 50_000), "headers": []}


def refusal(call: Callable[..., None], *arguments: object) -> float | None:
    """Return the time to wait, None if nothing is refused."""
    try:
        call(*arguments)
    except ProblemError as error:
        return error.retry_after_s if error.code == "rate_limited" else None
    return None


def calls(paced: Pacing) -> dict[str, tuple[Callable[..., None], object, object]]:
    one, other = scope("192.0.2.1"), scope("192.0.2.2")
    return {
        "requests": (paced.request, one, other),
        "failures": (paced.failed, one, other),
        "handshakes": (paced.handshake, one, other),
    }


@pytest.mark.parametrize("kind", ["requests", "failures", "handshakes"])
def test_addresses(paced: Pacing, clock: Clock, kind: str) -> None:
    assert_bounded(*calls(paced)[kind], clock)


def test_handshakes_of_a_did_are_refused_before_they_are_counted(
    paced: Pacing, clock: Clock
) -> None:
    one, other = "did:example:a", "did:example:b"
    for _ in range(2):
        for _ in range(5):  # an M1 that is replayed gets no further than this
            assert refusal(paced.check_handshake_of, one) is None
        paced.handshake_of(one)
    assert refusal(paced.check_handshake_of, one) == pytest.approx(1, abs=0.01)
    assert refusal(paced.check_handshake_of, other) is None, "each has its own"
    clock.now_s += 1.01
    assert refusal(paced.check_handshake_of, one) is None


def test_the_record_that_is_one_too_many_is_delivered_and_the_next_ones_are_not_opened(
    paced: Pacing, clock: Clock
) -> None:
    client_of = {"1": "did:example:a", "2": "did:example:a", "3": "did:example:b"}.get
    for _ in range(2):
        paced.record_of("did:example:a")
        assert refusal(paced.check_record_of, "1", client_of) is None
    paced.record_of("did:example:a")
    # It is owed for, by every session of the client; others, and unknown ones, do not pay.
    for session_id in ("1", "2"):
        wait_s = refusal(paced.check_record_of, session_id, client_of)
        assert wait_s == pytest.approx(1, abs=0.01)
    assert refusal(paced.check_record_of, "3", client_of) is None
    assert refusal(paced.check_record_of, "4", client_of) is None
    clock.now_s += 1.01
    assert refusal(paced.check_record_of, "1", client_of) is None
    paced.record_of("did:example:a")
    assert refusal(paced.check_record_of, "2", client_of) == pytest.approx(1, abs=0.02)


def assert_bounded(call: Callable[..., None], one: object, other: object, clock: Clock) -> None:
    assert [refusal(call, one) for _ in range(2)] == [None, None]
    assert refusal(call, one) == pytest.approx(1, abs=0.01)
    assert refusal(call, other) is None, "each has its own"
    clock.now_s += 1
    assert refusal(call, one) is None
    assert refusal(call, one) is not None


def test_each_kind_has_its_own_tokens(paced: Pacing) -> None:
    one = scope("192.0.2.1")
    for call in (paced.request, paced.handshake):
        assert [refusal(call, one) is None for _ in range(3)] == [True, True, False]


def test_a_batch_costs_more(paced: Pacing) -> None:
    one = scope("192.0.2.1")
    assert refusal(paced.request, one, 1.5) is None
    assert refusal(paced.request, one, 1) is not None
    assert refusal(paced.request, one, 0.5) is None


def test_who_fails_too_often_is_turned_away_for_a_while(paced: Pacing, clock: Clock) -> None:
    one, other = scope("192.0.2.1"), scope("192.0.2.2")
    assert refusal(paced.check, one) is None
    for _ in range(2):
        paced.failed(one)
        assert refusal(paced.check, one) is None, "it could still pay"
    assert refusal(paced.failed, one) is not None
    assert refusal(paced.check, one) == pytest.approx(1, abs=0.01)
    assert refusal(paced.check, other) is None
    clock.now_s += 1.01
    assert refusal(paced.check, one) is None
    assert not paced._away_until_s


def test_those_who_are_turned_away_take_bounded_memory(
    paced: Pacing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "MAX_AWAY_COUNT", 10)
    for number in range(100):
        one = scope(f"192.0.2.{number}")
        for _ in range(3):
            refusal(paced.failed, one)
        assert refusal(paced.check, one) is not None
        assert len(paced._away_until_s) <= 10


def test_without_the_feature_nothing_is_refused(tmp_path: Path) -> None:
    settings = gateway_settings(tmp_path, {**LIMITS, "features.rate_limiting": False})
    paced = Pacing(settings)
    for call, one, _ in calls(paced).values():
        assert [refusal(call, one) for _ in range(10)] == [None] * 10
    assert refusal(paced.check, scope("192.0.2.1")) is None
    for _ in range(10):
        paced.record_of("did:example:a")
        paced.handshake_of("did:example:a")
    assert refusal(paced.check_record_of, "1", {"1": "did:example:a"}.get) is None
    assert refusal(paced.check_handshake_of, "did:example:a") is None
