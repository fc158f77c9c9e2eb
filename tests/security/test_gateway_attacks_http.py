"""Attacks by method, path, header and query on a gateway. Each docstring begins with its row."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sage_native.gateway import AdminApp, PublicApp
from sage_native.gateway.app import HEALTH_ROUTES, OPERATOR_ROUTES, PUBLIC_ROUTES
from tests.gateways import code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena
from tests.security.gateway.asgi import Answered, ask
from tests.security.gateway.forging import INITIATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.gateways import Agent

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIDS = "/v1/dids"
JSON = (b"content-type", b"application/json")
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Agent]]:
    settings = attack_settings(tmp_path_factory.mktemp("http"))
    async with open_arena(settings) as arena:
        yield arena, await arena.registered()


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
