"""Refusals as a gateway writes them, and as anybody may."""

from __future__ import annotations

import json

import pytest
from sage_native.exceptions import UsageError

from sage_client import ClientSettings, errors
from sage_client.commands import Reply
from sage_client.problems import KINDS, error_of, retry_after_s_of

NOW_MS = 1_800_000_000_000
PROBLEM = "application/problem+json"
# docs/protocol.md, "Errors on the wire", and whether the same may be tried again later.
CODES = {
    "authentication_failed": False,
    "stale_timestamp": False,
    "malformed_request": False,
    "invalid_did": False,
    "invalid_key": False,
    "unsupported_version": False,
    "unsupported_suite": False,
    "misdirected": False,
    "replay_detected": False,
    "rekey_required": False,
    "payload_too_large": False,
    "rate_limited": True,
    "overloaded": True,
    "store_unavailable": True,
    "store_full": True,
    "key_unavailable": True,
}


def refusal(status: int = 400, retry_after: str | None = None, **fields: object) -> Reply:
    return Reply(status, PROBLEM, json.dumps(fields).encode(), retry_after)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("prefix", ["urn:sage:problem:", "https://x.example/problems/", "x#", ""])
def test_every_code_has_its_error(code: str, prefix: str) -> None:
    error = error_of(refusal(503, "3", type=prefix + code), now_ms=NOW_MS)
    assert type(error) is KINDS[code]
    assert isinstance(error, errors.ProblemError)
    assert (error.code, error.status) == (code, 503)
    assert error.retriable is CODES[code]
    assert error.sent
    if code != "stale_timestamp":
        assert error.retry_after_s == 3


def test_a_code_of_later_days() -> None:
    error = error_of(refusal(418, type="urn:sage:problem:teapot", detail="short"))
    assert type(error) is errors.ProblemError
    assert (error.code, error.status) == ("teapot", 418)
    assert "teapot (418): 'short'" in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        refusal(400),
        refusal(400, type=7),
        refusal(400, type="urn:sage:problem:Not A Code"),
        refusal(400, type="x" * 10_000),
        refusal(200, type="urn:sage:problem:overloaded"),
        refusal(302, type="urn:sage:problem:overloaded"),
        Reply(400, PROBLEM, b"[]"),
        Reply(400, PROBLEM, b"{"),
        Reply(400, PROBLEM, b"\xff"),
        Reply(400, PROBLEM, b"[" * 16_000),
        Reply(400, "text/html", b'{"type":"urn:sage:problem:overloaded"}'),
        Reply(404, "", b""),
    ],
)
def test_answers_that_are_no_problems(reply: Reply) -> None:
    error = error_of(reply)
    assert type(error) is errors.UnexpectedAnswerError
    assert error.status == reply.status
    assert not error.retriable
    assert len(str(error)) < 300


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_proxies_say_may_be_tried_again(status: int) -> None:
    error = error_of(Reply(status, "text/html", b"", "2"))
    assert (error.retriable, error.retry_after_s) == (True, 2)


def test_texts_from_outside_are_cut_and_quoted() -> None:
    detail = "\x1b[31m" + "x" * 10_000
    text = str(error_of(refusal(type="overloaded", detail=detail)))
    assert "\x1b" not in text
    assert len(text) < 400


@pytest.mark.parametrize("time_ms", [None, "now", -1, 2**60, True, 1.5])
def test_a_clock_that_cannot_be_read(time_ms: object) -> None:
    error = error_of(refusal(type="stale_timestamp", server_time_ms=time_ms), now_ms=NOW_MS)
    assert isinstance(error, errors.StaleTimestampError)
    assert (error.server_time_ms, error.client_time_ms) == (None, NOW_MS)
    assert "does not say its time" in str(error)


def test_both_clocks_are_told() -> None:
    reply = refusal(401, type="stale_timestamp", server_time_ms=NOW_MS + 90_000)
    error = error_of(reply, now_ms=NOW_MS)
    assert "says 2027-01-15 08:01:30 UTC" in str(error)
    assert "this machine's clock says 2027-01-15 08:00:00 UTC, 90 s apart" in str(error)


@pytest.mark.parametrize("challenge", [None, "", 7, "A", "AA=A", "ä", "A" * 10_000])
def test_a_challenge_that_cannot_be_read(challenge: object) -> None:
    error = error_of(refusal(401, type="challenge_required", challenge=challenge))
    assert type(error) is errors.UnexpectedAnswerError


def test_a_challenge() -> None:
    error = error_of(refusal(401, type="challenge_required", challenge="_-8"))
    assert isinstance(error, errors.ChallengeRequiredError)
    assert error.challenge == b"\xff\xef"


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0),
        (" 17 ", 17),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 100, None),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
    ],
)
def test_retry_after(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s_of(value, now_ms=NOW_MS) == wait_s


@pytest.mark.parametrize(
    "settings", [{"timeout_s": 0}, {"attempts": 0}, {"backoff_s": -1}, {"total_s": float("nan")}]
)
def test_settings_that_make_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        ClientSettings(**settings)  # type: ignore[arg-type]
