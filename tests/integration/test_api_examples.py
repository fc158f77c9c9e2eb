"""The exchanges of ``api/examples``, against a gateway with the keys that they were made with.

The gateway has the story's signing and challenge key, and reads M1s at the story's time. So what
can be sent as it is written gets the answer that is written. M2 and R2 hold fresh randomness, and a
record belongs to its session: those are lived through by a client, today, and what crosses the wire
must have the form of the examples.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import SigningKey
from sage_native.gateway.routes.records import REQUEST_AAD
from sage_native.protocol import encode_json
from tests.gateways import Site, gateway_settings, open_site
from tests.openapi.conformance import undocumented
from tests.openapi.source import API_DIR, load
from tests.openapi.worked import MESSAGE, setup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

STORY = setup()
FILES = ("authentication", "sessions", "signatures", "dids")
Exchange = dict[str, Any]


def exchanges_of(file: str) -> list[Exchange]:
    path = API_DIR / "examples" / f"{file}.json"
    items: list[Exchange] = json.loads(path.read_text(encoding="utf-8"))["exchanges"]
    return items


def exchange(operation: str, name: str = "plain") -> Exchange:
    found = [
        item
        for file in FILES
        for item in exchanges_of(file)
        if (item["operation"], item["name"]) == (operation, name)
    ]
    assert len(found) == 1
    return found[0]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    state = tmp_path / "state"
    (state / "secrets").mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    boot = Path("/proc/sys/kernel/random/boot_id")
    of_boot = boot.read_bytes().strip() if boot.exists() else b""
    _write(state / "challenge.key", STORY.challenge_key.hex().encode() + b"\n" + of_boot)
    _write(state / "secrets" / "signing-key", STORY.server_seed)
    lives = {"session.max_age": "1h", "session.idle_timeout": "15m"}
    async with open_site(gateway_settings(tmp_path, lives)) as site:
        yield site


@pytest.fixture
def at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: STORY.now_ms * 1_000_000)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


async def sent(site: Site, item: Exchange) -> httpx2.Response:
    """Send a request as it is written, and see that its answer is a documented one."""
    request = item["request"]
    client = site.public if item["listener"] == "public" or item["name"] == "public" else site.admin
    body = request.get("body")
    content = bytes.fromhex(request.get("body_hex", ""))
    if body is not None:
        content = json.dumps(body).encode()
    headers = {"content-type": request["content_type"]} if content else {}
    answer = await client.request(
        request["method"], request["path"], content=content, headers=headers
    )
    assert undocumented(item["operation"], *_parts(answer)) == []
    return answer


def _parts(answer: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, dict(answer.headers), answer.content


async def same(site: Site, operation: str, name: str = "plain") -> None:
    """Send a request as it is written; its answer is as written."""
    item = exchange(operation, name)
    answer, expected = await sent(site, item), item["answer"]
    assert answer.status_code == expected["status"]
    if "body" in expected:
        assert answer.headers["content-type"] == expected["content_type"]
        assert answer.json() == expected["body"]
    else:
        assert answer.content == b""


@pytest.mark.usefixtures("at_its_time")
async def test_authentication(site: Site) -> None:
    await same(site, "readIdentity")
    # A gateway that has just been made wants a challenge, and mints the one that the example has.
    first = await sent(site, exchange("initiateHandshake"))
    assert first.status_code == 401
    assert first.json() == load()["components"]["examples"]["challenge_required"]["value"]
    assert (await sent(site, exchange("registerDid"))).status_code == 201
    item = exchange("initiateHandshake", "challenged")
    accepted = await sent(site, item)
    assert accepted.status_code == 200
    m2, written = accepted.json(), item["answer"]["body"]
    drawn = {"session_id", "server_ephemeral_key", "server_nonce", "signature", "confirmation"}
    assert m2.keys() == written.keys()
    differing = {name for name in written if m2[name] != written[name]}
    assert differing == drawn | {"expires_at"}  # sessions live by today's clock
    # An M1 is accepted once, and an M3 belongs to its own M2.
    assert (await sent(site, item)).status_code == 409
    assert (await sent(site, exchange("completeHandshake"))).status_code == 401
    assert (await sent(site, exchange("completeHandshake", "signed"))).status_code == 401


async def test_the_example_is_stale_by_now(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: (STORY.now_ms + 61_000) * 1_000_000)
    answer = await sent(site, exchange("initiateHandshake"))
    assert answer.json() == load()["components"]["examples"]["stale_timestamp"]["value"]


async def test_sessions(site: Site) -> None:
    assert (await sent(site, exchange("registerDid"))).status_code == 201
    agent = site.agent(SigningKey(STORY.client_seed))
    session = await agent.handshake()
    assert await agent.ask(session, MESSAGE) == MESSAGE

    r1 = json.loads(encode_json("rekey_request", session.rekey_request()))
    await agent.rekey(session)
    assert r1.keys() == exchange("rekeySession")["request"]["body"].keys()

    path = f"/v1/sessions/{session.session_id}"
    shown = (await site.admin.get(path)).json()
    varying = {"session_id", "created_ms", "expires_ms", "last_activity_ms", "messages", "epoch"}
    written = exchange("readSession")["answer"]["body"]
    assert {name for name in written if shown[name] != written[name]} <= varying
    assert shown.keys() == written.keys()
    assert shown["expires_ms"] - shown["created_ms"] == written["expires_ms"] - STORY.now_ms
    assert (await site.admin.get("/v1/sessions")).json() == {"sessions": [shown], "next": None}

    close = session.seal_close(aad=REQUEST_AAD)
    closed = await agent.send_record(session.session_id, close)
    assert closed.status_code == exchange("sendRecord", "close")["answer"]["status"]
    assert len(close) == len(exchange("sendRecord", "close")["request"]["body_hex"]) // 2


async def test_what_belongs_to_a_session_that_is_gone(site: Site) -> None:
    for operation, name, status in (
        ("sendRecord", "plain", 401),
        ("sendRecord", "close", 401),
        ("rekeySession", "plain", 401),
        ("rekeySession", "adopted", 401),
        ("readSession", "plain", 404),
        ("endSession", "plain", 404),
    ):
        assert (await sent(site, exchange(operation, name))).status_code == status, operation
    empty = await sent(site, exchange("listSessions"))
    assert empty.json() == {"sessions": [], "next": None}


async def test_signatures(site: Site) -> None:
    await same(site, "verifySignature", "valid")
    await same(site, "verifySignature", "forged")
    await same(site, "verifySignatures")


async def test_dids(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    registered_ms = STORY.now_ms - 86_400_000
    monkeypatch.setattr(time, "time_ns", lambda: registered_ms * 1_000_000)
    await same(site, "registerDid")
    assert (await sent(site, exchange("registerDid"))).status_code == 409
    await same(site, "listDids")
    await same(site, "readDid", "public")
    await same(site, "readDid", "operator")
    await same(site, "revokeDid")
    gone = (await sent(site, exchange("readDid", "public"))).json()
    assert gone == exchange("readDid", "public")["answer"]["body"] | {"keys": [], "revoked": True}


def test_every_exchange_is_used() -> None:
    used = Path(__file__).read_text(encoding="utf-8")
    for file in FILES:
        for item in exchanges_of(file):
            assert f'"{item["operation"]}"' in used
            assert item["name"] == "plain" or f'"{item["name"]}"' in used
