"""JSON that has one meaning."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sage_native.gateway.problems import ProblemError
from sage_native.gateway.strict_json import decode_strictly
from sage_native.gateway.wire import Registration, VerificationBatch, from_unpadded, unpadded


class Item(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int = 0


class Box(msgspec.Struct, forbid_unknown_fields=True):
    items: list[Item]
    notes: dict[str, Any] = {}


GOOD = {
    b'{"items":[]}': Box([]),
    b' {"items" : [ {"name":"a"} ] } \n': Box([Item("a")]),
    b'{"items":[{"name":"a"},{"name":"a"}]}': Box([Item("a"), Item("a")]),
    '{"items":[{"name":"é\\u00e9\\ud83d\\ude00","count":-1}]}'.encode(): Box([Item("éé😀", -1)]),
    b'{"items":[],"notes":{"a":{"a":1.5},"b":null}}': Box([], {"a": {"a": 1.5}, "b": None}),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_read(text: bytes) -> None:
    assert decode_strictly(text, Box) == GOOD[text]


BAD = (
    *(b"", b" ", b"null", b"[]", b"1", b'"a"', b"{}", b"{", b'{"items":[]', b'{"items":[],}'),
    *(b'{"items":[]}x', b'{"items":[]}{}', b'{"items":[]}\0', b'\xef\xbb\xbf{"items":[]}'),
    *(b"{'items':[]}", b'{"items":[]}//', b"{items:[]}", b'{"items":null}', b'{"Items":[]}'),
    *(b'{"items":[],"items":[]}', b'{"items":[],"\\u0069tems":[]}', b'{"items":[],"x":1}'),
    *(b'{"items":[{"name":"a","name":"b"}]}', b'{"items":[{"name":1}]}', b'{"items":[{}]}'),
    *(b'{"items":[{"name":"a","count":1.0}]}', b'{"items":[{"name":"a","count":true}]}'),
    *(b'{"items":[{"name":"a","count":"1"}]}', b'{"items":[{"name":"a","count":01}]}'),
    *(b'{"items":[{"name":"a","count":' + b"9" * 5_000 + b"}]}", b'{"items":[{"name":"\\ud800"}]}'),
    *(b'{"items":[{"name":"\xff"}]}', b'{"items":[{"name":"\xed\xa0\x80"}]}', b'{"\xff":1}'),
    *(b'{"items":[{"name":"a\nb"}]}', b'{"items":[{"name":"\\x41"}]}'),
    *(b'{"items":[],"notes":{"a":NaN}}', b'{"items":[],"notes":{"a":-Infinity}}'),
    *(b'{"items":[],"notes":{"a":{"b":1,"b":1}}}', b'{"items":[],"notes":{"a":[{"b":1,"b":2}]}}'),
    b'{"items":[],"notes":{"a":' + b"9" * 5_000 + b"}}",
    '{"items":[]}'.encode("utf-16"),
    *(opening * 100_000 for opening in (b"[", b'{"a":', b'{"items":[', b'{"notes":{"a":')),
    b'{"items":[],"notes":{"a":' + b"[" * 100_000,
    b'{"items":[],"notes":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
)


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:40]))
def test_what_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_strictly(text, Box)


def test_a_batch_has_1_to_1000_items() -> None:
    item = b'{"public_key":"","message":"","signature":""}'
    for count, fits in ((0, False), (1, True), (1000, True), (1001, False)):
        text = b'{"items":[' + b",".join([item] * count) + b"]}"
        if fits:
            assert len(decode_strictly(text, VerificationBatch).items) == count
        else:
            with pytest.raises(msgspec.MsgspecError):
                decode_strictly(text, VerificationBatch)


@pytest.mark.parametrize(
    ("members", "fits"),
    [
        ('"keys":["a"]', True),
        ('"keys":[]', False),
        ('"keys":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"]', True),
        ('"keys":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"]', False),
        ('"keys":["a"],"owner":"a tenant\\n"', True),
        ('"keys":["a"],"owner":"a\\u0000b"', False),
        (f'"keys":["a"],"owner":"{"x" * 256}"', True),
        (f'"keys":["a"],"owner":"{"x" * 257}"', False),
        ('"keys":["a"],"owner":null', False),
        ('"keys":["a"],"revoked_ms":1', False),
    ],
)
def test_registrations(members: str, *, fits: bool) -> None:
    text = f'{{"did":"did:example:a",{members}}}'.encode()
    if fits:
        assert decode_strictly(text, Registration).did == "did:example:a"
    else:
        with pytest.raises(msgspec.MsgspecError):
            decode_strictly(text, Registration)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"ab", b"abc", b"\xff\xfe\xfd\xfc", bytes(range(256))]
)
def test_bytes_have_one_spelling(data: bytes) -> None:
    text = unpadded(data)
    assert from_unpadded(text) == data
    others = {text + "=", text + "==", text + "\n", " " + text, text + "A" * (len(text) % 4 == 0)}
    if len(text) % 4 in {2, 3}:
        others.add(text[:-1] + chr(ord(text[-1]) + 1))
    for other in others - {text}:
        with pytest.raises(ProblemError, match="malformed_request"):
            from_unpadded(other)


@pytest.mark.parametrize(
    "text", ["+/==", "+A", "é", "\ud800", "A", "AAAAA", "\uff21A", "A A", "%41"]
)
def test_what_is_no_base64url(text: str) -> None:
    with pytest.raises(ProblemError, match="malformed_request"):
        from_unpadded(text)
