"""Endpoints without a task: one reply, and what is raised is mapped as it is with a task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.exceptions import AuthenticationError, StorageError
from sage_native.gateway.answers import NO_CONTENT, Answer
from sage_native.gateway.limits import ClientGoneError
from sage_native.gateway.limits.bodies import WHOLE_KEY
from sage_native.gateway.routes.handshake import begin_complete, begin_initiate
from sage_native.gateway.taskless import TasklessEndpoint
from sage_native.protocol import decode_json, encode_json
from tests.gateways import Site, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sage_native.gateway.gateway import Gateway
    from sage_native.gateway.taskless import Begin, Done

SMALL = {"replay.capacity": 10_000, "replay.windows": 4096, "handshake.challenges": "when_needed"}
JSON = b"application/json"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(gateway_settings(tmp_path, SMALL)) as site:
        site.gateway.challenges._is_complete = lambda _: True
        yield site


def scope_of(body: bytes, content_type: bytes = JSON) -> dict[str, Any]:
    return {"method": "POST", "client": ("192.0.2.1", 1), WHOLE_KEY: (content_type, body)}


async def replies(gateway: Gateway, begin: Begin, body: bytes, kind: bytes = JSON) -> list[Any]:
    told: list[Any] = []
    TasklessEndpoint(gateway, begin).begin(scope_of(body, kind), told.append)
    deadline_s = asyncio.get_running_loop().time() + 20
    while not told and asyncio.get_running_loop().time() < deadline_s:
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0)
    return told


def ends_with(answer: Answer | None, error: BaseException | None) -> Begin:
    def begin(_gateway: Gateway, _scope: object, done: Done) -> None:
        done(answer, error)

    return begin


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 204),
        (AuthenticationError("authentication failed"), 401),
        (StorageError("what went wrong inside"), 503),
        (RuntimeError("what went wrong inside"), 500),
        (asyncio.CancelledError(), 500),
    ],
)
async def test_an_end_becomes_an_answer(
    site: Site, error: BaseException | None, status: int
) -> None:
    answer = None if error else NO_CONTENT
    (reply,) = await replies(site.gateway, ends_with(answer, error), b"")
    assert reply.status == status
    assert b"inside" not in reply.body


async def test_nobody_is_left_to_be_answered(site: Site) -> None:
    told = await replies(site.gateway, ends_with(None, ClientGoneError("gone")), b"")
    assert told == [None]


async def test_an_address_that_asks_too_often_is_refused_before_the_work(
    tmp_path: Path,
) -> None:
    few = {"limits.requests_per_address.rate": 0.001, "limits.requests_per_address.burst": 1}
    async with open_site(gateway_settings(tmp_path, {**SMALL, **few})) as site:
        begun: list[object] = []

        def begin(_gateway: Gateway, _scope: object, done: Done) -> None:
            begun.append(done)
            done(NO_CONTENT, None)

        answers = [(await replies(site.gateway, begin, b""))[0].status for _ in range(2)]
    assert answers == [204, 429]
    assert len(begun) == 1


async def test_a_handshake_needs_no_task(site: Site) -> None:
    agent = await site.registered()
    attempt = await agent.attempt()
    (m2,) = await replies(site.gateway, begin_initiate, encode_json("initiate", attempt.message))
    assert m2.status == 200
    m3, session = attempt.finish(decode_json("accept", m2.body))
    (done,) = await replies(site.gateway, begin_complete, encode_json("confirm", m3))
    assert done == NO_CONTENT
    assert await agent.ask(session, b"hello") == b"hello"
    assert site.gateway.in_flight.count == 0


@pytest.mark.parametrize("begin", [begin_initiate, begin_complete])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", JSON, 400),
        (b"{}", b"text/plain", 415),
        (bytes(16_385), JSON, 413),
        (b'{"session_id":"00"', JSON, 400),
    ],
)
async def test_what_is_wrong_is_refused_and_leaves_nothing(
    site: Site, begin: Begin, body: bytes, kind: bytes, status: int
) -> None:
    (answer,) = await replies(site.gateway, begin, body, kind)
    assert answer.status == status
    assert site.gateway.in_flight.count == 0
    assert len(site.gateway.manager) == 0


async def test_an_m3_without_a_place_is_refused(site: Site) -> None:
    in_flight = site.gateway.in_flight
    places = in_flight.limit - in_flight.count
    for _ in range(places):
        in_flight.enter()
    (answer,) = await replies(site.gateway, begin_complete, b"{}")
    assert answer.status == 503
    assert in_flight.count == in_flight.limit
