"""Requests and answers of HTTP/1.1 as bytes, as much of it as the benchmarks need."""

from __future__ import annotations

from typing import NamedTuple

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class WrongAnswerError(Exception):
    """A server answered something else than it should: the run has failed."""


class Answer(NamedTuple):
    """One answer."""

    status: int
    body: bytes

    def expect(self, status: int) -> bytes:
        """Return the body of an answer with this status.

        Raises:
            WrongAnswerError: It has another one.
        """
        if self.status != status:
            raise WrongAnswerError(f"status {self.status} instead of {status}: {self.body[:300]!r}")
        return self.body


def post(target: str, body: bytes, content_type: str) -> bytes:
    """Return a POST request that keeps its connection."""
    head = (
        f"POST {target} HTTP/1.1\r\nhost: bench\r\n"
        f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def get(target: str) -> bytes:
    """Return a GET request that keeps its connection."""
    return f"GET {target} HTTP/1.1\r\nhost: bench\r\n\r\n".encode("ascii")


def take(received: bytes) -> Answer | None:
    """Return the answer that was received, None if it is not complete.

    Raises:
        WrongAnswerError: It is no answer of a known length, or more than one.
    """
    end = received.find(_END)
    if end < 0:
        return None
    status = received[9:12]
    if not (received.startswith(b"HTTP/1.1 ") and status.isdigit()):
        raise WrongAnswerError(f"not an answer: {received[:100]!r}")
    body = received[end + 4 :]
    missing_len = _length(received[: end + 2], status) - len(body)
    if missing_len > 0:
        return None
    if missing_len < 0:
        raise WrongAnswerError(f"{-missing_len} bytes follow the answer: {received[:200]!r}")
    return Answer(int(status), body)


def _length(head: bytes, status: bytes) -> int:
    head = head.lower()
    start = head.find(_LENGTH)
    if start < 0:
        if status == b"204":
            return 0
        raise WrongAnswerError(f"an answer without a length: {head[:200]!r}")
    start += len(_LENGTH)
    return int(head[start : head.index(b"\r", start)])
