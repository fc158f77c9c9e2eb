"""What of a peer's request is passed on, what is dropped, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sage_native.binary_http import Fields, Request, decode_response, field_values
from sage_native.gateway.behind.forwarding import forwarded, returned_fields
from sage_native.gateway.behind.responses import RefusedError
from sage_native.gateway.behind.targets import checked_path
from tests.upstreams import ALICE

GET = Request(method="GET", path="/")
TRUSTED = [
    (b"sage-peer-did", b"did:example:alice"),
    (b"sage-session-id", ALICE.session_id.encode()),
]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a/b.c?d=e&f=//g/../h",
        "/a//b",
        "/...",
        "/.well-known/x",
        "/a/..b/c..",
        "/%41%c3%a9%20x",
        "/a;b=c/d:e@f,g!$&'()*+=~_-",
        "/a?%00%2e%2e",
        "/a?b\\c",
        "/%252e%252e/a",
    ],
)
def test_paths_go_out_as_they_are(path: str) -> None:
    assert checked_path(path) == path.encode()


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "a",
        "http://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/a\\b",
        "/a#b",
        "/a?b#c",
        "/.",
        "/..",
        "/../a",
        "/a/../b",
        "/a/..",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a/%2e/b",
        "/a/..%2fb",
        "/a%2F..%2Fb",
        "/a/..%5cb",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a/%2e%2e;/b",
        "/%00",
        "/a%0d%0aX:%20y",
        "/%7f",
        "/%",
        "/%4",
        "/%zz",
        "/?%4",
    ],
)
def test_paths_that_could_be_read_in_two_ways_are_refused(path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        checked_path(path)
    answer = decode_response(refused.value.answer)
    assert answer.status == 400
    assert field_values(answer.headers, b"content-type") == [b"application/problem+json"]
    document = json.loads(answer.content)
    assert document["type"] == "urn:sage:problem:malformed_request"
    assert document["delivered"] is False


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "QUERY", "M-SEARCH", "VERSION-CONTROL"])
def test_methods_that_pass(method: str) -> None:
    assert forwarded(replace(GET, method=method), ALICE).method == method


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "PRI", "get", "Get", "G_T", "A" * 33, "GET!"])
def test_methods_that_do_not(method: str) -> None:
    with pytest.raises(RefusedError) as refused:
        forwarded(replace(GET, method=method), ALICE)
    answer = decode_response(refused.value.answer)
    assert answer.status == 405
    assert field_values(answer.headers, b"allow")


def test_connect_does_not_pass() -> None:
    tunnel = Request(method="CONNECT", scheme="", path="", authority="evil.example:25")
    with pytest.raises(RefusedError, match="method"):
        forwarded(tunnel, ALICE)


def test_the_trusted_fields_are_last_and_ours() -> None:
    request = replace(GET, headers=((b"accept", b"*/*"), (b"cookie", b"a=b"), (b"cookie", b"c=d")))
    assert forwarded(request, ALICE).headers == [*request.headers, *TRUSTED]


@pytest.mark.parametrize(
    "name",
    [
        b"sage-peer-did",
        b"sage_peer_did",
        b"sage-peer_did",
        b"sage.peer.did",
        b"sage~peer!did",
        b"_sage-peer-did",
        b"sage--peer--did",
        b"sage-peer-did-",
        b"sage-session-id",
        b"sage_session_id",
        b"sage-anything",
        b"traceparent",
        b"_traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"x-b3-sampled",
        b"x_b3_traceid",
        b"uber-trace-id",
        b"x-datadog-trace-id",
        b"x-amzn-trace-id",
        b"x-cloud-trace-context",
        b"x-sage-peer-did",
        b"x_sage_peer_did",
        b"x-forwarded-for",
        b"x_forwarded_for",
        b"x-forwarded-host",
        b"forwarded",
        b"x-real-ip",
        b"x-original-url",
        b"via",
        b"connection",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy_connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
        b"http2-settings",
        b"host_",
    ],
)
def test_fields_that_are_dropped(name: bytes) -> None:
    request = replace(GET, headers=((b"a", b"1"), (name, b"forged"), (b"b", b"2")))
    passed = forwarded(request, ALICE)
    assert passed.headers == [(b"a", b"1"), (b"b", b"2"), *TRUSTED]


@pytest.mark.parametrize(
    "name", [b"sagepeerdid", b"message", b"authorization", b"x_custom", b"accept-encoding", b"~"]
)
def test_fields_that_pass(name: bytes) -> None:
    request = replace(GET, headers=((name, b"v"),))
    assert forwarded(request, ALICE).headers[0] == (name, b"v")


def test_what_connection_names_is_dropped_and_our_own_fields_stay() -> None:
    headers: Fields = (
        (b"connection", b"close, X-Secret ,sage-peer-did"),
        (b"x-secret", b"1"),
        (b"connection", b"x-other"),
        (b"x-other", b"2"),
        (b"x-third", b"3"),
    )
    assert forwarded(replace(GET, headers=headers), ALICE).headers == [(b"x-third", b"3"), *TRUSTED]


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": ((b"transfer-encoding", b"chunked"),)},
        {"headers": ((b"transfer-encoding", b"identity"),)},
        {"headers": ((b"transfer_encoding", b"chunked"),)},
        {"headers": ((b"transfer.encoding", b"chunked"),)},
        {"trailers": ((b"transfer-encoding", b"chunked"),)},
        {"headers": ((b"content-length", b"0"),)},
        {"headers": ((b"content_length", b"3"),)},
        {"headers": ((b"content-length", b"5"),)},
        {"headers": ((b"content-length", b"+4"),)},
        {"headers": ((b"content-length", b"4, 4"),)},
        {"headers": ((b"content-length", b"0x4"),)},
        {"headers": ((b"content-length", b""),)},
        {"headers": ((b"content-length", b"4"), (b"content-length", b"4"))},
        {"headers": ((b"content-length", b"4"),), "trailers": ((b"content-length", b"4"),)},
        {"headers": ((b"host", b"a.example"), (b"host", b"a.example"))},
        {"headers": ((b"host", b"a.example"),), "authority": "b.example"},
        {"scheme": "ftp"},
    ],
)
def test_requests_that_say_two_things_are_refused(changes: dict[str, Any]) -> None:
    request = Request(method="POST", path="/", content=b"1234")
    assert forwarded(request, ALICE).content == b"1234"
    with pytest.raises(RefusedError):
        forwarded(replace(request, **changes), ALICE)


def test_a_right_length_and_a_host_are_said_anew() -> None:
    request = Request(
        method="POST",
        path="/",
        authority="Service.example",
        headers=((b"host", b"service.example"), (b"content-length", b"4")),
        content=b"1234",
        trailers=((b"checksum", b"x"),),
    )
    assert forwarded(request, ALICE).headers == TRUSTED


def test_an_answer_loses_what_is_about_its_connection() -> None:
    headers: Fields = (
        (b"Content-Type", b"text/plain"),
        (b"Connection", b"X-Hop, keep-alive"),
        (b"Keep-Alive", b"timeout=5"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"Set-Cookie", b"a=b"),
        (b"Set-Cookie", b"c=d"),
        (b"Content-Encoding", b"gzip"),
    )
    assert returned_fields(headers) == (
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a=b"),
        (b"set-cookie", b"c=d"),
        (b"content-encoding", b"gzip"),
    )
