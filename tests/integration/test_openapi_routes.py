"""The routes of both listeners are those of the description, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateways import Site, code_of, gateway_settings, open_site
from tests.openapi.conformance import SPEC_OF, undocumented
from tests.openapi.exchanges import exchanges
from tests.openapi.source import SPEC, load, operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND")
LISTENERS = ("public", "admin")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = gateway_settings(tmp_path, {"features.rate_limiting": False})
    async with open_site(settings) as site:
        yield site


def client_of(site: Site, listener: str) -> httpx2.AsyncClient:
    return site.public if listener == "public" else site.admin


def described(listener: str) -> set[tuple[str, str]]:
    found = operations(SPEC_OF[listener])
    return {(method.upper(), path) for path, method, _ in found}


def routed(client: httpx2.AsyncClient) -> set[tuple[str, str]]:
    router = client._transport.app._router  # type: ignore[attr-defined]
    return {(method, route.path) for route in router.routes for method in route.endpoint._endpoints}


@pytest.mark.parametrize("listener", LISTENERS)
async def test_routes_and_description_are_the_same(site: Site, listener: str) -> None:
    routes = routed(client_of(site, listener))
    assert routes == described(listener)
    assert len(routes) == {"public": 10, "admin": 13}[listener]


@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_path_takes_its_methods_alone(site: Site, listener: str) -> None:
    client = client_of(site, listener)
    every_path = {path for _, path in described("public") | described("admin")}
    for path in every_path:
        served = {method for method, of in described(listener) if of == path}
        for method in METHODS:
            answer = await client.request(method, filled(path))
            if method in served:
                operation = SPEC_OF[listener]["paths"][path][method.lower()]["operationId"]
                assert undocumented(operation, *parts(answer)) == []
            elif served:
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) == served
            else:
                assert answer.status_code == 404, (method, path)
                assert method == "HEAD" or code_of(answer) == "not_found"


@pytest.mark.parametrize("listener", LISTENERS)
async def test_near_misses_of_paths_are_not_found(site: Site, listener: str) -> None:
    client = client_of(site, listener)
    for method, path in described(listener):
        for miss in (filled(path) + "/", "/" + filled(path), filled(path).upper(), "/v1" + path):
            answer = await client.request(method, f"http://gateway{miss}")
            assert answer.status_code == 404, (method, miss)
            assert code_of(answer) == "not_found"


async def test_what_is_guarded_wants_the_token(site: Site) -> None:
    guarded = 0
    for path, method, operation in operations(SPEC_OF["admin"]):
        answer = await site.stranger.request(method.upper(), filled(path))
        if {"operatorToken": []} in operation["security"]:
            assert (answer.status_code, code_of(answer)) == (401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert undocumented(operation["operationId"], *parts(answer)) == []
            guarded += 1
        else:
            assert answer.status_code == 200, path
    assert guarded == 8


async def test_the_description_that_is_served_is_the_file(site: Site) -> None:
    served = await site.admin.get("/openapi.yaml")
    assert served.content == SPEC.read_bytes()


async def test_without_the_page_nothing_of_it_is_served(tmp_path: Path) -> None:
    settings = gateway_settings(tmp_path, {"admin.ui": False})
    async with open_site(settings) as site:
        for path in ("/docs", "/docs/page.js", "/openapi.yaml"):
            answer = await site.admin.get(path)
            assert (answer.status_code, code_of(answer)) == (404, "not_found")


def filled(path: str) -> str:
    """Put the examples of the description into a path."""
    (session,) = {
        item["request"]["path"].split("/")[3]  # type: ignore[index]
        for item in exchanges(load(), "sessions")
        if item["operation"] == "readSession"
    }
    did = load()["components"]["parameters"]["Did"]["example"]
    values = {"{session_id}": session, "{did}": did, "{name}": "page.css"}
    for name, value in values.items():
        path = path.replace(name, value)
    return path


def parts(answer: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, dict(answer.headers), answer.content
