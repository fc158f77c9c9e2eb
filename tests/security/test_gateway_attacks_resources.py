"""Attacks on stores, clocks, places and settings of a running gateway. Each docstring begins with
its row of the table. What needs connections is in ``test_gateway_attacks_live``.
"""

from __future__ import annotations

import asyncio
import base64
import re
import types
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sage_native import SigningKey
from sage_native.config import load_settings
from sage_native.exceptions import CapacityError, ConfigurationError
from sage_native.gateway import PublicApp, initiations
from sage_native.gateway.request_nonces import MachineNonces
from sage_native.protocol import decode_json, encode_json
from tests.command_line import refused, run
from tests.gateways import code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena
from tests.security.gateway.asgi import ask
from tests.security.gateway.forging import INITIATE, Forger, now_ms
from tests.security.gateway.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateways import Agent
    from tests.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETE = "/v1/handshake/complete"
RECORD = (b"content-type", b"application/sage-record")
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Agent]]:
    settings = attack_settings(tmp_path_factory.mktemp("resources"))
    async with open_arena(settings) as arena:
        yield arena, await arena.registered()


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

    monkeypatch.setattr(initiations, "time", types.SimpleNamespace(time_ns=time_ns))
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
