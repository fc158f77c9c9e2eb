"""Keys that change while the gateway runs, and those that must not."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import TYPE_CHECKING

import pytest

from sage_native import SigningKey
from sage_native.exceptions import ConfigurationError
from sage_native.gateway import rotation
from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.key_secrets import new_keks
from tests.gateways import Agent, Site, code_of, gateway_settings, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sage_native import Session
    from sage_native.config import Settings

KEK_UNAVAILABLE = (503, "key_unavailable")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return gateway_settings(
        tmp_path, {"replay.capacity": 10_000, "replay.windows": 4096, "secrets.cache": "1h"}
    )


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    async with open_site(settings) as site:
        yield site


def secret(site: Site, name: str) -> Path:
    path: Path = site.gateway.settings.state_dir / "secrets" / name
    return path


def in_use(site: Site) -> tuple[object, ...]:
    gateway = site.gateway
    return (
        gateway.identities.announced(),
        gateway.rotation.operator_token,
        gateway.rotation._ring.current.kek_id,
        tuple(gateway.rotation._ring._keys),
    )


async def look(site: Site) -> bool:
    return await site.gateway.rotation.look()


async def kek_id_of(site: Site, session: Session) -> str:
    row = await site.gateway.storage.sessions(SESSION_STORE).get(session.session_id)
    assert row is not None
    return row.session.kek_id


async def test_nothing_changes_while_nothing_has_changed(site: Site) -> None:
    before = in_use(site)
    assert not await look(site)
    assert in_use(site) == before


async def test_an_identity_is_rotated_with_an_overlap(site: Site) -> None:
    agent = await site.registered()
    pinned = await agent.attempt()
    session = await agent.handshake()
    path, fresh = secret(site, "signing-key"), SigningKey.generate()
    old = path.read_bytes()
    path.write_bytes(fresh.to_pem() + old)
    assert await look(site)
    assert await agent.server_key() == fresh.verifying_key
    assert len((await site.public.get("/v1/identity")).json()["keys"]) == 2
    answer = await agent.send_m1(pinned)
    assert code_of(answer) == "challenge_required", "answered under the key that it was meant for"
    await agent.handshake()
    path.write_bytes(fresh.to_pem())
    assert await look(site)
    assert len((await site.public.get("/v1/identity")).json()["keys"]) == 1
    answer = await agent.send_m1(pinned)
    assert (answer.status_code, code_of(answer)) == (421, "misdirected")
    assert await agent.ask(session, b"goes on") == b"goes on", "sessions outlive their identity"


async def test_older_identities_in_secrets_of_their_own(settings: Settings) -> None:
    older = SigningKey.generate()
    directory = settings.state_dir / "secrets"
    directory.mkdir(parents=True, mode=0o700)
    settings.state_dir.chmod(0o700)
    (directory / "signing-key-2025").write_bytes(older.to_pem())
    (directory / "signing-key-2025").chmod(0o600)
    identity = settings.identity.model_copy(
        update={"older_signing_key_secrets": ("signing-key-2025",)}
    )
    async with open_site(settings.model_copy(update={"identity": identity})) as site:
        announced = [did for did, _ in site.gateway.identities.announced()]
        assert announced[1:] == [older.did]
        assert announced[0] != older.did


async def test_a_kek_is_rotated(site: Site) -> None:
    agent = await site.registered()
    before = await agent.handshake()
    path = secret(site, "kek")
    old = path.read_bytes()
    path.write_bytes(new_keks().replace(b"kek-1", b"kek-2") + old)
    assert await look(site)
    after = await agent.handshake()
    assert [await kek_id_of(site, one) for one in (before, after)] == ["kek-1", "kek-2"]
    await agent.rekey(before)
    assert await kek_id_of(site, before) == "kek-2", "what is stored anew is wrapped anew"


async def test_rows_open_while_their_kek_is_there(settings: Settings) -> None:
    async with open_site(settings) as site:
        agent = await site.registered()
        sessions = [await agent.handshake() for _ in range(3)]
        old = secret(site, "kek").read_bytes()
        secret(site, "kek").write_bytes(new_keks().replace(b"kek-1", b"kek-2") + old)
    async with open_site(settings) as site:
        agent = site.agent(agent.key)
        assert await agent.ask(sessions[0], b"one") == b"one"
        secret(site, "kek").write_bytes(secret(site, "kek").read_bytes().partition(b"\n")[0])
        assert await look(site)
        assert await agent.ask(sessions[0], b"served") == b"served"
        assert await refusal(agent, sessions[1]) == KEK_UNAVAILABLE
        secret(site, "kek").write_bytes(secret(site, "kek").read_bytes() + b"\n" + old)
        assert await look(site)
        assert await agent.ask(sessions[1], b"again") == b"again"


async def refusal(agent: Agent, session: Session) -> tuple[int, str]:
    answer = await agent.send_record(
        session.session_id, session.seal(b"", aad=b"SAGE-HTTP/1 request")
    )
    return answer.status_code, code_of(answer)


async def test_whoever_meets_an_unknown_kek_makes_it_look_soon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "MIN_INTERVAL_S", 0.05)
    async with open_site(settings) as site:
        agent = await site.registered()
        session = await agent.handshake()
        path = secret(site, "kek")
        right = path.read_bytes()
    path.write_bytes(new_keks().replace(b"kek-1", b"kek-2"))
    async with open_site(settings) as site:
        agent = site.agent(agent.key)
        path.write_bytes(path.read_bytes() + right)
        assert await refusal(agent, session) == KEK_UNAVAILABLE
        async with asyncio.timeout(20):
            while site.gateway.rotation._ring.older_ids() != ["kek-1"]:
                await asyncio.sleep(0.01)
        assert await agent.ask(session, b"found") == b"found"


async def test_an_operator_token_is_rotated(site: Site) -> None:
    old, token = site.gateway.rotation.operator_token, secrets.token_urlsafe(32)
    secret(site, "operator-token").write_text(token + "\n")
    assert (await site.admin.get("/v1/dids")).status_code == 200, "nobody has looked yet"
    assert await look(site)
    assert (await site.admin.get("/v1/dids")).status_code == 401
    fresh = {"authorization": f"Bearer {token}"}
    assert (await site.admin.get("/v1/dids", headers=fresh)).status_code == 200
    assert site.gateway.rotation.operator_token == token.encode() != old


def twice(content: bytes) -> bytes:
    return content + content


BAD: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "signing key: cut": ("signing-key", lambda old: old[:60]),
    "signing key: another kind": ("signing-key", lambda _: b"c" * 32),
    "signing key: twice": ("signing-key", twice),
    "signing key: second one cut": ("signing-key", lambda old: old + old[:60]),
    "kek: cut": ("kek", lambda old: old[:20]),
    "kek: one id twice": ("kek", lambda old: old + new_keks()),
    "kek: a placeholder": ("kek", lambda _: b"kek-1:" + base64.b64encode(bytes(32))),
    "kek: second line bad": ("kek", lambda old: old + b"kek-2:x\n"),
    "token: too short": ("operator-token", lambda _: b"hunter2"),
    "token: a placeholder": ("operator-token", lambda _: b"change-me" * 8),
}


@pytest.mark.parametrize("title", BAD)
async def test_a_bad_secret_keeps_what_is_in_use(site: Site, title: str) -> None:
    name, spoil = BAD[title]
    path = secret(site, name)
    good, before = path.read_bytes(), in_use(site)
    spoilt = spoil(good)
    path.write_bytes(spoilt)
    with pytest.raises(ConfigurationError) as caught:
        await look(site)
    assert in_use(site) == before
    for line in spoilt.split():
        piece = line.rpartition(b":")[2]
        assert (
            len(piece) < 8 or b"-----" in piece or piece.decode("latin-1") not in str(caught.value)
        )
    with pytest.raises(ConfigurationError):  # it is said until it is mended
        await look(site)
    agent = await site.registered()
    session = await agent.handshake()
    assert await agent.ask(session, b"works") == b"works"
    path.write_bytes(good)
    await look(site)
    assert in_use(site) == before


async def test_what_could_not_be_applied_is_tried_until_it_can(site: Site) -> None:
    token = secret(site, "operator-token")
    good = token.read_bytes()
    fresh = SigningKey.generate()
    secret(site, "signing-key").write_bytes(fresh.to_pem())
    token.write_bytes(b"short")
    with pytest.raises(ConfigurationError):
        await look(site)
    # What was wrong goes back to what it was: by itself no change, but the key waits.
    token.write_bytes(good)
    assert await look(site)
    assert site.gateway.identities.announced()[0][0] == fresh.did
    assert not await look(site)


async def test_a_good_secret_waits_for_a_bad_one(site: Site) -> None:
    before, fresh = in_use(site), SigningKey.generate()
    token = secrets.token_urlsafe(32).encode()
    secret(site, "operator-token").write_bytes(token)
    secret(site, "signing-key").write_bytes(b"bad")
    with pytest.raises(ConfigurationError, match="signing-key"):
        await look(site)
    assert in_use(site) == before, "all or nothing"
    secret(site, "signing-key").write_bytes(fresh.to_pem())
    assert await look(site)
    assert site.gateway.rotation.operator_token == token
    assert site.gateway.identities.announced()[0][0] == fresh.did


async def test_a_ring_that_cannot_be_keeps_the_identity_too(site: Site) -> None:
    before = in_use(site)
    secret(site, "signing-key").write_bytes(SigningKey.generate().to_pem())
    secret(site, "kek").write_bytes(new_keks() + new_keks())
    with pytest.raises(ConfigurationError, match="2 key-encryption keys have the id 'kek-1'"):
        await look(site)
    assert in_use(site) == before


@pytest.mark.parametrize("is_empty", [False, True])
@pytest.mark.parametrize("name", ["signing-key", "kek", "operator-token"])
async def test_a_secret_that_is_gone(
    site: Site, name: str, *, is_empty: bool, caplog: pytest.LogCaptureFixture
) -> None:
    before = in_use(site)
    content = secret(site, name).read_bytes()
    if is_empty:
        secret(site, name).write_bytes(b"")
    else:
        secret(site, name).unlink()
    assert not await look(site)
    assert in_use(site) == before
    assert f"secret {name!r} is gone" in caplog.text
    secret(site, name).write_bytes(content)
    secret(site, name).chmod(0o600)
    await look(site)
    assert in_use(site) == before


async def test_it_looks_by_itself_and_survives_what_it_finds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rotation, "MIN_INTERVAL_S", 0.02)
    often = settings.secrets.model_copy(update={"cache": 0})
    async with open_site(settings.model_copy(update={"secrets": often})) as site:
        path, fresh = secret(site, "signing-key"), SigningKey.generate()
        path.write_bytes(b"bad")
        async with asyncio.timeout(20):
            while "could not be read anew" not in caplog.text:
                await asyncio.sleep(0.01)
            path.write_bytes(fresh.to_pem())
            while site.gateway.identities.announced()[0][0] != fresh.did:
                await asyncio.sleep(0.01)
            assert "keys could not be read anew, those in use stay" in caplog.text


async def test_it_stops_with_the_gateway(site: Site) -> None:
    task = site.gateway.rotation._task
    assert task is not None
    await site.gateway.rotation.stop()
    assert task.done()
    await site.gateway.rotation.stop()
