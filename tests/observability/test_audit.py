"""The audit log: who was let in, refused, ended or revoked, by whom, in clear and lastingly."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from sage_native import events
from sage_native.gateway import AdminApp, PublicApp
from sage_native.gateway.limits import ClientAddresses
from sage_native.gateway.observing import Observing
from sage_native.observability import audit
from sage_native.observability.audit import AuditLog
from sage_native.observability.context import current_scope
from tests.gateways import Site, open_site
from tests.security.gateway.arena import age, attack_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from sage_native.config import Settings

    Read = Callable[[], list[dict[str, Any]]]

DID, SESSION_ID = "did:example:alice", "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def settings(tmp_path: Path, path: Path) -> Settings:
    settings = attack_settings(
        tmp_path, {"logging.audit": str(path), "logging.output": str(tmp_path / "log")}
    )
    age(settings)
    return settings


@pytest.fixture
def log(path: Path) -> Iterator[AuditLog]:
    log = AuditLog(str(path))
    yield log
    log.close()


@pytest.fixture
async def site(settings: Settings, path: Path) -> AsyncIterator[Site]:
    """A site whose listeners are observed, as those of a worker are."""
    async with open_site(settings) as site:
        with Observing(settings, "public") as observing:
            for client, app in (
                (site.public, PublicApp(site.gateway)),
                (site.admin, AdminApp(site.gateway)),
                (site.stranger, AdminApp(site.gateway)),
            ):
                client._transport = httpx2.ASGITransport(
                    app=observing.around(app), client=("203.0.113.9", 4711)
                )
            yield site
    assert path.exists()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def decided(path: Path) -> list[tuple[Any, ...]]:
    names = ("decision", "status", "code", "action", "reason", "outcome")
    return [tuple(line[name] for name in names if name in line) for line in lines(path)]


async def written(path: Path, count: int) -> None:
    """Wait until so many lines are there; they come by themselves."""
    async with asyncio.timeout(20):
        while len(path.read_bytes().splitlines()) < count:
            await asyncio.sleep(0.005)


async def test_a_session_from_its_registration_to_its_revocation(site: Site, path: Path) -> None:
    agent = await site.registered()
    session = await agent.handshake()
    attempt = await agent.attempt()
    await agent.send_m1(attempt)
    await agent.send_m1(attempt)
    await agent.send_record(session.session_id, session.seal(b"x")[:-1] + b"?")
    await site.stranger.delete(f"/v1/dids/{agent.did}")
    await site.admin.delete(f"/v1/dids/{agent.did}")
    await written(path, 10)
    assert decided(path) == [
        ("operator", "did_registered", "done"),
        ("handshake", "completed"),
        ("replay refused", "replayed"),
        ("handshake", "refused", "replay_detected"),
        ("request refused", 409, "replay_detected"),
        ("request refused", 401, "authentication_failed"),
        ("operator", "token_refused", "refused"),
        ("operator", "did_revoked", "done"),
        ("handshake", "abandoned"),
        ("sessions ended", "revoked"),
    ]
    found = lines(path)
    assert found[0]["subject"] == found[1]["client_did"] == found[3]["client_did"] == agent.did
    assert found[1]["session_id"] == found[5]["session_id"] == session.session_id
    assert found[1]["server_did"] == site.gateway.identities.announced()[0][0]
    assert found[5]["route"] == "/v1/sessions/{session_id}/messages"
    for line in found:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["address"] == "203.0.113.9"
        assert len(line["request_id"]) == 16


async def test_ids_stand_in_clear_in_the_audit_log_alone(
    site: Site, settings: Settings, path: Path
) -> None:
    agent = await site.registered()
    session = await agent.handshake()
    await agent.ask(session, b"x")
    await written(path, 2)
    log = path.with_name("log")
    assert str(log) == settings.logging.output
    await written(log, 5)
    text, audited = log.read_text(), path.read_text()
    for known in (agent.did, session.session_id):
        assert known in audited
        assert known not in text


def test_what_is_no_decision_has_no_line(log: AuditLog, path: Path) -> None:
    for event in (
        events.StoreAnswered("memory", "get", 0.1),
        events.SessionStarted("responder"),
        events.SessionRekeyed(1),
        events.RequestRefused("rate_limited", 429),
        events.RequestRefused("not_found", 404),
    ):
        log(event)
    log.close()
    assert path.read_bytes() == b""


def test_each_decision_has_its_fields(log: AuditLog, path: Path) -> None:
    log(events.KeysRotated("kek", "kek-2"))
    log(events.KeysRotated("operator token", None))
    log(events.ReplayMemoryOpened(path, 17, is_complete=False))
    log(events.SessionsEnded("revoked", 3))
    log(events.RequestRefused("misdirected", 421))
    log.close()
    found = lines(path)
    for line in found:
        del line["time"], line["pid"]
    assert found == [
        {"decision": "key rotated", "what": "kek", "key_id": "kek-2"},
        {"decision": "key rotated", "what": "operator token"},
        {
            "decision": "replay memory opened",
            "path": str(path),
            "remembers_since_ms": 17,
            "is_complete": False,
        },
        {"decision": "sessions ended", "reason": "revoked", "count": 3},
        {"decision": "request refused", "code": "misdirected", "status": 421},
    ]


def test_a_line_stays_one_line(log: AuditLog, path: Path) -> None:
    log(events.OperatorActed("did_registered", "did:example:a\n{}\x9b\u202e\ud800", "refused"))
    log.close()
    [line] = lines(path)
    assert line["subject"] == "did:example:a\\n{}\\x9b\\u202e\\ud800"


def test_the_file_is_for_its_owner(log: AuditLog, path: Path) -> None:
    log(events.SessionsEnded("closed", 1))
    assert path.stat().st_mode & 0o777 == 0o600


def test_lost_lines_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "QUEUE_LEN", 10)
    log = AuditLog(str(path))
    monkeypatch.setattr(log._writer, "_wake", lambda: None)
    for _ in range(30):
        log(events.SessionsEnded("closed", 1))
    monkeypatch.undo()
    log.close()
    assert log.dropped_count == 20
    found = [(line["decision"], line["count"]) for line in lines(path)]
    assert found == [("sessions ended", 1)] * 10 + [("lines were lost", 20)]


def test_the_address_is_that_behind_a_trusted_proxy(path: Path) -> None:
    log = AuditLog(str(path), address_of=ClientAddresses(("10.0.0.0/8",)).full)
    for client in ("10.0.0.1", "203.0.113.1"):
        headers = [(b"x-forwarded-for", b"203.0.113.9")]
        scope = {"type": "http", "method": "GET", "headers": headers, "client": (client, 1)}
        token = current_scope.set(scope)
        log(events.OperatorActed("token_refused", None, "refused"))
        current_scope.reset(token)
    log.close()
    assert [line["address"] for line in lines(path)] == ["203.0.113.9", "203.0.113.1"]
