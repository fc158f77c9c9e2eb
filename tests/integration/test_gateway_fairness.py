"""Nobody spends what is another's: places, tokens, the time of the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway import Gateway, PublicApp
from sage_native.gateway.limits import ClientAddresses, addresses
from sage_native.gateway.routes.records import REQUEST_AAD
from tests.gateways import Site, code_of, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SMALL = {
    "admission.policy": "any_did_key",
    "limits.max_in_flight": 4,
    "limits.challenge_above_in_flight": 3,
    "limits.handshakes_per_did": {"rate": 0.001, "burst": 3},
    "limits.records_per_did": {"rate": 0.001, "burst": 5},
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(gateway_settings(tmp_path, SMALL)) as site:
        yield site


def post(site: Site, path: str, address: str, answers: list[int]) -> asyncio.Task[None]:
    """Begin a request whose body never comes."""
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await never.wait()
        raise AssertionError

    async def send(message: Any) -> None:  # noqa: ANN401 - what ASGI sends
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    kind = b"application/sage-record" if path.endswith("messages") else b"application/json"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", kind), (b"content-length", b"1000")],
        "client": (address, 1),
    }
    app: Any = PublicApp(site.gateway)
    return asyncio.get_running_loop().create_task(app(scope, receive, send))


@pytest.mark.parametrize(
    "path",
    ["/v1/handshake/initiate", "/v1/sessions/00000000-0000-0000-0000-000000000000/messages"],
)
async def test_who_sends_no_body_takes_no_place(site: Site, path: str) -> None:
    answers: list[int] = []
    waiting = [post(site, path, f"192.0.2.{number % 2}", answers) for number in range(200)]
    await asyncio.sleep(0.01)
    # Each of the two addresses is waited for so often; the others were told to come again.
    assert answers == [503] * 72
    assert site.gateway.deadlines.reading_count == 128
    assert site.gateway.in_flight.count == 0
    agent = site.agent()
    session = await agent.handshake()
    assert await agent.ask(session, b"served") == b"served"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert site.gateway.deadlines.reading_count == 0


async def test_a_replayed_m1_spends_nothing_of_its_client(site: Site) -> None:
    agent = site.agent()
    await agent.handshake()
    attempt = await agent.attempt()
    challenge = (await agent.send_m1(attempt)).json().get("challenge")
    assert challenge is not None
    for _ in range(20):
        refused = await agent.send_m1(attempt)
        assert code_of(refused) in {"challenge_required", "replay_detected"}
    await agent.handshake()
    await agent.handshake()
    with pytest.raises(AssertionError, match="rate_limited"):
        await agent.handshake()


async def test_a_client_has_one_rate_of_records_for_all_of_its_sessions(site: Site) -> None:
    agent = site.agent()
    sessions = [await agent.handshake() for _ in range(3)]
    delivered = 0
    for number in range(30):
        session = sessions[number % 3]
        record = session.seal(b"x", aad=REQUEST_AAD)
        answer = await agent.send_record(session.session_id, record)
        delivered += answer.status_code == 200
        if answer.status_code != 200:
            assert code_of(answer) == "rate_limited"
            again = await agent.send_record(session.session_id, record)
            assert code_of(again) == "rate_limited", "it was not opened, and is no replay"
    assert delivered == 6


async def test_gateways_of_one_loop_begin_together(tmp_path: Path) -> None:
    settings = gateway_settings(tmp_path)
    gateways = [Gateway(settings) for _ in range(3)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(gateway.__aenter__() for gateway in gateways))
        announced = [gateway.identities.announced() for gateway in gateways]
        await asyncio.gather(*(gateway.__aexit__() for gateway in gateways))
    assert announced[0] == announced[1] == announced[2]


@pytest.mark.parametrize("path", ["/v1%2Fhealth", "/v1/handshake%2finitiate", "/v1%5Chealth"])
async def test_encoded_slashes_lead_nowhere(site: Site, path: str) -> None:
    for http in (site.public, site.admin):
        for method in ("GET", "POST"):
            answer = await http.request(method, path)
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert (await site.public.get("/v1/dids/did%3Aexample%3Aa")).status_code == 404


@pytest.mark.parametrize(
    "hostile",
    [
        b"for=1.2.3.4," + b" " * 4000 + b"!",
        b"for=1.2.3.4" + b"\t " * 2000 + b"!",
        b'for="' + b"\\\\" * 2000,
        b";" * 4000,
        (b"for=1.2.3.4;" * 330)[:4000],
    ],
)
def test_a_header_costs_no_more_than_its_length(hostile: bytes) -> None:
    """The pattern takes each sign once: twice as long takes no four times as many steps."""
    steps = []
    for text in (hostile[: len(hostile) // 2], hostile):
        spans = 0
        at = 0
        decoded = text.decode("latin-1")
        while at < len(decoded):
            found = addresses._PAIR.match(decoded, at)
            if found is None or found.end() == at:
                break
            at = found.end()
            spans += 1
        steps.append(spans)
    assert steps[1] <= 2 * steps[0] + 2
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"forwarded", hostile)]}
    assert ClientAddresses(["10.0.0.0/8"]).of(scope) in {"10.0.0.1", "1.2.3.4"}
