"""Attacks on encoding, HTTP and resources of a running gateway, in one process.

Each docstring begins with its row of the table. What needs connections and processes is in
``test_gateway_attacks_live``.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import types
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sage_native import SigningKey
from sage_native.config import load_settings
from sage_native.exceptions import CapacityError, ConfigurationError
from sage_native.gateway import AdminApp, PublicApp
from sage_native.gateway.app import HEALTH_ROUTES, OPERATOR_ROUTES, PUBLIC_ROUTES
from sage_native.gateway.request_nonces import MachineNonces
from sage_native.gateway.routes import handshake as handshake_routes
from sage_native.protocol import decode_json, encode_json
from tests.command_line import refused, run
from tests.gateways import code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena, watched
from tests.security.gateway.asgi import Answered, ask
from tests.security.gateway.forging import INITIATE, Forger, now_ms
from tests.security.gateway.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import httpx2

    from tests.gateways import Agent
    from tests.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERIFY, BATCH, DIDS = "/v1/signatures/verify", "/v1/signatures/verify-batch", "/v1/dids"
COMPLETE = "/v1/handshake/complete"
JSON = (b"content-type", b"application/json")
RECORD = (b"content-type", b"application/sage-record")
NOBODY = "00000000-0000-0000-0000-000000000000"
MALFORMED = (400, "malformed_request")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Agent]]:
    settings = attack_settings(tmp_path_factory.mktemp("http"))
    async with open_arena(settings) as arena:
        yield arena, await arena.registered()


@pytest.fixture
def arena(
    site: tuple[Arena, Agent],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Arena]:
    with watched(site[0], caplog, capfd) as arena:
        yield arena


@pytest.fixture
def client(site: tuple[Arena, Agent]) -> Agent:
    return site[1]


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def documents(arena: Arena, client: Agent) -> dict[str, str]:
    """Return a document that each endpoint reads to its end."""
    key = client.key
    item = {
        "public_key": unpadded(key.verifying_key_bytes),
        "message": unpadded(b"message"),
        "signature": unpadded(key.sign(b"message")),
    }
    registration = {"did": "did:example:a", "keys": [item["public_key"]], "owner": "a tenant"}
    return {
        INITIATE: Forger(arena, key).json().decode(),
        COMPLETE: encode_json("confirm", bytes(range(112))).decode(),
        f"/v1/sessions/{NOBODY}/rekey": encode_json("rekey_request", bytes(84)).decode(),
        VERIFY: compact(item),
        BATCH: compact({"items": [item, item]}),
        DIDS: compact(registration),
    }


PATHS = (INITIATE, COMPLETE, f"/v1/sessions/{NOBODY}/rekey", VERIFY, BATCH, DIDS)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def post(arena: Arena, path: str, text: bytes, **headers: str) -> httpx2.Response:
    listener = arena.admin if path == DIDS else arena.public
    return await listener.post(
        path, content=text, headers={"content-type": "application/json"} | headers
    )


async def refuses(arena: Arena, path: str, text: bytes, *verdicts: tuple[int, str]) -> None:
    async with arena.unharmed():
        answer = await post(arena, path, text)
        assert (answer.status_code, code_of(answer)) in verdicts, text[:200]


def first_value(text: str, literal: str) -> str:
    """Put a literal in place of the first value."""
    changed = re.sub(r'^(\{"[a-z_]+":)("[^"]*"|\[.*\]|[0-9]+)', lambda m: m[1] + literal, text)
    assert changed != text
    return changed


TRICKS: dict[str, Callable[[str], str | bytes]] = {
    "duplicate key": lambda text: text[:-1] + "," + text[1:],
    "duplicate key through an escape": lambda text: (
        text[:-1] + f',"\\u{ord(text[2]):04x}{text[3:]}'
    ),
    "NaN": lambda text: first_value(text, "NaN"),
    "-Infinity": lambda text: first_value(text, "-Infinity"),
    "1e999": lambda text: first_value(text, "1e999"),
    "-1e999": lambda text: first_value(text, "-1e999"),
    "5,000 digits": lambda text: first_value(text, "1" * 5_000),
    "unknown field of 5,000 digits": lambda text: text[:-1] + ',"x":' + "1" * 5_000 + "}",
    "lone surrogate": lambda text: first_value(text, '"\\ud800"'),
    "low surrogate first": lambda text: first_value(text, '"\\udc00\\ud800"'),
    "lone surrogate as a key": lambda text: text[:-1] + ',"\\udfff":1}',
    "encoded surrogate": lambda text: (
        first_value(text, '"@"').encode().replace(b"@", b"\xed\xa0\x80")
    ),
    "no UTF-8": lambda text: first_value(text, '"@"').encode().replace(b"@", b"\xff"),
    "overlong NUL": lambda text: first_value(text, '"@"').encode().replace(b"@", b"\xc0\x80"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "byte order mark": lambda text: "\ufeff" + text,
    "trailing byte": lambda text: text + "x",
    "trailing NUL": lambda text: text + "\0",
    "trailing comma": lambda text: text[:-1] + ",}",
    "two documents": lambda text: text * 2,
    "comment": lambda text: "/**/" + text,
    "single quotes": lambda text: text.replace('"', "'"),
    "nothing": lambda _: "",
    "white space": lambda _: " \n",
    "null": lambda _: "null",
    "null as a value": lambda text: first_value(text, "null"),
    "array": lambda text: f"[{text}]",
    "cut": lambda text: text[:-2],
    "unknown field": lambda text: text[:-1] + ',"admin":true}',
    "no field": lambda _: "{}",
    "nested values": lambda text: first_value(text, "[" * 3_000),
    "nested unknown field": lambda text: text[:-1] + ',"x":' + '{"a":' * 2_000,
    "control character": lambda text: first_value(text, '"\n"'),
}


@pytest.mark.parametrize("title", TRICKS)
async def test_documents(arena: Arena, client: Agent, title: str) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone surrogates,
    BOM, trailing bytes"""
    for path, text in documents(arena, client).items():
        tricky = TRICKS[title](text)
        body = tricky.encode() if isinstance(tricky, str) else tricky
        await refuses(arena, path, body, MALFORMED)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"items":[', '{"did":'])
async def test_deep_nesting(arena: Arena, opening: str) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone surrogates,
    BOM, trailing bytes"""
    for path in PATHS:
        for text in (opening * 100_000, '{"items":[{"public_key":' + opening * 90_000):
            await refuses(arena, path, text.encode(), MALFORMED, (413, "payload_too_large"))


async def test_inner_duplicates(arena: Arena, client: Agent) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone surrogates,
    BOM, trailing bytes"""
    item = documents(arena, client)[VERIFY]
    twice = item[:-1] + ',"message":""}'
    for text in (f'{{"items":[{item},{twice}]}}', f'{{"items":[{item}],"items":[{item}]}}'):
        await refuses(arena, BATCH, text.encode(), MALFORMED)


async def test_the_documents_themselves_are_read(arena: Arena, client: Agent) -> None:
    """duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone surrogates,
    BOM, trailing bytes

    The honest document of each endpoint, or all the refusals above would say little.
    """
    expected = [200, 401, 401, 200, 200, 201]
    texts = documents(arena, client)
    assert tuple(texts) == PATHS
    for path, status in zip(PATHS, expected, strict=True):
        answer = await post(arena, path, f" {texts[path]}\n".encode())
        assert answer.status_code == status, (path, answer.text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "padding": lambda text: text + "=",
    "two paddings": lambda text: text + "==",
    "other alphabet": lambda text: "+/" + text[2:],
    "leading space": lambda text: " " + text,
    "inner space": lambda text: text[:9] + " " + text[9:],
    "line end": lambda text: text + "\\n",
    "trailing bits": lambda text: text[:-1] + chr(ord(text[-1]) + 1),
    "percent": lambda text: text[:-1] + "%41",
    "no ASCII": lambda text: text[:-1] + "é",
    "full width": lambda text: text[:-1] + "\uff21",
    "one character more": lambda text: text + "AA",
    "NUL": lambda text: text + "\\u0000",
}
FIELDS = (
    (INITIATE, "nonce"),
    (INITIATE, "client_public_key"),
    (INITIATE, "server_public_key"),
    (INITIATE, "client_ephemeral_key"),
    (INITIATE, "signature"),
    (COMPLETE, "confirmation"),
    (COMPLETE, "signature"),
    (f"/v1/sessions/{NOBODY}/rekey", "nonce"),
    (f"/v1/sessions/{NOBODY}/rekey", "mac"),
    (VERIFY, "public_key"),
    (VERIFY, "message"),
    (VERIFY, "signature"),
    (BATCH, "signature"),
    (DIDS, "keys"),
)


@pytest.mark.parametrize("title", SPELLINGS)
async def test_base64(arena: Arena, client: Agent, title: str) -> None:
    """base64 with padding, `+/`, whitespace, non-zero trailing bits"""
    for path, field in FIELDS:
        text = documents(arena, client)[path]
        found = re.search(rf'"{field}":\[?"([\w-]+)"', text)
        assert found is not None
        value = found[1]
        if title == "trailing bits" and len(value) % 4 not in {2, 3}:
            continue
        changed = text.replace(f'"{value}"', f'"{SPELLINGS[title](value)}"', 1)
        assert changed != text
        verdicts = [MALFORMED]
        if title == "one character more":
            verdicts.append((400, "invalid_key"))
            if field == "message":
                continue
        await refuses(arena, path, changed.encode(), *verdicts)


LIMITS = {
    INITIATE: 16_384,
    COMPLETE: 16_384,
    f"/v1/sessions/{NOBODY}/rekey": 16_384,
    f"/v1/sessions/{NOBODY}/messages": (1 << 20) + 64,
    VERIFY: 1 << 20,
    BATCH: 1 << 20,
    DIDS: 1 << 20,
}


def app_of(arena: Arena, path: str) -> PublicApp | AdminApp:
    return AdminApp(arena.gateway) if path == DIDS else PublicApp(arena.gateway)


def headers_of(arena: Arena, path: str, *others: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    kind = RECORD if path.endswith("/messages") else JSON
    token = b"Bearer " + arena.keys["operator token"]
    return [kind, *([(b"authorization", token)] if path == DIDS else []), *others]


@pytest.mark.parametrize("path", LIMITS)
async def test_bodies_over_the_limit(arena: Arena, path: str) -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    app, limit = app_of(arena, path), LIMITS[path]
    headers = headers_of(arena, path)
    async with arena.unharmed():
        length = (b"content-length", b"%d" % (limit + 1))
        announced = await ask(app, "POST", path, headers=[*headers, length], body=bytes(limit + 1))
        assert (announced.status, announced.code) == (413, "payload_too_large")
        assert announced.taken_len == 0, "refused unread"
        sent = await ask(app, "POST", path, headers=headers, body=b" " * (limit + 1))
        assert (sent.status, sent.code) == (413, "payload_too_large")
        fits = await ask(app, "POST", path, headers=headers, body=b" " * limit)
        assert fits.status in {400, 401}


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(4096)
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", LIMITS)
async def test_endless_bodies(arena: Arena, path: str) -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    app, limit = app_of(arena, path), LIMITS[path]
    chunked = (b"transfer-encoding", b"chunked")
    async with arena.unharmed():
        for others in ([chunked], [chunked, (b"content-length", b"10")], []):
            headers = headers_of(arena, path, *others)
            answer = await ask(app, "POST", path, headers=headers, body=endless())
            assert (answer.status, answer.code) == (413, "payload_too_large")
            assert answer.taken_len <= limit + 4096
            assert answer.headers[b"connection"] == b"close"


ENCODINGS = (
    b"gzip",
    b"GZIP",
    b"x-gzip",
    b"deflate",
    b"br",
    b"zstd",
    b"identity, gzip",
    b"aes",
    b"",
)


@pytest.mark.parametrize("path", LIMITS)
async def test_compressed_bodies(arena: Arena, path: str) -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    bomb = gzip.compress(bytes(10_000_000))
    app = app_of(arena, path)
    async with arena.unharmed():
        for encoding in ENCODINGS:
            headers = headers_of(arena, path, (b"content-encoding", encoding))
            answer = await ask(app, "POST", path, headers=headers, body=bomb)
            assert (answer.status, answer.code) == (415, "unsupported_media_type")
            assert answer.taken_len == 0, "refused unread"


TYPES = (
    None,
    b"",
    b"text/plain",
    b"application/jsonp",
    b"application/x-www-form-urlencoded",
    b"*/*",
)


@pytest.mark.parametrize("path", LIMITS)
async def test_bodies_of_another_type(arena: Arena, path: str) -> None:
    """body over the limit by one byte; endless chunks; gzip"""
    app = app_of(arena, path)
    async with arena.unharmed():
        for kind in TYPES:
            headers = headers_of(arena, path)[1:]
            if kind is not None:
                headers.append((b"content-type", kind))
            answer = await ask(app, "POST", path, headers=headers, body=b"{}")
            assert (answer.status, answer.code) == (415, "unsupported_media_type")


METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("get", "post", "FOO", "PROPFIND", "POST "),
)


def concrete(path: str) -> str:
    return path.replace("{session_id}", NOBODY).replace("{did}", "did:example:nobody")


def served(listener: str) -> dict[str, set[str]]:
    """Return the methods of each path of a listener."""
    tables = {
        "public": (*PUBLIC_ROUTES, *HEALTH_ROUTES),
        "admin": (*OPERATOR_ROUTES, *HEALTH_ROUTES),
    }
    methods: dict[str, set[str]] = {}
    for method, path, _ in tables[listener]:
        methods.setdefault(concrete(path), set()).add(method)
    return methods


@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_methods(arena: Arena, listener: str) -> None:
    """method, path and host tricks on every route"""
    app = PublicApp(arena.gateway) if listener == "public" else AdminApp(arena.gateway)
    async with arena.unharmed():
        for path, methods in served(listener).items():
            for method in set(METHODS) - methods:
                answer = await ask(app, method, path)
                assert (answer.status, answer.code) == (405, "method_not_allowed"), (method, path)
                assert answer.headers[b"allow"] == ", ".join(sorted(methods)).encode()


PATH_TRICKS: dict[str, Callable[[str], str]] = {
    "slash at the end": lambda path: path + "/",
    "two slashes": lambda path: "/" + path,
    "inner slashes": lambda path: path.replace("/v1/", "/v1//"),
    "dot": lambda path: path.replace("/v1/", "/v1/./"),
    "dots": lambda path: path.replace("/v1/", "/v1/../v1/"),
    "upper case": lambda path: path.replace("/v1/", "/V1/"),
    "NUL": lambda path: path + "\0",
    "semicolon": lambda path: path.replace("/v1/", "/v1;a=b/"),
    "backslash": lambda path: path.replace("/v1/", "\\v1\\"),
    "space": lambda path: path + " ",
    "newline": lambda path: path + "\n",
    "percent": lambda path: path.replace("/v1/", "/v1%2f"),
    "no slash": lambda path: path[1:],
    "absolute": lambda path: "http://gateway" + path,
    "full width": lambda path: path.replace("/v1/", "/\uff561/"),
    "half of a pair": lambda path: path.replace("/v1/", "/v1\udcff/"),
    "10 kB": lambda path: "/" + "a" * 10_000 + path,
    "extension": lambda path: path + ".json",
    "empty": lambda _: "",
}


@pytest.mark.parametrize("name", ["\udcff", "did:key:z6Mk\ud800", "did:example:a%41"])
async def test_names_that_are_no_text(arena: Arena, name: str) -> None:
    """method, path and host tricks on every route"""
    token = (b"authorization", b"Bearer " + arena.keys["operator token"])
    async with arena.unharmed():
        for app in (PublicApp(arena.gateway), AdminApp(arena.gateway)):
            for path in (f"/v1/dids/{name}", f"/v1/sessions/{name}"):
                answer = await ask(app, "GET", path, headers=[token])
                assert answer.status in {400, 404}
                assert answer.code in {"invalid_did", "not_found"}


@pytest.mark.parametrize("title", PATH_TRICKS)
async def test_paths(arena: Arena, title: str) -> None:
    """method, path and host tricks on every route"""
    for listener, app in (
        ("public", PublicApp(arena.gateway)),
        ("admin", AdminApp(arena.gateway)),
    ):
        async with arena.unharmed():
            for path, methods in served(listener).items():
                tricky = PATH_TRICKS[title](path)
                for method in methods:
                    answer = await ask(app, method, tricky, headers=[JSON], body=b"{}")
                    assert_nothing_served(answer, path)


def assert_nothing_served(answer: Answered, path: str) -> None:
    # A name at the end of a path is a name that is not known, or none at all.
    is_name = path.endswith(("nobody", NOBODY))
    allowed = {400, 401, 404} if is_name else {404}
    assert answer.status in allowed, (path, answer.status, answer.body)
    assert answer.code in {"not_found", "invalid_did", "unauthorized"}


SPOOFS = (
    (b"x-http-method-override", b"DELETE"),
    (b"x-original-url", b"/v1/health"),
    (b"x-rewrite-url", b"/v1/health"),
    (b"x-forwarded-host", b"gateway:8481"),
    (b"x-forwarded-prefix", b"/v1/dids"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"forwarded", b"for=127.0.0.1;host=admin"),
    (b"host", b"127.0.0.1:8481"),
    (b"x-real-ip", b"127.0.0.1"),
    (b"authorization", b"Bearer "),
    (b"authorization", b"Bearer null"),
    (b"authorization", b"Basic YWRtaW46YWRtaW4="),
    (b"cookie", b"token=admin"),
)


@pytest.mark.parametrize("spoof", SPOOFS)
async def test_headers_that_mean_nothing(arena: Arena, spoof: tuple[bytes, bytes]) -> None:
    """method, path and host tricks on every route"""
    admin, public = AdminApp(arena.gateway), PublicApp(arena.gateway)
    async with arena.unharmed():
        for method, path, _ in OPERATOR_ROUTES:
            answer = await ask(admin, method, concrete(path), headers=[JSON, spoof], body=b"{}")
            assert (answer.status, answer.code) == (401, "unauthorized"), path
        plain = await ask(public, "GET", "/v1/identity")
        spoofed = await ask(public, "GET", "/v1/identity", headers=[spoof])
        assert (spoofed.status, spoofed.body) == (200, plain.body)


async def test_tokens_in_other_places(arena: Arena) -> None:
    """method, path and host tricks on every route"""
    admin, token = AdminApp(arena.gateway), arena.keys["operator token"]
    right = (b"authorization", b"Bearer " + token)
    assert (await ask(admin, "GET", DIDS, headers=[right])).status == 200
    async with arena.unharmed():
        for headers, query in (
            ([right, right], b""),
            ([right, (b"authorization", b"Bearer x")], b""),
            ([(b"authorization", token)], b""),
            ([(b"authorization", b"Basic " + base64.b64encode(b":" + token))], b""),
            ([(b"authorization", b"Bearer " + token[:-1])], b""),
            ([(b"authorization", b"Bearer " + token + b"x")], b""),
            ([(b"authorization", b"Bearer " + token.swapcase())], b""),
            ([(b"proxy-authorization", b"Bearer " + token)], b""),
            ([(b"cookie", b"token=" + token)], b""),
            ([], b"access_token=" + token),
        ):
            answer = await ask(admin, "GET", DIDS, headers=headers, query=query)
            assert (answer.status, answer.code) == (401, "unauthorized")
            assert answer.headers[b"www-authenticate"].startswith(b"Bearer ")


async def test_browsers_of_other_origins(tmp_path: Path) -> None:
    """method, path and host tricks on every route"""
    friend = "https://app.example"
    cors = {"features.cors": True, "cors.origins": [friend]}
    async with open_arena(attack_settings(tmp_path, cors)) as arena:
        preflight = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        for origin in (
            "https://evil.example",
            "null",
            friend + ".evil.example",
            "http://app.example",
        ):
            asked = await arena.public.options(INITIATE, headers={"origin": origin, **preflight})
            assert asked.status_code == 400
            read = await arena.public.get("/v1/identity", headers={"origin": origin})
            for answer in (asked, read):
                assert answer.headers.get("access-control-allow-origin") != origin
                assert answer.headers.get("access-control-allow-origin") != "*"
                assert "access-control-allow-credentials" not in answer.headers
        asked = await arena.public.options(INITIATE, headers={"origin": friend, **preflight})
        assert asked.headers["access-control-allow-origin"] == friend
        admin = await arena.stranger.options(DIDS, headers={"origin": friend, **preflight})
        assert (admin.status_code, code_of(admin)) == (405, "method_not_allowed")
        client = await arena.registered()
        session = await client.handshake()
        assert await client.ask(session, b"through it") == b"through it"
        await arena.look()


async def test_websockets_are_not_spoken(arena: Arena) -> None:
    """method, path and host tricks on every route"""
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - any message
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/health", "headers": [], "subprotocols": []}
    for app in (PublicApp(arena.gateway), AdminApp(arena.gateway)):
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"] * 2


QUERIES = (
    *(b"limit=0", b"limit=101", b"limit=-1", b"limit=1e2", b"limit=%201", b"limit=\xd9\xa1"),
    *(b"limit=", b"limit=1&limit=1", b"limit=0001", b"limit=" + b"9" * 5_000),
    *(b"after=%00", b"after=x", b"after=%ff", b"after=%ed%a0%80", b"client_did=x", b"admin=true"),
    *(b"a", b"=", b"&", b"a=1&b=2&c=3&d=4", b"client_did=did:example:a'%20OR%20''='"),
    *(b"client_did=did:example:a&client_did=did:example:b", b"%6climit=1"),
)


@pytest.mark.parametrize("query", QUERIES)
async def test_queries(arena: Arena, query: bytes) -> None:
    """method, path and host tricks on every route"""
    token = (b"authorization", b"Bearer " + arena.keys["operator token"])
    async with arena.unharmed():
        answer = await ask(
            AdminApp(arena.gateway), "GET", "/v1/sessions", query=query, headers=[token]
        )
        assert answer.status == 400, answer
        assert answer.code in {"malformed_request", "invalid_did"}


async def test_forwarded_addresses(tmp_path: Path) -> None:
    """`X-Forwarded-For` from an unlisted peer"""
    limits = {
        "features.rate_limiting": True,
        "limits.requests_per_address": {"rate": 0.001, "burst": 3},
        "limits.handshakes_per_address": {"rate": 0.001, "burst": 3},
        "server.trusted_proxies": ["198.51.100.0/24"],
    }
    async with open_arena(attack_settings(tmp_path, limits)) as arena:
        app = PublicApp(arena.gateway)

        async def statuses(peer: str, *headers: bytes) -> list[int]:
            found = []
            for number in range(5):
                address = b"203.0.113.%d" % number
                written = [
                    (name, b"for=" + address if name == b"forwarded" else address)
                    for name in headers
                ]
                answer = await ask(
                    app, "GET", "/v1/identity", headers=written, client=(peer, 50_000)
                )
                found.append(answer.status)
                if answer.status == 429:
                    assert answer.code == "rate_limited"
                    assert int(answer.headers[b"retry-after"]) >= 1
            return found

        limited, free = [200] * 3 + [429] * 2, [200] * 5
        assert await statuses("192.0.2.1", b"x-forwarded-for") == limited
        assert await statuses("192.0.2.2", b"forwarded") == limited
        assert await statuses("192.0.2.3", b"x-real-ip", b"cf-connecting-ip") == limited
        assert await statuses("192.0.2.4") == limited
        for _ in range(3):
            assert await statuses("198.51.100.7", b"x-forwarded-for") == free, "each has three"
        assert await statuses("198.51.100.7", b"x-forwarded-for") == [429] * 5
        assert (await ask(app, "GET", "/v1/health", client=("192.0.2.1", 1))).status == 200


async def test_forged_records_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`X-Forwarded-For` from an unlisted peer

    Records are paid for by whom they come from, so what is forged is paid for by its address; an
    address that cannot pay buys no look into the store.
    """
    limits = {
        "features.rate_limiting": True,
        "limits.requests_per_address": {"rate": 0.001, "burst": 3},
    }
    async with open_arena(attack_settings(tmp_path, limits)) as arena:
        app = PublicApp(arena.gateway)
        store = arena.gateway.manager._loader._store
        looked_up: list[str] = []
        read = store.get

        async def counted(session_id: str) -> object:
            looked_up.append(session_id)
            return await read(session_id)

        monkeypatch.setattr(store, "get", counted)
        statuses = []
        for number in range(50):
            session_id = f"{number:08x}-0000-0000-0000-000000000000"
            record = b"\1\1\0\0" + bytes.fromhex(session_id.replace("-", "")) + bytes(100)
            headers = [RECORD, (b"x-forwarded-for", b"203.0.113.%d" % number)]
            path = f"/v1/sessions/{session_id}/messages"
            answer = await ask(app, "POST", path, headers=headers, body=record)
            statuses.append(answer.status)
        assert statuses == [401] * 3 + [429] * 47
        assert len(looked_up) <= 4
        await arena.look()


TROUBLES = ("refuse", "silent", "garbage", "slow")
STORE_UNAVAILABLE = (503, "store_unavailable")


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_store_in_trouble(tmp_path: Path, redis_server: RedisServer, trouble: str) -> None:
    """store unreachable, slow, returning garbage; pool exhausted

    Calls of the store are given up after 0.3 s here. Every request ends, and none is let in.
    """
    redis_server.flush()
    key = SigningKey.generate()
    async with Proxy(redis_server.port) as proxy:
        settings = attack_settings(
            tmp_path,
            {
                "storage.url": f"redis://127.0.0.1:{proxy.port}/0",
                "storage.timeout": 0.3,
                "replay.guarantee": "durable",
                "admission.policy": "allow_list",
                "admission.allow_list": [key.did],
                "limits.max_in_flight": 1_000,
                "limits.challenge_above_in_flight": 1_000,
            },
        )
        async with open_arena(settings) as arena:
            client = arena.agent(key)
            session = await client.handshake()
            challenge = await challenge_of(arena, client)
            await proxy.begin(trouble)
            async with asyncio.timeout(30):
                pen = Forger(arena, key)
                texts = [pen.json(challenge=challenge) for _ in range(200)]
                calls = [client.post(INITIATE, text) for text in texts]
                stranger = b"\1\1\0\0" + bytes(100)
                calls += [client.send_record(NOBODY, stranger) for _ in range(20)]
                tasks = [asyncio.create_task(call) for call in calls]
                await asyncio.sleep(0)
                health = await arena.public.get("/v1/health")
                assert health.status_code == 200, "alive, while the store hangs"
                answers = await asyncio.gather(*tasks)
            for answer in answers:
                assert answer.status_code == 503
                assert code_of(answer) in {"store_unavailable", "overloaded"}
                assert int(answer.headers["retry-after"]) >= 1
            assert (await arena.public.get("/v1/ready")).status_code == 503
            assert await client.ask(session, b"in use") == b"in use"
            assert len(arena.gateway.manager) == 1
            await proxy.begin("pass")
            await recovered(arena)
            challenge = await challenge_of(arena, client)
            assert (await client.post(INITIATE, pen.json(challenge=challenge))).status_code == 200


async def test_many_who_ask_whether_it_is_ready(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """store unreachable, slow, returning garbage; pool exhausted

    Nothing limits who asks for readiness, so asking must not exhaust the store's connections.
    """
    begun, go = 0, asyncio.Event()

    async def check() -> None:
        nonlocal begun
        begun += 1
        await go.wait()

    monkeypatch.setattr(arena.gateway.storage, "check", check)
    for _ in range(2):
        begun = 0
        go.clear()
        calls = [asyncio.create_task(arena.public.get("/v1/ready")) for _ in range(50)]
        while begun == 0:
            await asyncio.sleep(0)
        calls[0].cancel()
        await asyncio.sleep(0.01)
        go.set()
        answers = await asyncio.gather(*calls[1:])
        assert {answer.status_code for answer in answers} == {200}
        assert begun == 1


async def challenge_of(arena: Arena, client: Agent, **changes: int) -> bytes:
    text = Forger(arena, client.key).json(challenge=bytes(25), **changes)
    answer = await client.post(INITIATE, text)
    assert code_of(answer) == "challenge_required"
    return base64.urlsafe_b64decode(answer.json()["challenge"] + "==")


async def recovered(arena: Arena) -> None:
    async with asyncio.timeout(20):
        while (await arena.public.get("/v1/ready")).status_code != 200:
            await asyncio.sleep(0.05)
    arena.answers.clear()


async def test_full_nonces(tmp_path: Path) -> None:
    """nonce or session capacity reached"""
    async with open_arena(attack_settings(tmp_path, {"replay.capacity": 1024})) as arena:
        client = await arena.registered()
        pen = Forger(arena, client.key)
        first = pen.json()
        assert (await client.post(INITIATE, first)).status_code == 200
        nonces = arena.gateway.nonces
        assert isinstance(nonces, MachineNonces)
        until_ms = now_ms() + 120_000

        refused_count = 0
        for number in range(20_000):
            try:
                nonces.memory.admit("did:example:x", b"%032d" % number, until_ms)
            except CapacityError:
                refused_count += 1
        assert refused_count > 10_000
        full = []
        for _ in range(5):
            async with arena.unharmed():
                answer = await client.post(INITIATE, pen.json())
                full.append((answer.status_code, code_of(answer)))
                assert int(answer.headers["retry-after"]) >= 1
        assert full == [(503, "store_full")] * 5
        replayed = await client.post(INITIATE, first)
        assert (replayed.status_code, code_of(replayed)) == (409, "replay_detected"), "not evicted"


async def test_full_sessions(tmp_path: Path) -> None:
    """nonce or session capacity reached"""
    limits = {"session.max_sessions": 3, "session.max_sessions_per_client": 2}
    async with open_arena(attack_settings(tmp_path, limits)) as arena:
        one, other = await arena.registered(), await arena.registered()
        sessions = [(one, await one.handshake()), (one, await one.handshake())]
        attempt = await one.attempt()
        third = await one.send_m1(attempt)
        if third.status_code == 200:
            m3, _ = attempt.finish(decode_json("accept", third.content))
            third = await one.post(COMPLETE, encode_json("confirm", m3))
        assert (third.status_code, code_of(third)) == (503, "store_full")
        sessions.append((other, await other.handshake()))
        beyond = await other.send_m1(await other.attempt())
        assert (beyond.status_code, code_of(beyond)) == (503, "store_full")
        for agent, session in sessions:
            assert await agent.ask(session, b"still here") == b"still here"
        await arena.look()


@pytest.mark.parametrize("challenges", ["when_needed", "always"])
async def test_clock_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, challenges: str
) -> None:
    """clock −1 h, +1 h"""
    offset_ns = 0

    def time_ns() -> int:
        return now_ms() * 1_000_000 + offset_ns

    monkeypatch.setattr(handshake_routes, "time", types.SimpleNamespace(time_ns=time_ns))
    settings = attack_settings(tmp_path, {"handshake.challenges": challenges})
    async with open_arena(settings) as arena:
        client = await arena.registered()
        pen = Forger(arena, client.key)
        challenge = await challenge_of(arena, client)
        accepted = pen.json(challenge=challenge)
        assert (await client.post(INITIATE, accepted)).status_code == 200
        codes = []
        async with arena.unharmed():
            for hours in (1, -1, 0, -1, 1, 0):
                offset_ns = hours * 3_600_000_000_000
                answer = await client.post(INITIATE, accepted)
                codes.append(code_of(answer))
                assert answer.status_code in {401, 409}
        assert codes == [
            *("stale_timestamp", "stale_timestamp", "replay_detected"),
            *("stale_timestamp", "stale_timestamp", "replay_detected"),
        ]
        # A clock that was set is not believed: whoever has no challenge is asked for one.
        answer = await client.post(INITIATE, pen.json())
        assert (answer.status_code, code_of(answer)) == (401, "challenge_required")
        # What the clock of that time takes does not come back when it is set right.
        offset_ns = -3_600_000_000_000
        then_ms = now_ms() - 3_600_000
        challenge = await challenge_of(arena, client, timestamp_ms=then_ms)
        past = pen.json(timestamp_ms=then_ms, challenge=challenge)
        await client.post(INITIATE, past)
        offset_ns = 0
        async with arena.unharmed():
            for text in (past, accepted):
                answer = await client.post(INITIATE, text)
                assert answer.status_code in {401, 409}


async def test_pages_of_sessions(arena: Arena, client: Agent) -> None:
    """other DID's sessions listed or deleted"""
    other = await arena.registered()
    mine = [await client.handshake() for _ in range(3)]
    theirs = await other.handshake()
    public = arena.public
    async with arena.unharmed():
        for method, path in (
            ("GET", "/v1/sessions"),
            ("GET", f"/v1/sessions?client_did={other.did}"),
            ("GET", f"/v1/sessions/{theirs.session_id}"),
            ("DELETE", f"/v1/sessions/{theirs.session_id}"),
            ("DELETE", f"/v1/sessions/{theirs.session_id}/messages"),
            ("DELETE", f"/v1/dids/{other.did}"),
        ):
            answer = await public.request(method, path)
            assert answer.status_code in {404, 405}, (method, path)
        # Nor by a record of one's own session.
        record = mine[0].seal_close()
        forged = record[:4] + bytes.fromhex(theirs.session_id.replace("-", "")) + record[20:]
        answer = await client.send_record(theirs.session_id, forged)
        assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    assert await other.ask(theirs, b"still here") == b"still here"
    listed = await arena.admin.get("/v1/sessions", params={"client_did": client.did})
    assert {row["client_did"] for row in listed.json()["sessions"]} == {client.did}
    assert len(listed.json()["sessions"]) >= 3


async def test_a_page_has_100_rows_at_the_most(tmp_path: Path) -> None:
    """other DID's sessions listed or deleted"""
    async with open_arena(attack_settings(tmp_path)) as arena:
        clients = [await arena.registered() for _ in range(5)]
        ids = {(await client.handshake()).session_id for client in clients for _ in range(21)}
        seen: list[str] = []
        after: str | None = None
        for most in (100, 5):
            query = {} if after is None else {"after": after}
            page = (await arena.admin.get("/v1/sessions", params=query)).json()
            assert len(page["sessions"]) == most
            seen += [row["session_id"] for row in page["sessions"]]
            after = page["next"]
        assert after is None
        assert sorted(seen) == sorted(ids)
        assert "secret" not in json.dumps(page)
        await arena.look()


HIDDEN = (
    *("/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.yaml", "/openapi.json", "/admin"),
    *("/v1/sessions", "/v1/dids", "/v1/health/detail", f"/v1/sessions/{NOBODY}", "/redoc"),
    *("/debug", "/.env", "/.git/config", "/", "/v1", "/favicon.ico", "/static/../secrets/kek"),
)


async def test_what_the_public_listener_does_not_show(arena: Arena) -> None:
    """metrics, docs, admin on the public listener"""
    token = (b"authorization", b"Bearer " + arena.keys["operator token"])
    async with arena.unharmed():
        for path in HIDDEN:
            for headers in ([], [token]):
                answer = await ask(PublicApp(arena.gateway), "GET", path, headers=headers)
                assert (answer.status, answer.code) == (404, "not_found"), path


async def test_what_production_does_not_show(tmp_path: Path) -> None:
    """metrics, docs, admin on the public listener"""
    settings = attack_settings(tmp_path, {"admin.ui": False})
    async with open_arena(settings) as arena:
        for path in ("/docs", "/openapi.yaml", "/docs/swagger-ui.css"):
            answer = await ask(AdminApp(arena.gateway), "GET", path)
            assert (answer.status, answer.code) == (404, "not_found"), path


SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "provider": ({"secrets.provider": "vualt"}, "secrets.provider"),
    "unknown section": ({"securty.level": "high"}, "securty"),
    "unknown key": ({"limits.max_in_fligth": 1}, "max_in_fligth"),
    "no such switch": ({"features.authentication": False}, "authentication"),
    "no TLS": ({}, "server.tls"),
    "no limits": ({"features.rate_limiting": False}, "features.rate_limiting"),
    "limits of nothing": ({"limits.max_in_flight": 0}, "limits.max_in_flight"),
    "everybody": ({"admission.policy": "any_did_key"}, "admission.policy"),
    "no challenge": ({"handshake.challenges": "when_needed"}, "handshake.challenges"),
    "the page": ({"admin.ui": True}, "admin.ui"),
    "store in memory": ({"storage.url": "memory:"}, "storage.url"),
    "secrets in the environment": ({"secrets.provider": "env"}, "secrets.provider"),
    "believes everybody": ({"server.trusted_proxies": ["0.0.0.0/0"]}, "server.trusted_proxies"),
    "echo": ({"behind.application": "echo"}, "behind.application"),
}


@pytest.mark.parametrize("title", SETTINGS)
async def test_settings_that_do_not_start(tmp_path: Path, title: str) -> None:
    """`provider: vualt`, unknown key, TLS or limits off in the production profile"""
    changes, key = SETTINGS[title]
    good: dict[str, object] = {
        "state_dir": str(tmp_path / "state"),
        "behind.upstream": "http://127.0.0.1:9",
        "server.trusted_proxies": ["10.0.0.1/32"],
    }
    load_settings("production", environ={}, overrides=good)
    if title == "no TLS":
        del good["server.trusted_proxies"]
    if title == "echo":
        del good["behind.upstream"]
    with pytest.raises(ConfigurationError, match=re.escape(key)):
        load_settings("production", environ={}, overrides={**good, **changes})


async def test_serve_refuses_to_start(tmp_path: Path) -> None:
    """`provider: vualt`, unknown key, TLS or limits off in the production profile"""
    state = f"state_dir={tmp_path / 'state'}"
    done = await asyncio.to_thread(
        run, "serve", "--profile", "dev", "--set", state, "--set", "secrets.provider=vualt"
    )
    refused(done, "vualt", "vault", status=1)
    assert not (tmp_path / "state").exists()
