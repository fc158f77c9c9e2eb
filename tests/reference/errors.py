"""The error codes of the wire and the one exception that carries them.

Source: docs/protocol.md, "Errors on the wire".
"""

from __future__ import annotations

from typing import Final

STATUS_BY_CODE: Final[dict[str, int]] = {
    "malformed_request": 400,
    "invalid_did": 400,
    "invalid_key": 400,
    "unsupported_version": 400,
    "unsupported_suite": 400,
    "authentication_failed": 401,
    "stale_timestamp": 401,
    "challenge_required": 401,
    "replay_detected": 409,
    "rekey_required": 409,
    "payload_too_large": 413,
    "misdirected": 421,
}
"""The codes that the reference can raise, each with its HTTP status."""


class ProtocolError(Exception):
    """The other side broke the protocol; `code` is what the wire would say.

    `detail` is for the reader of a failing test and would never travel.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        if code not in STATUS_BY_CODE:
            raise AssertionError(f"not a code of the protocol: {code}")
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS_BY_CODE[self.code]


class LocalError(Exception):
    """The caller asked for something that its own state forbids; nothing went on the wire."""


def malformed(detail: str) -> ProtocolError:
    """Return the error for bytes that do not parse."""
    return ProtocolError("malformed_request", detail)


def unauthenticated(detail: str) -> ProtocolError:
    """Return the one answer for everything that must not be told apart."""
    return ProtocolError("authentication_failed", detail)
