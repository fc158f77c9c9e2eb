"""Negative cases for the JSON carriers.

Source: docs/protocol.md, "JSON carriers"; SECURITY, "Encoding, HTTP, resources".
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.reference import carriers
from tests.reference.feed import Item
from tests.reference.messages import RekeyReply
from tests.reference.setups import NOW_MS, Situation, derived_bytes

from .case import Case
from .negative_initiate import base, signed
from .situations import SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.reference.messages import R1, Confirm

MALFORMED = "malformed_request"


def build() -> Iterator[Case]:
    """Return all cases for JSON."""
    yield Case("JSON M1", "server", _item(_text()), None, "the unchanged carrier is accepted")
    yield from _documents()
    yield from _fields()
    yield from _numbers()
    yield from _strings()
    yield from _freedoms()
    yield from _other_messages()


def _item(text: str | bytes, kind: str = "initiate.json") -> Item:
    return Item(kind, text if isinstance(text, bytes) else text.encode(), NOW_MS)


def _good() -> dict[str, object]:
    fields: dict[str, object] = json.loads(carriers.encode_initiate(signed(base())))
    return fields


def _text(**changes: object) -> str:
    """Return the good carrier with fields changed; None drops a field."""
    fields = {name: value for name, value in (_good() | changes).items() if value is not None}
    return json.dumps(fields, separators=(",", ":"))


def _raw(name: str, literal: str) -> str:
    """Return the good carrier with the value of a field replaced by a literal."""
    marker = "@@literal@@"
    return _text(**{name: marker}).replace(f'"{marker}"', literal)


def _documents() -> Iterator[Case]:
    good = _text()
    for title, text in (
        ("empty body", b""),
        ("only white space", b" \n"),
        ("byte order mark", b"\xef\xbb\xbf" + good.encode()),
        ("UTF-16", good.encode("utf-16-le")),
        ("trailing byte", good + "x"),
        ("trailing NUL", good + "\0"),
        ("two objects", good + good),
        ("trailing comma", good[:-1] + ",}"),
        ("truncated", good[:-1]),
        ("leading garbage", ")]}'" + good),
        ("line comment", good + "// end"),
        ("block comment", "/* */" + good),
        ("single quotes", good.replace('"', "'")),
        ("not separated by JSON white space", "\u00a0" + good),
        ("form feed around", "\f" + good),
        ("an array", f"[{good}]"),
        ("an array of the values", json.dumps(list(_good().values()))),
        ("a string", json.dumps(good)),
        ("null", "null"),
        ("8,000 open arrays", "[" * 8_000),
        ("8,000 nested arrays", "[" * 8_000 + "]" * 8_000),
        ("2,500 nested objects", '{"a":' * 2_500 + "1" + "}" * 2_500),
        ("deep nesting in a field", _raw("nonce", "[" * 5_000 + "]" * 5_000)),
        ("deep nesting in an unknown field", _raw("extra", "[" * 5_000 + "]" * 5_000)),
        ("the binary carrier", signed(base()).encode()),
    ):
        yield Case(f"JSON: {title}", "server", _item(text), MALFORMED)
    padded = good + " " * (16 * 1024 + 1 - len(good))
    yield Case("JSON: 16 KiB and one byte", "server", _item(padded), "payload_too_large")
    yield Case("JSON: exactly 16 KiB", "server", _item(padded[:-1]), None)


def _fields() -> Iterator[Case]:
    good = _text()
    nonce = str(_good()["nonce"])
    for title, text in (
        ("duplicate key, same value", good[:-1] + f',"nonce":"{nonce}"}}'),
        ("duplicate key, other value", good[:-1] + f',"nonce":"{"A" * 43}"}}'),
        ("duplicate key, first in the object", f'{{"version":1,{good[1:]}'),
        ("duplicate key through an escape", good[:-1] + f',"\\u006eonce":"{nonce}"}}'),
        ("unknown field", _text(extra=1)),
        ("unknown field that differs in case", _text(Nonce=nonce)),
        ("field of the binary form", _text(client_key_share=_good()["client_ephemeral_key"])),
        ("duplicate keys inside an unknown field", good[:-1] + ',"x":{"a":1,"a":2}}'),
        ("empty key", good[:-1] + ',"":1}'),
        ("null for an optional field", _raw("challenge", "null")),
        ("null for a required field", _raw("nonce", "null")),
        ("object for a string", _raw("nonce", "{}")),
        ("array for a string", _raw("nonce", "[]")),
        ("number for a string", _raw("client_did", "1")),
        ("suites not a list", _raw("suites", "1")),
        ("suites a string", _raw("suites", '"1"')),
        ("suites an object", _raw("suites", '{"0":1}')),
        ("suites empty", _raw("suites", "[]")),
        ("suites of five", _raw("suites", "[1,2,3,4,5]")),
        ("suites with duplicates", _raw("suites", "[1,1]")),
        ("suites with a string", _raw("suites", '["1"]')),
        ("suites with a float", _raw("suites", "[1.0]")),
        ("suites with a boolean", _raw("suites", "[true]")),
        ("suites with 65,536", _raw("suites", "[1,65536]")),
        ("suites with a list", _raw("suites", "[[1]]")),
    ):
        yield Case(f"JSON: {title}", "server", _item(text), MALFORMED)
    for name in _good():
        yield Case(f"JSON: {name} missing", "server", _item(_text(**{name: None})), MALFORMED)


def _numbers() -> Iterator[Case]:
    for literal in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e3",
        "1767225600000.0",
        "1.7672256e12",
        "1E0",
        "-1",
        "-0",
        "-0.0",
        "9007199254740992",
        "9223372036854775808",
        "18446744073709551616",
        "01",
        "+1",
        "0x10",
        "1_000",
        ".5",
        "5.",
        "true",
        "null",
        '"1767225600000"',
        "\u0661",
    ):
        text = _raw("timestamp", literal)
        yield Case(f"JSON: timestamp {literal!a}", "server", _item(text), MALFORMED)
    digits = "1" * 5_000
    yield Case("JSON: 5,000 digits", "server", _item(_raw("timestamp", digits)), MALFORMED)
    zeros = "1." + "0" * 5_000
    yield Case("JSON: 5,000 decimals", "server", _item(_raw("timestamp", zeros)), MALFORMED)
    in_unknown = _raw("suites", f"[1,{digits}]")
    yield Case("JSON: 5,000 digits as a suite", "server", _item(in_unknown), MALFORMED)
    largest = _raw("timestamp", "9007199254740991")
    yield Case(
        "JSON: timestamp 2^53 - 1", "server", _item(largest), "stale_timestamp", "a good integer"
    )
    seconds = _raw("timestamp", str(NOW_MS // 1000))
    yield Case("JSON: timestamp in seconds", "server", _item(seconds), "stale_timestamp")
    for literal in ("1.0", "true", '"1"', "[1]", "-1", "1e0"):
        text = _raw("version", literal)
        yield Case(f"JSON: version {literal}", "server", _item(text), MALFORMED)
    for literal in ("0", "2", "255", "256"):
        text = _raw("version", literal)
        yield Case(f"JSON: version {literal}", "server", _item(text), "unsupported_version")


def _strings() -> Iterator[Case]:
    nonce = base().nonce
    plus = b"\xfb\xef\xbe" + nonce[3:]
    padded = carriers.to_base64url(nonce)
    url_form = carriers.to_base64url(plus)
    assert "-" in url_form
    trailing = padded[:-1] + chr(ord(padded[-1]) + 1)
    surrogate_key = _text()[:-1] + ',"\\udfff":1}'
    for title, text in (
        ("base64 with padding", _text(nonce=padded + "=")),
        ("base64 with two pads", _text(signature=str(_good()["signature"]) + "==")),
        ("base64 with + and /", _text(nonce=url_form.replace("-", "+").replace("_", "/"))),
        ("base64 with a leading space", _text(nonce=" " + padded)),
        ("base64 with an inner space", _text(nonce=padded[:9] + " " + padded[9:])),
        ("base64 with a line end", _text(nonce=padded + "\n")),
        ("base64 with non-zero trailing bits", _text(nonce=trailing)),
        ("base64 of impossible length", _text(nonce=padded + "AA")),
        ("base64 with a NUL", _text(nonce=padded + "\0")),
        ("base64 with a full-width letter", _text(nonce="\uff21" + padded[1:])),
        ("hex for base64", _text(nonce=nonce.hex())),
        ("nonce of 31 bytes", _text(nonce=carriers.to_base64url(nonce[:31]))),
        ("nonce empty", _text(nonce="")),
        ("signature of 63 bytes", _text(signature=carriers.to_base64url(bytes(63)))),
        ("signature of 65 bytes", _text(signature=carriers.to_base64url(bytes(65)))),
        ("control character in a string", _raw("nonce", '"\n"')),
        ("unknown escape", _raw("nonce", '"\\x41"')),
        ("short escape", _raw("nonce", '"\\u41"')),
        ("lone high surrogate", _raw("nonce", '"\\ud800"')),
        ("lone low surrogate", _raw("nonce", '"\\udc00"')),
        ("surrogates in the wrong order", _raw("nonce", '"\\udc00\\ud800"')),
        ("lone surrogate as a key", surrogate_key),
        ("invalid UTF-8", _text().encode().replace(b"did:key", b"did\xff:key", 1)),
        ("surrogate in UTF-8", _text().encode().replace(b"did:key", b"did\xed\xa0\x80key", 1)),
        ("overlong UTF-8", _text().encode().replace(b"did:key", b"did\xc0\xbakey", 1)),
    ):
        yield Case(f"JSON: {title}", "server", _item(text), MALFORMED)
    for name in ("client_public_key", "server_public_key"):
        text = _text(**{name: carriers.to_base64url(bytes(31))})
        yield Case(
            f"JSON: {name} of 31 bytes", "server", _item(text), MALFORMED, also=("invalid_key",)
        )
    lone_did = _raw("client_did", '"did:example:\\ud800"')
    yield Case(
        "JSON: lone surrogate in a DID", "server", _item(lone_did), MALFORMED, also=("invalid_did",)
    )
    for literal in ('"did:example:\\u0000"', '"did:example:\\u00e9"', '""'):
        text = _raw("client_did", literal)
        yield Case(f"JSON: client_did {literal}", "server", _item(text), "invalid_did")


def _freedoms() -> Iterator[Case]:
    """Return what JSON leaves open and what must therefore be accepted."""
    fields = _good()
    reversed_order = json.dumps(dict(reversed(fields.items())))
    did = str(fields["client_did"]).replace(":", "\\u003a")
    for title, text in (
        ("fields in another order, spaces", reversed_order),
        ("white space around", "\r\n\t " + json.dumps(fields, indent=2) + "\n"),
        ("escapes in a string", _raw("client_did", f'"{did}"')),
        ("escapes in a key", _text().replace('"nonce"', '"\\u006eonce"')),
    ):
        yield Case(f"JSON: {title}", "server", _item(text), None)
    other = carriers.encode_initiate(signed(replace(base(), nonce=b"\xfb\xef\xbe" + bytes(29))))
    yield Case("JSON: base64url with - and _", "server", _item(other), None)


def _other_messages() -> Iterator[Case]:
    half_open = Situation(SETUPS["half-open"])
    confirm = half_open.initiator.confirm()
    yield from _confirm_cases(confirm)
    opened = Situation(SETUPS["open"])
    r1 = opened.client_session.rekey_request(derived_bytes("json rekey nonce"))
    yield from _r1_cases(r1)
    yield from _reply_cases()


def _confirm_cases(confirm: Confirm) -> Iterator[Case]:
    good = carriers.encode_confirm(confirm).decode()
    fields = json.loads(good)
    dashed = fields["session_id"]
    yield Case("JSON M3", "half-open", _item(good, "confirm.json"), None)
    for title, text in (
        ("session_id in upper case", good.replace(dashed, dashed.upper())),
        ("session_id without dashes", good.replace(dashed, dashed.replace("-", ""))),
        ("session_id in braces", good.replace(dashed, "{" + dashed + "}")),
        ("session_id as urn", good.replace(dashed, "urn:uuid:" + dashed)),
        ("session_id with a line end", good.replace(dashed, dashed + "\\n")),
        ("session_id in base64url", good.replace(dashed, "A" * 22)),
        ("duplicate key", good[:-1] + f',"session_id":"{dashed}"}}'),
        ("unknown field", good[:-1] + ',"x":1}'),
        ("signature of 63 bytes", good[:-1] + f',"signature":"{"A" * 84}"}}'),
        ("signature empty", good[:-1] + ',"signature":""}'),
        ("signature null", good[:-1] + ',"signature":null}'),
        ("an array of the values", json.dumps(list(fields.values()))),
        ("confirmation padded", good[:-2] + '="}'),
    ):
        yield Case(f"JSON M3: {title}", "half-open", _item(text, "confirm.json"), MALFORMED)
    wrong = good.replace(dashed, "00000000" + dashed[8:])
    yield Case(
        "JSON M3: another session",
        "half-open",
        _item(wrong, "confirm.json"),
        "authentication_failed",
    )


def _r1_cases(r1: R1) -> Iterator[Case]:
    good = carriers.encode_r1(r1).decode()
    yield Case("JSON R1", "open", _item(good, "r1.json"), None)
    for title, literal in (
        ("2^32", "4294967296"),
        ("-1", "-1"),
        ("0.0", "0.0"),
        ('"0"', '"0"'),
        ("false", "false"),
    ):
        text = good.replace('"epoch":0', f'"epoch":{literal}')
        yield Case(f"JSON R1: epoch {title}", "open", _item(text, "r1.json"), MALFORMED)
    extra = good[:-1] + ',"adopted":{}}'
    yield Case("JSON R1: unknown field", "open", _item(extra, "r1.json"), MALFORMED)
    largest = good.replace('"epoch":0', '"epoch":4294967295')
    yield Case(
        "JSON R1: epoch 2^32 - 1", "open", _item(largest, "r1.json"), "authentication_failed"
    )
    array = json.dumps(list(json.loads(good).values()))
    yield Case("JSON R1: an array of the values", "open", _item(array, "r1.json"), MALFORMED)


def _reply_cases() -> Iterator[Case]:
    name = "rekeying client"
    client = Situation(SETUPS[name]).client_session
    own = client.rekey_request(b"")
    r2 = client.mac_keys.make_r2(own, derived_bytes("json rekey nonce s"))
    other = client.mac_keys.make_r1(own.session_id, 0, derived_bytes("json other R1"))
    other_r2 = client.mac_keys.make_r2(other, derived_bytes("json rekey nonce s"))
    good = carriers.encode_rekey_reply(RekeyReply(r2)).decode()
    adopted = carriers.encode_rekey_reply(RekeyReply(other_r2, other)).decode()
    yield Case("JSON R2", name, _item(good, "rekey_reply.json"), None)
    yield Case("JSON R2 with adopted", name, _item(adopted, "rekey_reply.json"), None)
    fields = json.loads(adopted)
    values = json.dumps(list(json.loads(good).values()))
    for title, text in (
        ("an array of the values", values),
        ("adopted null", good[:-1] + ',"adopted":null}'),
        ("adopted false", good[:-1] + ',"adopted":false}'),
        ("adopted empty", good[:-1] + ',"adopted":{}}'),
        ("adopted a string", good[:-1] + ',"adopted":""}'),
        (
            "adopted an array of the values",
            json.dumps(fields | {"adopted": list(fields["adopted"].values())}),
        ),
        (
            "unknown field in adopted",
            json.dumps(fields | {"adopted": fields["adopted"] | {"x": 1}}),
        ),
        ("duplicate key in adopted", adopted[:-2] + ',"epoch":0}}'),
        ("mac padded", good[:-2] + '="}'),
        ("unknown field", good[:-1] + ',"x":1}'),
    ):
        yield Case(f"JSON R2: {title}", name, _item(text, "rekey_reply.json"), MALFORMED)
