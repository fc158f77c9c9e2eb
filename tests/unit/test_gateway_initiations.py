"""Handshakes of one turn: each gets what it would have got alone."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import SigningKey, events
from sage_native.events import HandshakeFinished, ReplayRefused
from sage_native.exceptions import CapacityError, StorageError
from sage_native.gateway.limits.bodies import WHOLE_KEY
from sage_native.gateway.request_nonces import StoredNonces
from sage_native.gateway.routes.handshake import begin_complete, begin_initiate
from sage_native.gateway.taskless import TasklessEndpoint
from sage_native.gateway.together import MAX_COUNT
from sage_native.observability.context import current_scope, scope_here
from sage_native.protocol import decode_json, encode_json
from sage_native.sessions.naming import session_id_of
from tests.gateways import Site, code_of, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

    from sage_native import Session
    from tests.gateways import Agent

_M3_OF_NOBODY = encode_json("confirm", bytes(48))
LIMITS = {
    "replay.capacity": 100_000,
    "replay.windows": 16_384,
    "session.max_half_open_per_client": 3,
    "handshake.challenges": "when_needed",
    "limits.handshakes_per_did.rate": 1000,
    "limits.handshakes_per_did.burst": 1000,
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(gateway_settings(tmp_path, LIMITS)) as site:
        # Challenges are for others to test: the memory of nonces is young.
        site.gateway.challenges._is_complete = lambda _: True
        yield site


async def together(site: Site, texts: list[bytes], path: str = "initiate") -> list[httpx2.Response]:
    """Send requests so that they come in one turn; return the answers."""
    gateway = site.gateway
    gathers: Any = (gateway.initiations if path == "initiate" else gateway.confirmations)._together
    sizes: list[int] = []
    original = gathers._work

    def counted(batch: list[object]) -> None:
        sizes.append(len(batch))
        original(batch)

    gathers._work = counted
    agent = site.agent()
    answers = await asyncio.gather(*(agent.post(f"/v1/handshake/{path}", text) for text in texts))
    gathers._work = original
    assert max(sizes, default=0) > 1 or len(texts) < 2, "they did not come together"
    return answers


async def m1_of(agent: Agent) -> bytes:
    return encode_json("initiate", (await agent.attempt()).message)


def outcomes(answers: list[httpx2.Response]) -> list[tuple[int, str | None]]:
    return [(one.status_code, None if one.status_code == 200 else code_of(one)) for one in answers]


async def test_good_and_bad_ones_of_a_turn_do_not_disturb_each_other(site: Site) -> None:
    agents = [await site.registered() for _ in range(12)]
    texts = [await m1_of(agent) for agent in agents]
    forged = bytearray(decode_json("initiate", texts[3]))
    forged[-1] ^= 1
    texts[3] = encode_json("initiate", bytes(forged))
    texts[5] = b"{}"
    texts[7] = await m1_of(site.agent(SigningKey.generate()))  # not registered
    texts[9] = texts[8]
    answers = outcomes(await together(site, texts))
    wanted: list[tuple[int, str | None]] = [(200, None)] * 12
    wanted[3] = wanted[7] = (401, "authentication_failed")
    wanted[5] = (400, "malformed_request")
    wanted[9] = (409, "replay_detected")
    assert answers == wanted
    assert len(site.gateway.manager) == 8
    assert site.gateway.in_flight.count == 0


@pytest.mark.parametrize("count", [1, 7, 8, 9, MAX_COUNT, MAX_COUNT + 9])
async def test_as_many_as_come_become_sessions(site: Site, count: int) -> None:
    agent = await site.registered()
    await site.gateway.admission.keys_of(agent.did)  # nobody has to wait for them
    site.gateway.manager._served.half_open._client_capacity = 1000
    attempts = [await agent.attempt() for _ in range(count)]
    answers = await together(site, [encode_json("initiate", one.message) for one in attempts])
    finished = [
        attempt.finish(decode_json("accept", answer.content))
        for attempt, answer in zip(attempts, answers, strict=True)
    ]
    confirmed = await together(site, [encode_json("confirm", m3) for m3, _ in finished], "complete")
    assert [one.status_code for one in confirmed] == [204] * count
    echoes = [await agent.ask(session, b"%d" % at) for at, (_, session) in enumerate(finished)]
    assert echoes == [b"%d" % at for at in range(count)]
    assert (
        len(
            await site.gateway.storage.sessions("responder").status_many(
                [session.session_id for _, session in finished]
            )
        )
        == count
    )


async def test_both_identities_answer_in_one_turn_while_one_is_replaced(site: Site) -> None:
    agents = [await site.registered() for _ in range(4)]
    before = [await agent.attempt() for agent in agents[:2]]
    old = site.gateway.rotation._keys
    assert old is not None
    keys = await old.signing_keys()
    site.gateway.identities.replace([SigningKey.generate(), *keys])
    after = [await agent.attempt() for agent in agents[2:]]
    attempts = [before[0], after[0], before[1], after[1]]
    answers = await together(site, [encode_json("initiate", one.message) for one in attempts])
    finished = [
        attempt.finish(decode_json("accept", answer.content))
        for attempt, answer in zip(attempts, answers, strict=True)
    ]
    dids = {session.server_did for _, session in finished}
    assert len(dids) == 2
    confirmed = await together(site, [encode_json("confirm", m3) for m3, _ in finished], "complete")
    assert [one.status_code for one in confirmed] == [204] * 4


async def test_a_client_gets_no_more_places_in_one_turn_than_in_many(site: Site) -> None:
    agent, other = await site.registered(), await site.registered()
    texts = [await m1_of(agent) for _ in range(5)] + [await m1_of(other)]
    answers = outcomes(await together(site, texts))
    assert answers == [(200, None)] * 3 + [(503, "overloaded")] * 2 + [(200, None)]
    assert len(site.gateway.manager) == 4


async def test_all_places_together_are_no_more_in_one_turn(site: Site) -> None:
    site.gateway.manager._served.half_open._capacity = 4
    agents = [await site.registered() for _ in range(6)]
    answers = outcomes(await together(site, [await m1_of(agent) for agent in agents]))
    assert Counter(answers) == {(200, None): 4, (503, "overloaded"): 2}


async def test_a_gateway_that_is_full_refuses_all_of_a_turn(site: Site) -> None:
    agents = [await site.registered() for _ in range(3)]
    for agent in agents:
        await site.gateway.admission.keys_of(agent.did)
    texts = [await m1_of(agent) for agent in agents]
    site.gateway.challenges._is_loaded = lambda: False
    in_flight = site.gateway.in_flight
    places = in_flight.limit - in_flight.count
    for _ in range(places):
        in_flight.enter()
    answers = outcomes(await together(site, texts))
    assert answers == [(503, "overloaded")] * 3
    for _ in range(places):
        in_flight.leave()
    again = [await m1_of(agent) for agent in agents]
    assert outcomes(await together(site, again)) == [(200, None)] * 3


async def test_a_registry_that_fails_fails_only_whom_it_was_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await site.registered()
    await known.handshake()
    unknown = await site.registered()
    store = site.gateway.storage.dids
    assert store is not None

    async def fail(_: str) -> None:
        raise StorageError("out of order")

    monkeypatch.setattr(store, "get", fail)
    texts = [await m1_of(known), await m1_of(unknown), await m1_of(known)]
    answers = outcomes(await together(site, texts))
    assert answers == [(200, None), (503, "store_unavailable"), (200, None)]


async def test_a_memory_without_room_refuses_the_one_it_has_none_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [await site.registered() for _ in range(3)]
    texts = [await m1_of(agent) for agent in agents]
    admit = site.gateway.nonces.admit

    def full(request: object, now_ms: int) -> object:
        if request.client_did == agents[1].did:  # type: ignore[attr-defined]
            raise CapacityError("full")
        return admit(request, now_ms)  # type: ignore[arg-type]

    monkeypatch.setattr(site.gateway.nonces, "admit", full)
    answers = outcomes(await together(site, texts))
    assert answers == [(200, None), (503, "store_full"), (200, None)]


async def test_a_client_is_charged_for_each_of_a_turn(tmp_path: Path) -> None:
    few = {"limits.handshakes_per_did.rate": 0.01, "limits.handshakes_per_did.burst": 2}
    lots = {"session.max_half_open_per_client": 100}
    async with open_site(gateway_settings(tmp_path, {**LIMITS, **lots, **few})) as site:
        site.gateway.challenges._is_complete = lambda _: True
        agent = await site.registered()
        await together(site, [await m1_of(agent)])  # its keys are remembered now
        answers = outcomes(await together(site, [await m1_of(agent) for _ in range(4)]))
    assert answers == [(200, None)] + [(429, "rate_limited")] * 3


@pytest.mark.parametrize("waits", ["for the registry", "for the store"])
async def test_those_who_must_wait_are_a_load(
    site: Site, waits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [await site.registered() for _ in range(8)]
    if waits == "for the store":
        stored = StoredNonces(site.gateway.storage.nonces)
        monkeypatch.setattr(site.gateway, "nonces", stored)
        for agent in agents:
            await site.gateway.admission.keys_of(agent.did)
    site.gateway.in_flight._busy_above = 3
    answers = outcomes(await together(site, [await m1_of(agent) for agent in agents]))
    assert answers == [(200, None)] * 4 + [(401, "challenge_required")] * 4
    assert site.gateway.in_flight.count == 0


async def test_those_who_must_wait_need_a_place_each(site: Site) -> None:
    site.gateway.challenges._is_loaded = lambda: False
    agents = [await site.registered() for _ in range(6)]
    in_flight = site.gateway.in_flight
    taken = in_flight.limit - 2
    for _ in range(taken):
        in_flight.enter()
    answers = outcomes(await together(site, [await m1_of(agent) for agent in agents]))
    for _ in range(taken):
        in_flight.leave()
    assert Counter(answers) == {(200, None): 2, (503, "overloaded"): 4}
    assert in_flight.count == 0


async def test_a_fault_with_one_is_told_to_that_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [await site.registered() for _ in range(5)]
    prepare, count = site.gateway.manager._admission.prepare, 0

    def fail(session: object, now_ms: int | None) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError("what went wrong inside")
        prepare(session, now_ms)  # type: ignore[arg-type]

    monkeypatch.setattr(site.gateway.manager._admission, "prepare", fail)
    answers = outcomes(await together(site, [await m1_of(agent) for agent in agents]))
    wanted: list[tuple[int, str | None]] = [(200, None)] * 5
    wanted[2] = (500, "internal_error")
    assert answers == wanted
    assert len(site.gateway.manager) == 4


async def test_a_panic_of_one_m3_is_told_to_that_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    agents = [await site.registered() for _ in range(3)]
    attempts = [await agent.attempt() for agent in agents]
    answers = await together(site, [encode_json("initiate", one.message) for one in attempts])
    m3s = [
        attempt.finish(decode_json("accept", answer.content))[0]
        for attempt, answer in zip(attempts, answers, strict=True)
    ]
    begin = site.gateway.manager._maker.begin_confirm

    def fail(session: Session, session_id: str, *others: Any) -> None:  # noqa: ANN401 - handed on
        if session_id == session_id_of(m3s[1]):
            raise Panic
        begin(session, session_id, *others)

    monkeypatch.setattr(site.gateway.manager._maker, "begin_confirm", fail)
    endpoint = TasklessEndpoint(site.gateway, begin_complete)
    told: list[Any] = []
    for m3 in m3s:
        whole = {WHOLE_KEY: (b"application/json", encode_json("confirm", m3))}
        endpoint.begin({"method": "POST", "client": ("192.0.2.1", 1), **whole}, told.append)
    for _ in range(1000):
        if len(told) == 3:
            break
        await asyncio.sleep(0.01)
    assert sorted(answer.status for answer in told) == [204, 204, 500]
    assert site.gateway.in_flight.count == 0


async def test_refusals_leave_no_cycles(site: Site) -> None:
    agent = await site.registered()
    texts = [await m1_of(agent) for _ in range(6)]  # three more than there are places
    await together(site, texts)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for path, body in (("initiate", texts[0]), ("complete", _M3_OF_NOBODY)):
            endpoint = TasklessEndpoint(
                site.gateway, begin_initiate if path == "initiate" else begin_complete
            )
            told: list[Any] = []
            scope = {"method": "POST", "client": ("192.0.2.1", 1)}
            endpoint.begin({**scope, WHOLE_KEY: (b"application/json", body)}, told.append)
            while not told:
                await asyncio.sleep(0)
            assert told[0].status in {401, 409}
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []


async def test_a_fault_of_ours_is_told_to_all_of_a_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [await site.registered() for _ in range(2)]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("what went wrong inside")

    monkeypatch.setattr(site.gateway.manager, "accept_many", fail)
    answers = outcomes(await together(site, [await m1_of(agent) for agent in agents]))
    assert answers == [(500, "internal_error")] * 2
    assert "what went wrong inside" in caplog.text
    assert site.gateway.in_flight.count == 0


async def test_what_happens_to_one_is_told_in_its_own_context(site: Site) -> None:
    agents = [await site.registered() for _ in range(4)]
    texts = [await m1_of(agent) for agent in agents]
    await together(site, texts[2:3])  # the third was sent before
    told: list[tuple[object, object]] = []

    def hook(event: object) -> None:
        scope = scope_here()
        told.append((event, None if scope is None else scope["number"]))

    async def send(number: int, text: bytes) -> int:
        current_scope.set({"number": number})
        return (await site.agent().post("/v1/handshake/initiate", text)).status_code

    unsubscribe = events.subscribe(hook, ReplayRefused, HandshakeFinished)
    statuses = await asyncio.gather(*(send(at, text) for at, text in enumerate(texts)))
    unsubscribe()
    assert statuses == [200, 200, 409, 200]
    assert [(type(event), number) for event, number in told] == [
        (ReplayRefused, 2),
        (HandshakeFinished, 2),
    ]


async def test_confirmations_of_one_turn_do_not_disturb_each_other(site: Site) -> None:
    agents = [await site.registered() for _ in range(4)]
    attempts = [await agent.attempt() for agent in agents]
    answers = await together(site, [encode_json("initiate", one.message) for one in attempts])
    m3s = [
        attempt.finish(decode_json("accept", answer.content))[0]
        for attempt, answer in zip(attempts, answers, strict=True)
    ]
    wrong = m3s[1][:-1] + bytes([m3s[1][-1] ^ 1])
    unknown = bytes(16) + m3s[2][16:]
    texts = [encode_json("confirm", m3) for m3 in (m3s[0], wrong, unknown, m3s[3], m3s[0])]
    confirmed = await together(site, [*texts[:2], b"[]", *texts[2:]], "complete")
    assert [one.status_code for one in confirmed] == [204, 401, 400, 401, 204, 204]
    assert site.gateway.in_flight.count == 0
