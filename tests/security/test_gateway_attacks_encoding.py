"""Attacks on JSON, base64 and bodies of a running gateway. Each docstring begins with its row."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sage_native.gateway import AdminApp, PublicApp
from sage_native.protocol import encode_json
from tests.gateways import code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena
from tests.security.gateway.asgi import ask
from tests.security.gateway.forging import INITIATE, Forger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx2

    from tests.gateways import Agent

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERIFY, BATCH, DIDS = "/v1/signatures/verify", "/v1/signatures/verify-batch", "/v1/dids"
COMPLETE = "/v1/handshake/complete"
JSON = (b"content-type", b"application/json")
RECORD = (b"content-type", b"application/sage-record")
NOBODY = "00000000-0000-0000-0000-000000000000"
MALFORMED = (400, "malformed_request")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Agent]]:
    settings = attack_settings(tmp_path_factory.mktemp("encoding"))
    async with open_arena(settings) as arena:
        yield arena, await arena.registered()


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
