"""Binary HTTP on random messages: there and back, cut anywhere, flipped anywhere, and noise."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from sage_native.binary_http import (
    Fields,
    Informational,
    Limits,
    Request,
    Response,
    decode_request,
    decode_response,
    encode,
)
from sage_native.exceptions import HandshakeError, UsageError

SIGNS = "!#$%&'*+-.^_`|~0123456789"
NAMES = st.text(SIGNS + "abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=70).map(str.encode)
VALUES = (
    st.lists(st.sampled_from([*range(0x20, 0x7F), 9, *range(0x80, 0x100)]), max_size=70)
    .map(bytes)
    .map(lambda value: value.strip(b" \t"))
)
FIELDS = st.lists(st.tuples(NAMES.filter(lambda name: name != b"te"), VALUES), max_size=4).map(
    tuple
)
CONTENT = st.binary(max_size=200) | st.integers(0, 20_000).map(bytes)
REQUESTS = st.builds(
    Request,
    method=st.text(SIGNS + "ABCXYZabcxyz", min_size=1, max_size=10),
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=80).map(
        lambda rest: "/" + rest
    ),
    scheme=st.sampled_from(["https", "http", "coap"]),
    authority=st.sampled_from(["", "example.org", "[::1]:80"]),
    headers=FIELDS,
    content=CONTENT,
    trailers=FIELDS,
)
RESPONSES = st.builds(
    Response,
    status=st.integers(200, 599),
    headers=FIELDS,
    content=CONTENT,
    trailers=FIELDS,
    informational=st.lists(
        st.builds(Informational, status=st.integers(100, 199), headers=FIELDS), max_size=3
    ).map(tuple),
)
MESSAGES = REQUESTS | RESPONSES
PADDINGS = st.integers(0, 70)


@given(message=MESSAGES, padding_len=PADDINGS)
@settings(deadline=None, max_examples=200)
def test_there_and_back(message: Request | Response, padding_len: int) -> None:
    assert decode(message, encode(message, padding_len=padding_len)) == message


@given(message=MESSAGES, padding_len=PADDINGS, data=st.data())
@settings(deadline=None, max_examples=200)
def test_indeterminate_length_means_the_same(
    message: Request | Response, padding_len: int, data: st.DataObject
) -> None:
    chunks: list[bytes] = []
    left = message.content
    while left:
        size = data.draw(st.integers(max(1, len(left) // 5), len(left)))
        chunks.append(left[:size])
        left = left[size:]
    wire = indeterminate(message, chunks) + bytes(padding_len)
    assert decode(message, wire) == message


@given(message=MESSAGES)
@settings(deadline=None, max_examples=60)
def test_every_cut_is_refused_or_lost_nothing_but_whole_parts_at_the_end(
    message: Request | Response,
) -> None:
    wire = encode(message)
    parts: set[Request | Response] = set()
    for cut in range(0, len(wire), max(1, len(wire) // 300)):
        try:
            read = decode(message, wire[:cut])
        except HandshakeError:
            continue
        assert read.headers in {(), message.headers}
        assert read.content in {b"", message.content}
        assert read.trailers in {(), message.trailers}
        if read.content:
            assert read.headers == message.headers
        parts.add(read)
    assert len(parts) <= 4


@given(message=MESSAGES, place=st.integers(0), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=300)
def test_a_changed_byte_is_refused_or_still_a_valid_message(
    message: Request | Response, place: int, flip: int
) -> None:
    wire = bytearray(encode(message))
    wire[place % len(wire)] ^= flip
    _is_valid_or_refused(bytes(wire))


@given(noise=st.binary(max_size=300), start=st.sampled_from([b"", b"\0\3GET\5https\0\1/", b"\2"]))
@settings(deadline=None, max_examples=300)
def test_noise(noise: bytes, start: bytes) -> None:
    _is_valid_or_refused(start + noise)


def _is_valid_or_refused(wire: bytes) -> None:
    """What is accepted is valid: but for fields about a connection it can be encoded again."""
    for decode_one in (decode_request, decode_response):
        with suppress(HandshakeError):
            read = decode_one(wire, limits=Limits(max_fields=10))
            with suppress(UsageError):
                assert decode(read, encode(read)) == read


def decode(like: Request | Response, wire: bytes) -> Request | Response:
    return decode_request(wire) if isinstance(like, Request) else decode_response(wire)


def indeterminate(message: Request | Response, chunks: list[bytes]) -> bytes:
    if isinstance(message, Request):
        control = [message.method, message.scheme, message.authority, message.path]
        out = b"\2" + b"".join(_part(part.encode()) for part in control)
    else:
        out = b"\3"
        for informational in message.informational:
            out += _number(informational.status) + _lines(informational.headers)
        out += _number(message.status)
    out += _lines(message.headers)
    out += b"".join(_part(chunk) for chunk in chunks) + b"\0"
    return out + _lines(message.trailers)


def _lines(fields: Fields) -> bytes:
    return b"".join(_part(name) + _part(value) for name, value in fields) + b"\0"


def _part(part: bytes) -> bytes:
    return _number(len(part)) + part


def _number(number: int) -> bytes:
    return number.to_bytes(1, "big") if number < 64 else (number | 3 << 62).to_bytes(8, "big")
