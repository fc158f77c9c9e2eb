"""What stands around the work of every endpoint."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.exceptions import KeyUnavailableError, StorageError, UsageError
from sage_native.gateway import PublicApp
from tests.gateways import Site, code_of, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WRONG = "what went wrong inside"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    limits = {"replay.capacity": 10_000, "replay.windows": 4096, "limits.max_in_flight": 2}
    async with open_site(gateway_settings(tmp_path, limits)) as site:
        yield site


@pytest.mark.parametrize("error", [RuntimeError(WRONG), KeyError(WRONG), UsageError(WRONG)])
async def test_a_fault_of_ours_is_told_to_the_log_alone(
    site: Site,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(site.gateway.identities, "announced", fail)
    answer = await site.public.get("/v1/identity")
    assert (answer.status_code, code_of(answer)) == (500, "internal_error")
    assert answer.json().keys() == {"type", "title", "status"}
    assert WRONG not in answer.text
    assert WRONG in caplog.text
    assert site.gateway.in_flight.count == 0
    monkeypatch.undo()
    assert (await site.public.get("/v1/identity")).status_code == 200


async def test_what_the_store_says_stays_here(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: str) -> None:
        raise StorageError(WRONG)

    store = site.gateway.storage.dids
    assert store is not None
    monkeypatch.setattr(store, "get", fail)
    answer = await site.public.get("/v1/dids/did:example:a")
    assert (answer.status_code, code_of(answer)) == (503, "store_unavailable")
    assert WRONG not in answer.text


async def test_an_unknown_kek_makes_the_rotation_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise KeyUnavailableError(WRONG)

    monkeypatch.setattr(site.gateway.manager, "open", fail)
    session_id = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    answer = await site.agent().send_record(session_id, bytes(64))
    assert (answer.status_code, code_of(answer)) == (503, "key_unavailable")
    assert site.gateway.rotation._wanted.is_set()


async def test_places_are_taken_and_given_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    inside = 0

    async def wait(_: str) -> None:
        nonlocal inside
        inside += 1
        await go.wait()

    store = site.gateway.storage.dids
    assert store is not None
    monkeypatch.setattr(store, "get", wait)
    path = "/v1/dids/did:example:a"
    calls = [asyncio.create_task(site.public.get(path)) for _ in range(2)]
    while inside < 2:
        await asyncio.sleep(0)
    beyond = await site.public.get(path)
    assert (beyond.status_code, code_of(beyond)) == (503, "overloaded")
    assert beyond.headers["retry-after"] == "1"
    assert (await site.public.get("/v1/health")).status_code == 200, "takes no place"
    calls[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    go.set()
    assert (await calls[1]).status_code == 404
    assert site.gateway.in_flight.count == 0


async def test_nobody_is_answered_who_has_gone(site: Site) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - any message
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/signatures/verify",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"5")],
        "client": ("192.0.2.1", 1),
        "query_string": b"",
    }
    await PublicApp(site.gateway)(scope, receive, send)
    assert sent == []
    assert site.gateway.in_flight.count == 0
