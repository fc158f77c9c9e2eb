"""Errors as clients get them: the document, its headers, and what each exception becomes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sage_native import exceptions
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConfigurationError,
    ConflictError,
    ExpiredError,
    HandshakeError,
    KeyUnavailableError,
    OverloadedError,
    RateLimitedError,
    RekeyRequiredError,
    ReplayDetectedError,
    SageError,
    SessionStateError,
    StorageError,
    UsageError,
)
from sage_native.gateway.behind import BehindError, BehindTimeoutError, BehindUnavailableError
from sage_native.gateway.limits import (
    BodyTooLargeError,
    BodyTooSlowError,
    UnsupportedEncodingError,
)
from sage_native.gateway.problems import (
    PROBLEMS,
    RETRY_AFTER_S,
    ProblemError,
    problem,
    problem_of,
)

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


@pytest.mark.parametrize("code", PROBLEMS)
def test_documents(code: str) -> None:
    status, headers, body, told = problem(code)
    assert told == code
    names = [name for name, _ in headers]
    assert status == PROBLEMS[code][0]
    assert json.loads(body) == {
        "type": f"urn:sage:problem:{code}",
        "title": PROBLEMS[code][1],
        "status": status,
    }
    assert (b"content-type", b"application/problem+json") in headers
    assert (b"cache-control", b"no-store") in headers
    assert len(set(names)) == len(names)
    assert (b"retry-after" in names) == (status in {429, 503}), "who may come again is told when"
    assert (b"www-authenticate" in names) == (code == "unauthorized")


def test_every_code_of_the_protocol_is_answered_with_its_status() -> None:
    table = PROTOCOL.read_text().partition("## Errors on the wire")[2]
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", table, re.MULTILINE)
    assert len(rows) == 17
    for code, status in rows:
        assert PROBLEMS[code][0] == int(status), code


@pytest.mark.parametrize(
    ("wait_s", "shown"), [(0.0001, b"1"), (1, b"1"), (1.2, b"2"), (0, b"1"), (3600, b"3600")]
)
def test_times_to_wait_are_whole_seconds(wait_s: float, shown: bytes) -> None:
    headers = dict(problem("rate_limited", retry_after_s=wait_s).headers)
    assert headers[b"retry-after"] == shown


def test_further_headers_and_members() -> None:
    answer = problem("method_not_allowed", headers=((b"allow", b"GET"),), server_time_ms=5)
    assert (b"allow", b"GET") in answer.headers
    assert json.loads(answer.body)["server_time_ms"] == 5


CODES = [
    (AuthenticationError("x"), "authentication_failed"),
    (ReplayDetectedError("x"), "replay_detected"),
    (ExpiredError("x"), "authentication_failed"),
    (SessionStateError("x"), "authentication_failed"),
    (RekeyRequiredError("x"), "rekey_required"),
    (HandshakeError("x"), "malformed_request"),
    (HandshakeError("x", "invalid_key"), "invalid_key"),
    (HandshakeError("x", "stale_timestamp"), "stale_timestamp"),
    (HandshakeError("x", "challenge_required"), "challenge_required"),
    (CapacityError("x"), "store_full"),
    (RateLimitedError("x"), "rate_limited"),
    (OverloadedError("x", 7.5), "overloaded"),
    (StorageError("x"), "store_unavailable"),
    (ConflictError("x"), "store_unavailable"),
    (KeyUnavailableError("x"), "key_unavailable"),
    (BodyTooLargeError("x"), "payload_too_large"),
    (BodyTooSlowError("x"), "request_timeout"),
    (UnsupportedEncodingError("x"), "unsupported_media_type"),
    (BehindUnavailableError("x", delivered=True), "upstream_unavailable"),
    (BehindTimeoutError("x", delivered=True), "upstream_timeout"),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=str)
def test_what_an_exception_becomes(error: SageError, code: str) -> None:
    answer = problem_of(error)
    assert answer is not None
    assert answer.status == PROBLEMS[code][0]
    assert json.loads(answer.body)["type"] == f"urn:sage:problem:{code}"


def test_what_an_exception_says_stays_here() -> None:
    for error, code in CODES:
        answer = problem_of(error)
        assert answer is not None
        assert answer.body == problem(code).body, "two refusals of one code are the same bytes"


def test_a_stale_timestamp_tells_the_time() -> None:
    answer = problem_of(HandshakeError("x", "stale_timestamp", server_time_ms=1_800_000_000_000))
    assert answer is not None
    assert json.loads(answer.body)["server_time_ms"] == 1_800_000_000_000


def test_a_challenge_is_spelt_without_padding() -> None:
    answer = problem_of(HandshakeError("x", "challenge_required", challenge=b"\xff" * 25))
    assert answer is not None
    text = json.loads(answer.body)["challenge"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{34}", text)


def test_an_overload_tells_when_to_come_again() -> None:
    answer = problem_of(OverloadedError("x", 7.5))
    assert answer is not None
    assert dict(answer.headers)[b"retry-after"] == b"8"


@pytest.mark.parametrize("error", [UsageError("x"), ConfigurationError("x"), SageError("x")])
def test_our_own_faults_are_nobodys_business(error: SageError) -> None:
    assert problem_of(error) is None


def subclasses(kind: type[SageError]) -> list[type[SageError]]:
    children: list[type[SageError]] = kind.__subclasses__()
    return [one for child in children for one in (child, *subclasses(child))]


def test_every_exception_with_a_code_has_a_problem() -> None:
    coded = {
        kind.code
        for kind in subclasses(SageError)
        if kind.__module__.startswith("sage_native") and hasattr(kind, "code")
    }
    assert coded >= {one.code for one in vars(exceptions).values() if hasattr(one, "code")}
    assert BehindError.code in coded
    assert coded <= set(PROBLEMS)
    assert set(RETRY_AFTER_S) <= set(PROBLEMS)


def test_a_refusal_of_an_endpoint() -> None:
    error = ProblemError("rate_limited", retry_after_s=2.5, headers=((b"x-a", b"b"),))
    assert error.answer() == problem("rate_limited", retry_after_s=2.5, headers=((b"x-a", b"b"),))
    assert str(error) == "rate_limited"
