"""Whatever a peer sends: what goes out is one request, and servers read it as it was meant."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_native.binary_http import Limits, Request
from sage_native.binary_http.rules import flaw
from sage_native.gateway.behind.forwarding import forwarded
from sage_native.gateway.behind.responses import RefusedError
from sage_native.gateway.behind.upstream import UpstreamBehind
from tests.upstreams import ALICE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx2

    from sage_native.gateway.behind.forwarding import Forwarded

NAMES = st.sampled_from(
    [
        *("accept", "a_b", "connection", "content-length", "content_length", "cookie", "expect"),
        *("forwarded", "host", "host.", "te", "sage-peer-did", "sage_peer_did", "sage.session-id"),
        *("transfer-encoding", "transfer_encoding", "trailer", "upgrade", "via", "ab"),
        *("x-forwarded-for", "x-sage-peer-did", "x-y"),
    ]
) | st.text("ab-_.~", min_size=1, max_size=5)
VALUES = st.sampled_from(
    ["", "0", "4", "23", "chunked", "close", "example.org", "sage-peer-did, x-y", "a: b", "\xe9"]
)
FIELDS = st.lists(
    st.tuples(
        NAMES.map(lambda name: name.encode("latin-1")), VALUES.map(lambda v: v.encode("latin-1"))
    ),
    max_size=4,
).map(tuple)
PATHS = st.lists(
    st.sampled_from(
        [
            *(
                "/a",
                "/b.c",
                "/%41",
                "/;x",
                "/a",
                "/b",
                "/~",
                "/...",
                "?x",
                "&y=%7e",
                "@",
                ":80",
                "*",
            ),
            *("//", "/..", "/.", "/%2e%2e", "%2f", "%5c", "\\", "#", "%00", "%"),
        ]
    ),
    max_size=4,
).map("".join)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "A-B", "TRACE"]),
    path=PATHS.map(lambda rest: rest or "/"),
    scheme=st.sampled_from(["https", "http"]),
    authority=st.sampled_from(["", "example.org", "evil.example"]),
    headers=FIELDS,
    content=st.sampled_from([b"", b"1234", b"GET /secret HTTP/1.1\r\n\r\n"]),
    trailers=FIELDS,
)
BEHIND = UpstreamBehind("http://upstream.example:81/base")


@given(request=REQUESTS)
@settings(deadline=None, max_examples=500)
def test_what_goes_out_is_read_as_it_was_meant(request: Request) -> None:
    if flaw(request, Limits()) is not None:
        return  # Decoding refuses it.
    with suppress(RefusedError):
        _read_by_a_server(request, forwarded(request, ALICE, prefix=BEHIND.prefix))


def _read_by_a_server(request: Request, sent: Forwarded) -> None:
    events = list(_events(_wire(BEHIND._outgoing(sent))))
    head, *content, end = events
    assert isinstance(head, h11.Request)
    assert isinstance(end, h11.EndOfMessage)
    assert (head.method.decode(), head.target.decode()) == (request.method, "/base" + request.path)
    read = b"".join(bytes(part.data) for part in content if isinstance(part, h11.Data))
    assert read == request.content
    fields = list(head.headers)
    assert [value for name, value in fields if name == b"host"] == [b"upstream.example:81"]
    ours = [(name, value) for name, value in fields if b"sage" in name]
    assert ours == [
        (b"sage-peer-did", ALICE.did.encode()),
        (b"sage-session-id", ALICE.session_id.encode()),
    ]
    lengths = [value for name, value in fields if name.startswith(b"content")]
    assert lengths in ([], [b"%d" % len(request.content)])
    for name, _ in fields:
        assert not name.startswith(
            (b"transfer", b"connection", b"forwarded", b"x-forwarded", b"te")
        )


def _wire(request: httpx2.Request) -> bytes:
    client = h11.Connection(h11.CLIENT)
    head = h11.Request(
        method=request.method,
        target=request.extensions["target"],
        headers=list(request.headers.raw),
    )
    content = b"".join(cast("Iterable[bytes]", request.stream))
    parts = [
        client.send(head),
        client.send(h11.Data(data=content)),
        client.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)


def _events(wire: bytes) -> Iterator[h11.Event]:
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    while True:
        event = server.next_event()
        assert isinstance(event, h11.Event), event
        yield event
        if isinstance(event, h11.EndOfMessage):
            assert server.trailing_data == (b"", False)
            return
