"""What a gateway tells of handshakes, refusals, operators, keys and stores, and to whom."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar

import pytest

from sage_native import SigningKey
from sage_native.events import (
    Event,
    HandshakeFinished,
    KeysRotated,
    OperatorActed,
    RequestRefused,
    StoreAnswered,
    is_heard,
    subscribe,
)
from sage_native.exceptions import CapacityError, StorageError
from sage_native.gateway.key_secrets import new_keks
from sage_native.protocol import decode_json, encode_json
from sage_native.storage.contract.made import nonce
from sage_native.storage.opening import open_storage
from tests.gateways import Site, code_of, open_site
from tests.managers import WatchedStore
from tests.security.gateway.arena import age, attack_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sage_native.config import Settings
    from tests.gateways import Agent

_Kind = TypeVar("_Kind", bound=Event)


class Told:
    """Everything that happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = attack_settings(tmp_path, {"secrets.cache": "1h"})
    age(settings)
    return settings


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    unsubscribe = subscribe(told.events.append)
    yield told
    unsubscribe()


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    async with open_site(settings) as site:
        yield site


@pytest.fixture
async def agent(site: Site) -> Agent:
    return await site.registered()


def server_did(site: Site) -> str:
    return site.gateway.identities.announced()[0][0]


# Handshakes.


async def test_a_handshake_that_is_confirmed(site: Site, agent: Agent, told: Told) -> None:
    await agent.handshake()
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.key_type, event.code) == ("completed", "ed25519", None)
    assert (event.client_did, event.server_did) == (agent.did, server_did(site))
    assert event.duration_s is not None
    assert event.duration_s > 0


async def test_the_first_record_confirms_too(site: Site, agent: Agent, told: Told) -> None:
    attempt = await agent.attempt()
    answer = await agent.send_m1(attempt)
    assert not told.of(HandshakeFinished), "it is not over with M1"
    _, session = attempt.finish(decode_json("accept", answer.content))
    await agent.ask(session, b"first")
    assert [event.status for event in told.of(HandshakeFinished)] == ["completed"]
    assert not site.gateway.manager._served.half_open._arrived_s


async def test_a_replayed_m1_is_refused(agent: Agent, told: Told) -> None:
    attempt = await agent.attempt()
    await agent.send_m1(attempt)
    await agent.send_m1(attempt)
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.code) == ("refused", "replay_detected")
    assert (event.client_did, event.duration_s) == (agent.did, None)


async def test_what_cannot_be_read_names_nobody(agent: Agent, told: Told) -> None:
    await agent.post("/v1/handshake/initiate", b"{}")
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.code) == ("refused", "malformed_request")
    assert (event.client_did, event.server_did) == (None, None)


async def test_a_stranger_is_refused_by_name(site: Site, told: Told) -> None:
    stranger = site.agent()
    await stranger.send_m1(await stranger.attempt())
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.code) == ("refused", "authentication_failed")
    assert event.client_did == stranger.did


async def test_a_challenge_is_no_end(
    site: Site, agent: Agent, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.gateway.challenges, "demands", lambda _: True)
    await agent.handshake()
    assert [event.status for event in told.of(HandshakeFinished)] == ["completed"]
    assert [event.code for event in told.of(RequestRefused)] == ["challenge_required"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StorageError("no answer"), "failed", "store_unavailable"),
        (RuntimeError("a fault"), "failed", "internal_error"),
        (CapacityError("too many"), "refused", "store_full"),
    ],
)
async def test_a_session_that_cannot_be_stored(
    *,
    site: Site,
    agent: Agent,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: str,
    code: str,
) -> None:
    async def create(*_: object, **__: object) -> None:
        raise error

    attempt = await agent.attempt()
    answer = await agent.send_m1(attempt)
    m3, _ = attempt.finish(decode_json("accept", answer.content))
    store = site.gateway.manager._store
    for name in ("begin_create", "begin_create_many"):
        monkeypatch.delattr(type(store), name, raising=False)
    monkeypatch.setattr(type(store), "create", create)
    refused = await agent.post("/v1/handshake/complete", encode_json("confirm", m3))
    assert code_of(refused) == code
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.code, event.duration_s) == (status, code, None)
    assert event.client_did == agent.did


async def test_what_nobody_confirms_is_abandoned(settings: Settings, told: Told) -> None:
    async with open_site(settings) as site:
        agent = await site.registered()
        await agent.send_m1(await agent.attempt())
        assert not told.of(HandshakeFinished)
    [event] = told.of(HandshakeFinished)
    assert (event.status, event.code, event.client_did) == ("abandoned", None, agent.did)


async def test_nothing_is_noted_while_nobody_listens(site: Site, agent: Agent) -> None:
    assert not is_heard()
    await agent.send_m1(await agent.attempt())
    assert len(site.gateway.manager._served.half_open) == 1
    assert not site.gateway.manager._served.half_open._arrived_s


# Refusals.


@pytest.mark.parametrize(
    ("method", "path", "code", "status"),
    [
        ("GET", "/nothing", "not_found", 404),
        ("GET", "/v1/dids/did%2fx", "not_found", 404),
        ("PUT", "/v1/identity", "method_not_allowed", 405),
        ("GET", "/v1/dids/nonsense", "invalid_did", 400),
        ("POST", "/v1/handshake/complete", "unsupported_media_type", 415),
        ("POST", f"/v1/sessions/{'0' * 36}/messages", "unsupported_media_type", 415),
    ],
)
async def test_every_problem_is_told_once(
    *, site: Site, told: Told, method: str, path: str, code: str, status: int
) -> None:
    answer = await site.public.request(method, path)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert told.of(RequestRefused) == [RequestRefused(code, status)]


# Operators.


async def test_what_operators_do(site: Site, told: Told) -> None:
    agent = await site.registered()
    session = await agent.handshake()
    for _ in range(2):
        await site.admin.delete(f"/v1/sessions/{session.session_id}")
        await site.admin.delete(f"/v1/dids/{agent.did}")
    unknown = "did:example:unknown"
    await site.admin.delete(f"/v1/dids/{unknown}")
    await site.stranger.get("/v1/dids")
    assert told.of(OperatorActed) == [
        OperatorActed("did_registered", agent.did, "done"),
        OperatorActed("session_ended", session.session_id, "done"),
        OperatorActed("did_revoked", agent.did, "done"),
        OperatorActed("session_ended", session.session_id, "refused"),
        OperatorActed("did_revoked", agent.did, "done"),
        OperatorActed("did_revoked", unknown, "refused"),
        OperatorActed("token_refused", None, "refused"),
    ]


async def test_a_did_that_is_there_already_is_refused(site: Site, told: Told) -> None:
    agent = await site.registered()
    answer = await site.admin.get(f"/v1/dids/{agent.did}")
    again = {"did": agent.did, "keys": answer.json()["keys"]}
    assert (await site.admin.post("/v1/dids", json=again)).status_code == 409
    assert told.of(OperatorActed)[1:] == [OperatorActed("did_registered", agent.did, "refused")]


async def test_keys_that_change_are_told_each_by_itself(site: Site, told: Told) -> None:
    directory = site.gateway.settings.state_dir / "secrets"
    fresh = SigningKey.generate()
    for name, content in (
        ("signing-key", fresh.to_pem()),
        ("kek", new_keks().replace(b"kek-1", b"kek-2") + (directory / "kek").read_bytes()),
        ("operator-token", secrets.token_urlsafe(32).encode()),
    ):
        (directory / name).write_bytes(content)
        assert await site.gateway.rotation.look()
    assert not await site.gateway.rotation.look()
    assert told.of(KeysRotated) == [
        KeysRotated("signing key", fresh.did),
        KeysRotated("kek", "kek-2"),
        KeysRotated("operator token", None),
    ]


# Stores.


async def test_stores_tell_what_they_were_asked(tmp_path: Path, told: Told) -> None:
    for url, kind in (("memory://", "memory"), (f"sqlite:///{tmp_path}/sage.db", "sqlite")):
        async with await open_storage(url) as storage:
            told.events.clear()
            await storage.sessions("responder").get("0" * 8 + "-0000-0000-0000-" + "0" * 12)
            assert storage.dids is not None
            await storage.dids.get("did:example:a")
            one = nonce()
            await storage.nonces.admit(one.scope, one.nonce, one.remember_until_ms)
            await storage.nonces.admit_many([nonce()])
            answers = told.of(StoreAnswered)
        assert [(one.store, one.operation) for one in answers] == [
            (kind, "get"),
            (kind, "get"),
            (kind, "admit"),
            (kind, "admit_many"),
        ]
        assert all(0 < one.duration_s < 60 for one in answers)


async def test_a_session_is_created_once(agent: Agent, told: Told) -> None:
    await agent.handshake()
    assert [one.operation for one in told.of(StoreAnswered)].count("create") == 1


async def test_a_store_that_gives_no_answer_tells_no_time(told: Told) -> None:
    store = WatchedStore()
    await store.count()
    assert [(one.store, one.operation) for one in told.of(StoreAnswered)] == [
        ("memory", "count"),
        ("other", "count"),
    ]
    store.down = {"count"}
    with pytest.raises(StorageError):
        await store.count()
    assert len(told.of(StoreAnswered)) == 2
