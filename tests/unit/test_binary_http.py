"""Binary HTTP against the examples of RFC 9292 §5, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sage_native.binary_http import (
    Informational,
    Limits,
    Request,
    Response,
    decode_request,
    decode_response,
    encode,
    field_values,
)
from sage_native.exceptions import HandshakeError, UsageError

FIGURE_8 = bytes.fromhex(
    """
    00034745 54056874 74707300 0a2f6865 6c6c6f2e 74787440 6c0a7573 65722d61
    67656e74 34637572 6c2f372e 31362e33 206c6962 6375726c 2f372e31 362e3320
    4f70656e 53534c2f 302e392e 376c207a 6c69622f 312e322e 3304686f 73740f77
    77772e65 78616d70 6c652e63 6f6d0f61 63636570 742d6c61 6e677561 67650665
    6e2c206d 690000
    """
)
FIGURE_9 = bytes.fromhex(
    """
    02034745 54056874 74707300 0a2f6865 6c6c6f2e 7478740a 75736572 2d616765
    6e743463 75726c2f 372e3136 2e33206c 69626375 726c2f37 2e31362e 33204f70
    656e5353 4c2f302e 392e376c 207a6c69 622f312e 322e3304 686f7374 0f777777
    2e657861 6d706c65 2e636f6d 0f616363 6570742d 6c616e67 75616765 06656e2c
    206d6900 00000000 00000000 00000000
    """
)
FIGURE_11 = bytes.fromhex(
    """
    03406607 72756e6e 696e670a 22736c65 65702031 35220040 67046c69 6e6b233c
    2f737479 6c652e63 73733e3b 2072656c 3d707265 6c6f6164 3b206173 3d737479
    6c65046c 696e6b24 3c2f7363 72697074 2e6a733e 3b207265 6c3d7072 656c6f61
    643b2061 733d7363 72697074 0040c804 64617465 1d4d6f6e 2c203237 204a756c
    20323030 39203132 3a32383a 35332047 4d540673 65727665 72064170 61636865
    0d6c6173 742d6d6f 64696669 65641d57 65642c20 3232204a 756c2032 30303920
    31393a31 353a3536 20474d54 04657461 67142233 34616133 38372d64 2d313536
    38656230 30220d61 63636570 742d7261 6e676573 05627974 65730e63 6f6e7465
    6e742d6c 656e6774 68023531 04766172 790f4163 63657074 2d456e63 6f64696e
    670c636f 6e74656e 742d7479 70650a74 6578742f 706c6169 6e003348 656c6c6f
    20576f72 6c642120 4d792063 6f6e7465 6e742069 6e636c75 64657320 61207472
    61696c69 6e672043 524c462e 0d0a0000
    """
)
FIGURE_13 = bytes.fromhex(
    """
    0140c800 1d546869 7320636f 6e74656e 7420636f 6e746169 6e732043 524c462e
    0d0a0d07 74726169 6c657204 74657874
    """
)
HELLO = Request(
    method="GET",
    path="/hello.txt",
    scheme="https",
    headers=(
        (b"user-agent", b"curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
        (b"host", b"www.example.com"),
        (b"accept-language", b"en, mi"),
    ),
)
POST = Request(
    method="POST",
    path="/a?b=c",
    authority="example.org:8443",
    headers=((b"x", b""), (b"x", b"two words")),
    content=b"content",
    trailers=((b"t", b"v"),),
)


def test_figure_8_a_known_length_request() -> None:
    assert len(FIGURE_8) == 135
    assert decode_request(FIGURE_8) == HELLO
    assert encode(HELLO) == FIGURE_8


def test_figure_8_may_lose_its_last_two_bytes_and_no_more() -> None:
    accepted = [cut for cut in range(len(FIGURE_8)) if _is_request(FIGURE_8[:cut])]
    control_len = len("\0\3GET\5https\0\n/hello.txt")
    assert accepted == [control_len, len(FIGURE_8) - 2, len(FIGURE_8) - 1]
    assert decode_request(FIGURE_8[:-1]) == decode_request(FIGURE_8[:-2]) == HELLO
    assert decode_request(FIGURE_8[:control_len]) == replace(HELLO, headers=())


def test_figure_9_an_indeterminate_length_request_may_lose_twelve_bytes() -> None:
    assert len(FIGURE_9) == 144
    for cut in range(13):
        assert decode_request(FIGURE_9[: len(FIGURE_9) - cut]) == HELLO
    control_len = len("\2\3GET\5https\0\n/hello.txt")
    accepted = [cut for cut in range(len(FIGURE_9) - 12) if _is_request(FIGURE_9[:cut])]
    assert accepted == [control_len]


def test_figure_11_a_response_with_informational_ones() -> None:
    assert len(FIGURE_11) == 368
    response = decode_response(FIGURE_11)
    assert response.status == 200
    assert response.informational == (
        Informational(102, ((b"running", b'"sleep 15"'),)),
        Informational(
            103,
            (
                (b"link", b"</style.css>; rel=preload; as=style"),
                (b"link", b"</script.js>; rel=preload; as=script"),
            ),
        ),
    )
    assert response.content == b"Hello World! My content includes a trailing CRLF.\r\n"
    assert field_values(response.headers, b"content-length") == [b"51"]
    assert len(response.headers) == 8
    assert decode_response(encode(response)) == response


def test_figure_13_a_known_length_response_with_a_trailer() -> None:
    assert len(FIGURE_13) == 48
    response = Response(
        status=200,
        content=b"This content contains CRLF.\r\n",
        trailers=((b"trailer", b"text"),),
    )
    assert decode_response(FIGURE_13) == response
    assert encode(response) == FIGURE_13


@pytest.mark.parametrize("figure", [FIGURE_11, FIGURE_13], ids=["11", "13"])
def test_a_truncated_response_is_refused_but_at_its_sections(figure: bytes) -> None:
    accepted = [cut for cut in range(len(figure)) if _is_response(figure[:cut])]
    if figure is FIGURE_11:
        final = figure.index(b"\x40\xc8\x04date") + 2
        content = figure.index(b"\x33Hello World!")
        assert accepted == [final, content, len(figure) - 1]
    else:
        assert accepted == [3, 4, 4 + 30]


def test_rfc_9458_requests_and_responses_end_after_their_control_data() -> None:
    """The binary messages of RFC 9458 appendix A have no empty parts at their end."""
    request = decode_request(bytes.fromhex("00034745540568747470730b6578616d706c652e636f6d012f"))
    assert request == Request(method="GET", path="/", authority="example.com")
    assert decode_response(bytes.fromhex("0140c8")) == Response(status=200)


def test_integers_may_stand_in_more_bytes_than_they_need() -> None:
    """RFC 9292 §3: the shortest form is not required."""
    for form in (b"\x03", b"\x40\x03", b"\x80\0\0\x03", b"\xc0" + bytes(6) + b"\x03"):
        assert decode_request(b"\0" + form + FIGURE_8[2:]) == HELLO
    for status in (b"\x40\xc8", b"\x80\0\0\xc8", b"\xc0" + bytes(6) + b"\xc8"):
        assert decode_response(b"\1" + status) == Response(status=200)


@pytest.mark.parametrize("padding_len", [0, 1, 2, 1000])
def test_padding(padding_len: int) -> None:
    padded = encode(HELLO, padding_len=padding_len)
    assert padded == FIGURE_8 + bytes(padding_len)
    assert decode_request(padded) == HELLO
    with pytest.raises(HandshakeError, match="padding that is not zero"):
        decode_request(padded + b"\x01")
    with pytest.raises(HandshakeError, match="padding that is not zero"):
        decode_request(padded + b"\x01" + bytes(10))


def test_a_request_is_no_response() -> None:
    with pytest.raises(HandshakeError, match="framing indicator is not 1 or 3"):
        decode_response(FIGURE_8)
    with pytest.raises(HandshakeError, match="framing indicator is not 0 or 2") as refused:
        decode_request(FIGURE_13)
    assert refused.value.code == "malformed_request"
    for indicator in (b"\x04", b"\x3f", b"\xff" * 8):
        assert not _is_request(indicator + FIGURE_8[1:])
        assert not _is_response(indicator + FIGURE_13[1:])


VALID = Request(method="GET", path="/")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"method": ""}, "method is empty"),
        ({"method": "GET /x HTTP/1.1\r\nX:"}, "no token"),
        ({"method": "GÉT"}, "no token"),
        ({"scheme": ""}, "scheme"),
        ({"scheme": "http://x"}, "scheme"),
        ({"authority": "user@example.org"}, "authority"),
        ({"authority": "example.org/x"}, "authority"),
        ({"authority": "example.org\r\n"}, "authority"),
        ({"path": ""}, "path"),
        ({"path": "x"}, "path"),
        ({"path": "*"}, "path"),
        ({"path": "http://example.org/"}, "path"),
        ({"path": "/a b"}, "path"),
        ({"path": "/a\r\nx: y"}, "path"),
        ({"path": "/é"}, "path"),
        ({"path": "/\x7f"}, "path"),
        ({"path": "/" + "x" * 8192}, "path has 8193 bytes"),
        ({"method": "CONNECT"}, "CONNECT"),
        ({"method": "CONNECT", "scheme": "", "path": ""}, "CONNECT"),
    ],
)
def test_invalid_control_data(changes: dict[str, Any], text: str) -> None:
    request = replace(VALID, **changes)
    with pytest.raises(UsageError, match=text):
        encode(request)
    with pytest.raises(HandshakeError, match=text) as refused:
        decode_request(_unchecked(request))
    assert refused.value.code == "malformed_request"


def test_special_forms_of_the_target() -> None:
    for request in (
        Request(method="OPTIONS", path="*"),
        Request(method="CONNECT", scheme="", path="", authority="example.org:443"),
        Request(method="GET", path="/", scheme="coap+tcp", authority="[2001:db8::1]:80"),
    ):
        assert decode_request(encode(request)) == request


@pytest.mark.parametrize(
    "name",
    [b"Host", b"a b", b"a:", b":method", b":path", b":protocol", b"a\0", b"\xe9", b"a\r\nb", b"("],
)
def test_invalid_field_names(name: bytes) -> None:
    for request in (
        replace(VALID, headers=((name, b"v"),)),
        replace(VALID, trailers=((name, b"v"),)),
    ):
        with pytest.raises(UsageError, match="no token in lower case"):
            encode(request)
        with pytest.raises(HandshakeError, match="no token in lower case"):
            decode_request(_unchecked(request))


@pytest.mark.parametrize(
    "value", [b" v", b"v ", b"\tv", b"v\t", b" ", b"a\rb", b"a\nb", b"a\0b", b"a\x01b", b"a\x7fb"]
)
def test_invalid_field_values(value: bytes) -> None:
    secret = value + b"hunter2" + value
    response = Response(status=200, headers=((b"a", b"1"), (b"b", secret)))
    with pytest.raises(UsageError, match="value of header field 2") as told:
        encode(response)
    with pytest.raises(HandshakeError, match="value of header field 2") as refused:
        decode_response(_unchecked(response))
    assert "hunter2" not in str(told.value) + str(refused.value)


def test_field_values_that_are_odd_and_valid() -> None:
    fields = tuple((b"a", value) for value in (b"", b"x", b"a\tb  c", b"\xe9t\xe9", b"\xff" * 9))
    response = Response(status=599, headers=fields, trailers=fields)
    assert decode_response(encode(response)) == response
    assert field_values(response.headers, b"a")[1] == b"x"
    assert field_values(response.headers, b"b") == []


def test_an_empty_name_is_no_field() -> None:
    with pytest.raises(HandshakeError, match="has no name"):
        decode_request(b"\0\3GET\5https\0\1/\2\0\0")
    with pytest.raises(UsageError, match="no token"):
        encode(replace(VALID, headers=((b"", b""),)))


@pytest.mark.parametrize("name", [b"connection", b"transfer-encoding", b"te", b"upgrade"])
def test_fields_about_a_connection_are_read_and_not_written(name: bytes) -> None:
    """RFC 9292 §3.6: they should be removed, and do not make a message invalid."""
    for message in (
        replace(VALID, headers=((name, b"x"),)),
        replace(VALID, trailers=((name, b"x"),)),
    ):
        assert decode_request(_unchecked(message)) == message
        with pytest.raises(UsageError, match="is about one connection"):
            encode(message)
    with pytest.raises(UsageError, match="is about one connection"):
        encode(Response(status=200, informational=(Informational(103, ((name, b"x"),)),)))


@pytest.mark.parametrize("status", [0, 99, 600, 1000])
def test_invalid_statuses(status: int) -> None:
    with pytest.raises(UsageError, match=f"status is {status}"):
        encode(Response(status=status))
    with pytest.raises(HandshakeError, match=f"status is {status}"):
        decode_response(_unchecked(Response(status=status)))


def test_an_informational_status_is_not_final() -> None:
    with pytest.raises(UsageError, match="status is 103"):
        encode(Response(status=103))
    with pytest.raises(UsageError, match="informational status is 200"):
        encode(Response(status=200, informational=(Informational(200),)))
    with pytest.raises(HandshakeError, match="ends before its status"):
        decode_response(b"\x01\x40\x67")
    with pytest.raises(HandshakeError, match="ends before its status"):
        decode_response(b"\x01\x40\x67\x00")


def test_lengths_beyond_the_message_or_their_section() -> None:
    control = b"\0\3GET\5https\0\1/"
    for rest in (b"\x05\1a\1b", b"\x03\1a\2b", b"\x03\5a\1b\0\0", b"\0\5abc", b"\xff" * 8, b"\x40"):
        with pytest.raises(HandshakeError, match=r"ends within|ends before|at most"):
            decode_request(control + rest)


SMALL = Limits(
    max_fields=2,
    max_section_len=20,
    max_control_len=8,
    max_content_len=10,
    max_informational=1,
    max_chunks=3,
)


@pytest.mark.parametrize(
    "message",
    [
        replace(VALID, headers=((b"a", b""),) * 3),
        replace(VALID, trailers=((b"a", b""),) * 3),
        replace(VALID, headers=((b"a", b"x" * 20),)),
        replace(VALID, headers=((b"x" * 21, b""),)),
        replace(VALID, headers=((b"a", b"x" * 10),) * 2),
        replace(VALID, content=b"x" * 11),
        Request(method="GET", path="/12345678"),
        Request(method="POSTPONED", path="/"),
        replace(VALID, authority="a.example"),
        Response(status=200, informational=(Informational(103),) * 2),
        Response(status=200, content=b"x" * 11),
    ],
)
def test_limits(message: Request | Response) -> None:
    wire = encode(message)
    assert _decode(message, wire) == message
    with pytest.raises(UsageError, match=r"at most|more than"):
        encode(message, limits=SMALL)
    with pytest.raises(HandshakeError, match=r"at most|more than|longer than"):
        _decode(message, wire, limits=SMALL)


def test_limits_are_inclusive() -> None:
    request = Request(
        method="POST", path="/1234567", headers=((b"a", b"x" * 19),), content=b"0123456789"
    )
    assert decode_request(encode(request, limits=SMALL), limits=SMALL) == request


def test_limits_on_chunks() -> None:
    start = b"\x02\3GET\5https\0\1/\0"
    assert decode_request(start + b"\2ab\1c\7defghij\0\0", limits=SMALL).content == b"abcdefghij"
    for chunks in (b"\1a\1a\1a\1a\0\0", b"\6abcdef\5abcde\0\0", b"\xff" * 8):
        with pytest.raises(HandshakeError, match="more than 3 chunks"):
            decode_request(start + chunks, limits=SMALL)
    with pytest.raises(HandshakeError, match="ends before its chunk"):
        decode_request(start + b"\1a", limits=SMALL)


def test_a_negative_padding_is_refused() -> None:
    with pytest.raises(UsageError, match="padding_len is -1"):
        encode(HELLO, padding_len=-1)


def _decode(
    like: Request | Response, wire: bytes, *, limits: Limits | None = None
) -> Request | Response:
    decode = decode_request if isinstance(like, Request) else decode_response
    return decode(wire, limits=limits or Limits())


def _is_request(data: bytes) -> bool:
    try:
        decode_request(data)
    except HandshakeError:
        return False
    return True


def _is_response(data: bytes) -> bool:
    try:
        decode_response(data)
    except HandshakeError:
        return False
    return True


def _unchecked(message: Request | Response) -> bytes:
    """Encode without asking whether the message is valid."""
    if isinstance(message, Request):
        control = [message.method, message.scheme, message.authority, message.path]
        out = b"\0" + b"".join(_part(part.encode("latin-1")) for part in control)
    else:
        out = b"\1" + _number(message.status)
    out += _section(message.headers) + _part(message.content) + _section(message.trailers)
    return out


def _section(fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return _part(b"".join(_part(name) + _part(value) for name, value in fields))


def _part(part: bytes) -> bytes:
    return _number(len(part)) + part


def _number(number: int) -> bytes:
    return (number | 2 << 30).to_bytes(4, "big")
