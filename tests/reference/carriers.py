"""The JSON carriers, strict in both directions.

JSON is never hashed or signed; it only carries fields. Insignificant whitespace and escapes are
JSON's own freedom and are accepted; everything that gives one value two readings is not.
Source: docs/protocol.md, "JSON carriers"; RFC 8259; RFC 4648 section 5.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final, NoReturn

from . import dids
from .errors import ProtocolError, malformed
from .messages import (
    M1,
    M2,
    MAX_HANDSHAKE_LEN,
    R1,
    R2,
    VERSION,
    Accept,
    Confirm,
    Initiate,
    RekeyReply,
    check_suites,
    session_id_bytes,
    session_id_text,
)

MAX_INTEGER: Final = 2**53 - 1
"""Integers on a JSON carrier are 0..2^53 - 1."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def to_base64url(data: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Decode the one canonical spelling; padding, ``+/``, spaces and stray bits are refused."""
    if _BASE64URL.fullmatch(text) is None or len(text) % 4 == 1:
        raise malformed("base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise malformed("base64url with non-zero trailing bits")
    return data


def parse_object(body: bytes) -> dict[str, object]:
    """Parse one JSON object and nothing else.

    Refused: more than 16 KiB (``payload_too_large``); byte order mark, invalid UTF-8, lone
    surrogates, duplicate keys at any depth, floats, ``NaN``, negative or too large integers,
    nesting beyond the parser's stack, trailing bytes (all ``malformed_request``).
    """
    if len(body) > MAX_HANDSHAKE_LEN:
        raise ProtocolError("payload_too_large", f"{len(body)} bytes")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        _refuse_lone_surrogates(value)
    except (ValueError, RecursionError) as error:
        raise malformed("not JSON") from error
    if not isinstance(value, dict):
        raise malformed("not an object")
    return value


def _refuse_lone_surrogates(value: object) -> None:
    """Raise ValueError for a string with half of a surrogate pair, which is no character."""
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_lone_surrogates(name)
            _refuse_lone_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_lone_surrogates(item)
    elif isinstance(value, str):
        value.encode("utf-8")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise malformed("duplicate key")
    return fields


def _integer(text: str) -> int:
    if text.startswith("-") or len(text) > len(str(MAX_INTEGER)) or int(text) > MAX_INTEGER:
        raise malformed("integer out of range")
    return int(text)


def _refuse_number(text: str) -> NoReturn:
    raise malformed(f"not an integer: {text[:20]}")


class Fields:
    """Takes typed fields out of an object; what is left at the end was unknown."""

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = dict(fields)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def take(self, name: str) -> object:
        """Return a field that must be there."""
        if name not in self._fields:
            raise malformed(f"{name} is missing")
        return self._fields.pop(name)

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.take(name)
        if not isinstance(value, str):
            raise malformed(f"{name} is not a string")
        return value

    def did(self, name: str) -> str:
        """Return a DID."""
        return dids.parse(self.text(name).encode("utf-8"))

    def uint(self, name: str, bits: int = 53) -> int:
        """Return an integer below 2^bits."""
        return _as_uint(self.take(name), name, bits)

    def uint_list(self, name: str, bits: int) -> tuple[int, ...]:
        """Return a list of integers below 2^bits."""
        value = self.take(name)
        if not isinstance(value, list):
            raise malformed(f"{name} is not a list")
        return tuple(_as_uint(item, name, bits) for item in value)

    def data(self, name: str, length: int | None = None) -> bytes:
        """Return bytes, exactly `length` of them unless None."""
        value = from_base64url(self.text(name))
        if length is not None and len(value) != length:
            raise malformed(f"{name} has {len(value)} bytes, not {length}")
        return value

    def optional_data(self, name: str) -> bytes:
        """Return bytes; an absent field is empty."""
        return self.data(name) if name in self._fields else b""

    def finish(self) -> None:
        """Refuse unknown fields."""
        if self._fields:
            raise malformed(f"unknown fields {sorted(self._fields)!r}")


def _as_uint(value: object, name: str, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value >= 1 << bits:
        raise malformed(f"{name} is not an integer below 2^{bits}")
    return value


def _dump(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def encode_initiate(message: Initiate) -> bytes:
    """Return M1 as JSON."""
    m1 = message.m1
    fields: dict[str, object] = {
        "version": m1.version,
        "suites": list(m1.suites),
        "client_did": m1.client_did,
        "client_public_key": to_base64url(m1.client_public_key),
        "server_did": m1.server_did,
        "server_public_key": to_base64url(m1.server_public_key),
        "client_ephemeral_key": to_base64url(m1.client_key_share),
        "nonce": to_base64url(m1.nonce),
        "timestamp": m1.timestamp_ms,
    }
    if m1.challenge:
        fields["challenge"] = to_base64url(m1.challenge)
    if m1.channel_binding:
        fields["channel_binding"] = to_base64url(m1.channel_binding)
    fields["signature"] = to_base64url(message.signature)
    return _dump(fields)


def decode_initiate(body: bytes) -> Initiate:
    """Parse M1; the version is looked at before any other field."""
    fields = Fields(parse_object(body))
    version = fields.uint("version")
    if version != VERSION:
        raise ProtocolError("unsupported_version", str(version))
    m1 = M1(
        suites=fields.uint_list("suites", 16),
        client_did=fields.did("client_did"),
        client_public_key=fields.data("client_public_key", 32),
        server_did=fields.did("server_did"),
        server_public_key=fields.data("server_public_key", 32),
        client_key_share=fields.data("client_ephemeral_key"),
        nonce=fields.data("nonce", 32),
        timestamp_ms=fields.uint("timestamp"),
        challenge=fields.optional_data("challenge"),
        channel_binding=fields.optional_data("channel_binding"),
    )
    check_suites(m1.suites)
    message = Initiate(m1, fields.data("signature", 64))
    fields.finish()
    return message


def encode_accept(message: Accept) -> bytes:
    """Return M2 as JSON."""
    m2 = message.m2
    return _dump(
        {
            "suite": m2.suite,
            "session_id": session_id_text(m2.session_id),
            "server_did": message.server_did,
            "server_ephemeral_key": to_base64url(m2.server_key_share),
            "server_nonce": to_base64url(m2.server_nonce),
            "expires_at": m2.expires_at_ms,
            "idle_timeout": m2.idle_timeout_s,
            "signature": to_base64url(message.signature),
            "confirmation": to_base64url(message.confirmation),
        }
    )


def decode_accept(body: bytes) -> Accept:
    """Parse M2."""
    fields = Fields(parse_object(body))
    message = Accept(
        server_did=fields.did("server_did"),
        m2=M2(
            suite=fields.uint("suite", 16),
            session_id=session_id_bytes(fields.text("session_id")),
            server_key_share=fields.data("server_ephemeral_key"),
            server_nonce=fields.data("server_nonce", 32),
            expires_at_ms=fields.uint("expires_at"),
            idle_timeout_s=fields.uint("idle_timeout", 32),
        ),
        signature=fields.data("signature", 64),
        confirmation=fields.data("confirmation", 32),
    )
    fields.finish()
    return message


def encode_confirm(message: Confirm) -> bytes:
    """Return M3 as JSON."""
    fields: dict[str, object] = {
        "session_id": session_id_text(message.session_id),
        "confirmation": to_base64url(message.confirmation),
    }
    if message.signature:
        fields["signature"] = to_base64url(message.signature)
    return _dump(fields)


def decode_confirm(body: bytes) -> Confirm:
    """Parse M3."""
    fields = Fields(parse_object(body))
    message = Confirm(
        session_id=session_id_bytes(fields.text("session_id")),
        confirmation=fields.data("confirmation", 32),
        signature=fields.data("signature", 64) if "signature" in fields else b"",
    )
    fields.finish()
    return message


def encode_r1(message: R1) -> bytes:
    """Return R1 as JSON."""
    return _dump(_r1_fields(message))


def decode_r1(body: bytes) -> R1:
    """Parse R1."""
    return _read_r1(parse_object(body))


def encode_rekey_reply(message: RekeyReply) -> bytes:
    """Return R2 as JSON, with ``adopted`` when another R1 was committed."""
    fields: dict[str, object] = {
        "nonce": to_base64url(message.r2.nonce),
        "mac": to_base64url(message.r2.mac),
    }
    if message.adopted:
        fields["adopted"] = _r1_fields(message.adopted)
    return _dump(fields)


def decode_rekey_reply(body: bytes) -> RekeyReply:
    """Parse R2."""
    fields = Fields(parse_object(body))
    r2 = R2(fields.data("nonce", 32), fields.data("mac", 32))
    adopted = None
    if "adopted" in fields:
        value = fields.take("adopted")
        if not isinstance(value, dict):
            raise malformed("adopted is not an object")
        adopted = _read_r1(value)
    fields.finish()
    return RekeyReply(r2, adopted)


def _r1_fields(message: R1) -> dict[str, object]:
    return {
        "session_id": session_id_text(message.session_id),
        "epoch": message.epoch,
        "nonce": to_base64url(message.nonce),
        "mac": to_base64url(message.mac),
    }


def _read_r1(value: dict[str, object]) -> R1:
    fields = Fields(value)
    message = R1(
        session_id=session_id_bytes(fields.text("session_id")),
        epoch=fields.uint("epoch", 32),
        nonce=fields.data("nonce", 32),
        mac=fields.data("mac", 32),
    )
    fields.finish()
    return message
