"""A real upstream on loopback: what it gets, what comes back, and who shares connections."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sage_native.binary_http import Request, field_values
from sage_native.gateway.behind import BehindUnavailableError
from sage_native.gateway.behind.upstream import UpstreamBehind
from tests.upstreams import ALICE, BOB, OK, answering, ask, puppet, served, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request as StarletteRequest

GZIPPED = gzip.compress(b"hello")


async def told(request: StarletteRequest) -> JSONResponse:
    return JSONResponse(
        {
            "method": request.method,
            "raw": request.scope["raw_path"].decode() + "?" + request.url.query,
            "fields": [[name.decode(), value.decode()] for name, value in request.headers.raw],
            "body": (await request.body()).decode(),
            "line": request.client.port if request.client else None,
        }
    )


async def zipped(_: StarletteRequest) -> Response:
    headers = {"content-encoding": "gzip", "connection": "x-hop", "x-hop": "1"}
    return Response(GZIPPED, headers=headers)


async def bakery(request: StarletteRequest) -> Response:
    answer = JSONResponse(request.cookies)
    answer.set_cookie("owner", request.headers["sage-peer-did"])
    answer.set_cookie("second", "2")
    return answer


async def elsewhere(_: StarletteRequest) -> Response:
    return RedirectResponse("http://127.0.0.1:1/secret")


async def large(request: StarletteRequest) -> Response:
    return Response(bytes(int(request.query_params["n"])))


@pytest.fixture(name="url")
async def _url() -> AsyncIterator[str]:
    application = Starlette(
        routes=[
            Route("/zipped", zipped),
            Route("/bakery", bakery),
            Route("/elsewhere", elsewhere, methods=["GET", "POST"]),
            Route("/large", large),
            Route("/{rest:path}", told, methods=["GET", "POST", "DELETE", "OPTIONS", "PATCH"]),
        ]
    )
    async with served(application) as url:
        yield url


@pytest.fixture(name="behind")
async def _behind(url: str) -> AsyncIterator[UpstreamBehind]:
    behind = UpstreamBehind(url, timeout_s=20)
    await behind.start()
    yield behind
    await behind.aclose()


async def test_a_request_arrives_with_the_fields_of_its_peer(
    behind: UpstreamBehind, url: str
) -> None:
    request = Request(
        method="POST",
        path="/a%20b/c%2Fd;e?f=%7Eg&&h",
        authority="evil.example",
        headers=(
            (b"host", b"evil.example"),
            (b"sage-peer-did", b"did:example:forged"),
            (b"sage_session_id", b"forged"),
            (b"x-forwarded-for", b"10.0.0.1"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
        ),
        content=b"hello",
        trailers=((b"checksum", b"x"),),
    )
    answer = await ask(behind, request, BOB)
    assert answer.status == 200
    assert field_values(answer.headers, b"content-type") == [b"application/json"]
    got = json.loads(answer.content)
    assert got["method"] == "POST"
    assert got["raw"] == "/a%20b/c%2Fd;e?f=%7Eg&&h"
    assert got["body"] == "hello"
    assert got["fields"] == [
        ["host", url.removeprefix("http://")],
        ["x-a", "1"],
        ["x-a", "2"],
        ["sage-peer-did", BOB.did],
        ["sage-session-id", BOB.session_id],
        ["content-length", "5"],
    ]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH"])
async def test_methods(behind: UpstreamBehind, method: str) -> None:
    got = json.loads((await ask(behind, Request(method=method, path="/x"))).content)
    assert got["method"] == method
    lengths = [value for name, value in got["fields"] if name == "content-length"]
    assert lengths == (["0"] if method == "PATCH" else [])


async def test_head_keeps_the_length_and_has_no_content(behind: UpstreamBehind) -> None:
    request = Request(method="HEAD", path="/large?n=2000000")
    answer = await ask(behind, request)
    assert answer.status == 200
    assert field_values(answer.headers, b"content-length") == [b"2000000"]
    assert answer.content == b""


async def test_a_raw_message_is_a_post_to_the_url(url: str) -> None:
    behind = UpstreamBehind(url + "/agents")
    got = json.loads(await tell(behind, b"hello"))
    assert (got["method"], got["raw"], got["body"]) == ("POST", "/agents?", "hello")
    assert ["content-type", "application/octet-stream"] in got["fields"]
    assert ["sage-peer-did", ALICE.did] in got["fields"]
    await behind.aclose()


async def test_the_path_of_the_url_stands_in_front(url: str) -> None:
    behind = UpstreamBehind(url + "/a/b")
    got = json.loads((await ask(behind, Request(method="GET", path="/c?d"))).content)
    assert got["raw"] == "/a/b/c?d"
    assert (await ask(behind, Request(method="GET", path="/../c"))).status == 400
    await behind.aclose()


async def test_a_raw_message_needs_a_status_of_success(url: str) -> None:
    behind = UpstreamBehind(url + "/elsewhere")
    with pytest.raises(BehindUnavailableError, match="status 307") as failed:
        await tell(behind, b"x")
    assert failed.value.delivered is True
    await behind.aclose()


async def test_content_is_not_decoded(behind: UpstreamBehind) -> None:
    answer = await ask(behind, Request(method="GET", path="/zipped"))
    assert answer.content == GZIPPED
    assert field_values(answer.headers, b"content-encoding") == [b"gzip"]
    assert field_values(answer.headers, b"x-hop") == []
    assert field_values(answer.headers, b"connection") == []


async def test_no_cookie_of_one_peer_reaches_another(behind: UpstreamBehind) -> None:
    bake = Request(method="GET", path="/bakery")
    first = await ask(behind, bake, ALICE)
    assert len(field_values(first.headers, b"set-cookie")) == 2
    second = await ask(behind, bake, BOB)
    assert json.loads(second.content) == {}


async def test_redirects_are_not_followed(behind: UpstreamBehind) -> None:
    answer = await ask(behind, Request(method="GET", path="/elsewhere"))
    assert answer.status == 307
    assert field_values(answer.headers, b"location") == [b"http://127.0.0.1:1/secret"]


async def test_the_limit_on_answers(url: str) -> None:
    behind = UpstreamBehind(url, max_response_len=100_000)
    assert len((await ask(behind, Request(method="GET", path="/large?n=100000"))).content) == 10**5
    answer = await ask(behind, Request(method="GET", path="/large?n=100001"))
    assert answer.status == 502
    assert json.loads(answer.content)["delivered"] is True
    assert (await ask(behind, Request(method="GET", path="/large?n=1"))).status == 200
    await behind.aclose()


async def test_an_answer_that_fills_a_record_and_one_that_does_not_fit(
    behind: UpstreamBehind,
) -> None:
    assert (await ask(behind, Request(method="GET", path="/large?n=1048000"))).status == 200
    assert (await ask(behind, Request(method="GET", path="/large?n=1048576"))).status == 502


async def test_peers_share_a_connection_one_after_the_other(behind: UpstreamBehind) -> None:
    lines = set()
    for peer in (ALICE, BOB, ALICE):
        got = json.loads((await ask(behind, Request(method="GET", path="/"), peer)).content)
        assert ["sage-peer-did", peer.did] in got["fields"]
        lines.add(got["line"])
    assert len(lines) == 1


async def test_answers_reach_those_who_asked(behind: UpstreamBehind) -> None:
    async def one(number: int) -> None:
        peer = (ALICE, BOB)[number % 2]
        request = Request(method="POST", path=f"/{number}", content=b"%d" % number)
        got = json.loads((await ask(behind, request, peer)).content)
        assert (got["raw"], got["body"]) == (f"/{number}?", str(number))
        assert ["sage-peer-did", peer.did] in got["fields"]

    await asyncio.gather(*(one(number) for number in range(60)))


async def test_proxies_of_the_environment_are_not_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    behind = UpstreamBehind(url)
    assert (await ask(behind, Request(method="GET", path="/"))).status == 200
    await behind.aclose()


async def test_readiness(url: str) -> None:
    up = UpstreamBehind(url)
    await up.check()
    await up.check()
    await up.aclose()
    async with puppet(answering(OK)) as watched:
        behind = UpstreamBehind(watched.url)
        await behind.check()
        await asyncio.gather(*(behind.check() for _ in range(20)))
        await watched.lines[0].reader.read()
        assert len(watched.lines) == 1
        assert watched.requests == []
    down = UpstreamBehind(watched.url)
    for _ in range(2):
        with pytest.raises(BehindUnavailableError, match="takes no connection"):
            await down.check()


async def test_tls_is_checked(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    server_side = SSLContext(PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    async with server:
        stranger = UpstreamBehind(f"https://localhost:{port}")
        answer = await ask(stranger, Request(method="GET", path="/"))
        assert answer.status == 502
        assert json.loads(answer.content)["delivered"] is False
        await stranger.aclose()
        trusting = create_default_context(cafile=str(certificate))
        known = UpstreamBehind(f"https://localhost:{port}", ssl_context=trusting)
        assert (await ask(known, Request(method="GET", path="/"))).content == b"ok"
        await known.aclose()
        misnamed = UpstreamBehind(f"https://127.0.0.1:{port}", ssl_context=trusting)
        assert (await ask(misnamed, Request(method="GET", path="/"))).status == 502
        await misnamed.aclose()


def self_signed(directory: Path) -> Path:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    path = directory / "both.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path
