"""Messages to bytes: always of known length, always whole."""

from __future__ import annotations

from sage_native.binary_http.messages import DEFAULT_LIMITS, Fields, Limits, Request, Response
from sage_native.binary_http.rules import flaw
from sage_native.exceptions import UsageError

__all__ = ["CONNECTION_FIELDS", "encode"]

CONNECTION_FIELDS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
"""Fields about one connection (RFC 9110 §7.6.1): a message that is none's holds none of them."""


def encode(
    message: Request | Response, *, padding_len: int = 0, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """Encode a message with known lengths.

    Args:
        message: The request or response.
        padding_len: How many zeros follow, to hide the length.
        limits: What is allowed; what a peer decodes with should allow as much.

    Returns:
        The framing indicator, the control data, headers, content and trailers, then the padding.

    Raises:
        UsageError: The message is not valid, beyond a limit, or holds a field that is about one
            connection, such as ``transfer-encoding``.

    Cost: about 20 µs for ten fields.
    Source: RFC 9292 §3.1 and §3.4 to §3.8.
    """
    if padding_len < 0:
        raise UsageError(f"padding_len is {padding_len}: it must not be negative")
    found = flaw(message, limits) or _connection_flaw(message)
    if found is not None:
        raise UsageError(f"binary HTTP: {found}")
    out = bytearray()
    if isinstance(message, Request):
        out.append(0)
        for part in (message.method, message.scheme, message.authority, message.path):
            _add_bytes(out, part.encode("ascii"))
    else:
        out.append(1)
        for informational in message.informational:
            _add_number(out, informational.status)
            _add_section(out, informational.headers)
        _add_number(out, message.status)
    _add_section(out, message.headers)
    _add_bytes(out, message.content)
    _add_section(out, message.trailers)
    out += bytes(padding_len)
    return bytes(out)


def _connection_flaw(message: Request | Response) -> str | None:
    sections = [message.headers, message.trailers]
    if isinstance(message, Response):
        sections += [informational.headers for informational in message.informational]
    for section in sections:
        for name, _ in section:
            if name in CONNECTION_FIELDS:
                return f"the field {name.decode()} is about one connection: leave it out"
    return None


def _add_number(out: bytearray, number: int) -> None:
    """Append a variable-length integer in its shortest form (RFC 9000 §16)."""
    if number < 1 << 6:
        out.append(number)
    elif number < 1 << 14:
        out += (number | 1 << 14).to_bytes(2, "big")
    else:  # Limits keep every length far below 2^30.
        out += (number | 2 << 30).to_bytes(4, "big")


def _add_bytes(out: bytearray, part: bytes) -> None:
    _add_number(out, len(part))
    out += part


def _add_section(out: bytearray, fields: Fields) -> None:
    section = bytearray()
    for name, value in fields:
        _add_bytes(section, name)
        _add_bytes(section, value)
    _add_bytes(out, bytes(section))
