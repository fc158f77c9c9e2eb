"""The page of the description, as a browser without any network sees it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import httpx2
import pytest

from sage_native.gateway import ui
from tests.openapi.browser import CHROMIUM, admin_app, served, take_picture, visit
from tests.openapi.source import API_DIR, load, operations

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PUBLISHED = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": (
        "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb"
    ),
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files of swagger-ui-dist 5.35.0 as they were published."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(admin_app(tmp_path_factory.mktemp("gateway"))) as url:
        yield url


@needs_chromium
def test_every_operation_is_listed(address: str) -> None:
    seen = visit(f"{address}/docs#/authentication/initiateHandshake")
    assert seen.console == []
    listed = set(re.findall(r'id="operations-(\w+)-(\w+)"', seen.dom))
    expected = {
        (operation["tags"][0], operation["operationId"]) for _, _, operation in operations(load())
    }
    assert {pair for pair in listed if pair[0] != "tag"} == expected
    assert "SAGE gateway" in seen.dom
    assert "errors-wrapper" not in seen.dom
    # The operation that the address names is unfolded, with its worked example.
    example = load()["components"]["examples"]["Initiate"]["value"]
    assert example["signature"] in seen.dom


@needs_chromium
def test_a_picture_shows_it(address: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    take_picture(f"{address}/docs", picture)
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 50_000  # a blank one has 10,000
    in_documents = API_DIR.parent / "docs" / "images" / "swagger.png"
    assert 20_000 < in_documents.stat().st_size <= 200 * 1024


@needs_chromium
def test_a_stricter_policy_would_be_noticed(tmp_path: Path) -> None:
    with served(_with_policy(admin_app(tmp_path), b"script-src 'none'")) as url:
        seen = visit(f"{url}/docs")
    assert any("Content Security Policy" in line for line in seen.console)
    assert "operations-" not in seen.dom


def _with_policy(app: ASGIApp, policy: bytes) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", policy)]
            await send(message)

        await app(scope, receive, send_on)

    return wrapped


def test_what_is_served(address: str) -> None:
    with httpx2.Client(base_url=address) as client:
        page = client.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "unsafe" not in page.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|https?:", page.text)
        linked = re.findall(r'(?:src|href)="docs/([^"]+)"', page.text)
        assert set(linked) < set(ui.ASSET_NAMES)
        for name in ui.ASSET_NAMES:
            answer = client.get(f"/docs/{name}")
            assert answer.status_code == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
            if name in PUBLISHED:
                assert hashlib.sha256(answer.content).hexdigest() == PUBLISHED[name]
        description = client.get("/openapi.yaml")
        assert description.headers["content-type"] == "application/yaml"
        assert description.content == (API_DIR / "openapi.yaml").read_bytes()


def test_nothing_else_is_served(address: str) -> None:
    with httpx2.Client(base_url=address) as client:
        for path in ("/docs/", "/docs/page.html", "/docs/..%2fapp.py", "/docs/swagger/NOTICE"):
            assert client.get(path).status_code == 404, path
        refused = client.post("/docs")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET"
        assert refused.json()["type"] == "urn:sage:problem:method_not_allowed"


def test_the_assets_of_the_description_are_those_served() -> None:
    (name,) = load()["paths"]["/docs/{name}"]["parameters"]
    assert set(name["schema"]["enum"]) == set(ui.ASSET_NAMES)
