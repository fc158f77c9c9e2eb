"""From an HTTP answer that is no success to the error that says so.

Whatever stands in it is unauthenticated: texts are cut short and shown as Python literals, numbers
are checked, and an answer that is no problem of this protocol is an ``UnexpectedAnswerError``.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from sage_client import errors
from sage_client.errors import ExchangeError, ProblemError, UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_client.commands import Reply

__all__ = ["error_of", "retry_after_s_of"]

PROBLEM = "application/problem+json"
MAX_DETAIL_LEN = 200
MAX_CHALLENGE_LEN = 8192
LARGEST_INTEGER = 2**53

KINDS: Mapping[str, type[ProblemError]] = {
    kind.code: kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type)
    and issubclass(kind, ProblemError)
    and kind.code
}


def error_of(reply: Reply, *, now_ms: int | None = None) -> ExchangeError:
    """Return the error that an unsuccessful reply stands for; it is not raised here.

    Args:
        reply: The reply.
        now_ms: The time; the clock is asked if it is left out.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    retry_after_s = retry_after_s_of(reply.retry_after, now_ms=now_ms)
    fields = _fields(reply)
    code = _code(fields)
    if not code or reply.status < 400:
        return UnexpectedAnswerError(
            _unexpected(reply), status=reply.status, retry_after_s=retry_after_s
        )
    kind = KINDS.get(code, ProblemError)
    text = f"the server refused with {code} ({reply.status}){_detail(fields)}"
    error = kind(text, code=code, status=reply.status, retry_after_s=retry_after_s)
    if isinstance(error, errors.StaleTimestampError):
        return _stale(error, fields, now_ms)
    if isinstance(error, errors.ChallengeRequiredError):
        return _challenged(error, fields, reply)
    return error


def retry_after_s_of(value: str | None, *, now_ms: int) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110 §10.2.3). None for anything else."""
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - now_ms / 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _fields(reply: Reply) -> dict[str, object]:
    if reply.media_type != PROBLEM:
        return {}
    try:
        fields = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _code(fields: dict[str, object]) -> str:
    kind = fields.get("type")
    if not isinstance(kind, str) or len(kind) > MAX_DETAIL_LEN:
        return ""
    code = kind.replace("/", ":").replace("#", ":").rsplit(":", 1)[-1]
    plain = code.isascii() and code.replace("_", "").isalnum() and code == code.lower()
    return code if plain else ""


def _detail(fields: dict[str, object]) -> str:
    detail = fields.get("detail")
    return f": {detail[:MAX_DETAIL_LEN]!r}" if isinstance(detail, str) and detail else ""


def _unexpected(reply: Reply) -> str:
    where = " (a redirect, which is not followed)" if 300 <= reply.status < 400 else ""
    kind = f"{reply.media_type[:64]!r}" if reply.media_type else "no media type"
    return (
        f"the answer is none of this protocol: status {reply.status}{where}, {kind}, "
        f"{len(reply.body)} bytes; check that the URL is a SAGE gateway's"
    )


def _stale(
    error: errors.StaleTimestampError, fields: dict[str, object], now_ms: int
) -> errors.StaleTimestampError:
    server_ms = fields.get("server_time_ms")
    if type(server_ms) is not int or not 0 <= server_ms < LARGEST_INTEGER:
        server_ms = None
    says = "does not say its time" if server_ms is None else f"says {_moment(server_ms)}"
    off = "" if server_ms is None else f", {abs(now_ms - server_ms) / 1000:.0f} s apart"
    stale = errors.StaleTimestampError(
        f"the clocks differ by more than a minute: the server {says}, "
        f"this machine's clock says {_moment(now_ms)}{off}; set the clock that is wrong",
        code=error.code,
        status=error.status,
    )
    stale.server_time_ms, stale.client_time_ms = server_ms, now_ms
    return stale


def _moment(time_ms: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_ms // 1000))
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"


def _challenged(
    error: errors.ChallengeRequiredError, fields: dict[str, object], reply: Reply
) -> ExchangeError:
    text = fields.get("challenge")
    challenge = _base64url(text) if isinstance(text, str) else b""
    if not challenge:
        return UnexpectedAnswerError(
            "the server asks for a challenge and sends none that can be read", status=reply.status
        )
    error.challenge = challenge
    return error


def _base64url(text: str) -> bytes:
    if len(text) > MAX_CHALLENGE_LEN or not text.isascii():
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
