"""Promise 8, on the way out: no key byte and no message in logs, audit logs, traces and metrics.

A gateway as operators run it, with two workers, writes all it can: logs at ``debug``, the audit
log, a trace for each request, metrics. It lives through sessions, rekeys, replays, refusals,
strangers at the operators' door and ends. Then every secret that was involved is looked for, in
every spelling. What must be there, names in clear or as pseudonyms, is looked for too: a search
through nothing proves nothing.
"""

from __future__ import annotations

import json
import os
import urllib.request
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from sage_native.config import load_settings
from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.routes.records import REQUEST_AAD
from sage_native.observability.pseudonyms import Pseudonyms
from sage_native.storage.sqlite import SqliteStorage
from tests.observability.otlp import receiver
from tests.security import canaries
from tests.security.gateway.arena import age
from tests.security.gateway.live import Live, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.gateways import Agent
    from tests.observability.otlp import Receiver

MESSAGES = [b"canary-" + os.urandom(32).hex().encode() for _ in range(4)]


class Watched:
    """A gateway that tells all it can, and where it tells it."""

    def __init__(self, taker: Receiver) -> None:
        self.taker = taker
        self.gateway = Live(
            **{
                "logging.level": "debug",
                "logging.format": "json",
                "tracing.enabled": "true",
                "tracing.endpoint": taker.url,
                "tracing.sample_rate": "1",
                "metrics.enabled": "true",
            }
        )
        directory = self.gateway.state_dir.parent
        self.log, self.audit = directory / "telemetry.log", directory / "audit.log"
        self.gateway.set("logging.output", self.log)
        self.gateway.set("logging.audit", self.audit)
        self.metrics = b""
        self.secrets: dict[str, bytes] = {}
        self.agents: list[Agent] = []

    async def live(self) -> None:
        """Live through everything that has a line, a span or a number."""
        gateway = self.gateway
        async with gateway.client() as http:
            agent = await gateway.registered(http)
            stranger = type(agent)(http)
            self.agents += [agent, stranger]
            self.secrets["key of the agent"] = agent.key.to_bytes()
            sessions = [await agent.handshake() for _ in range(3)]
            await self.note_sessions()
            for session, message in zip(sessions, MESSAGES, strict=False):
                await agent.ask(session, message)
                await agent.rekey(session)
                await agent.ask(session, message)
            await self.note_sessions()
            record = sessions[0].seal(MESSAGES[3], aad=REQUEST_AAD)
            for wrong in (record[:-1] + b"?", record, record):
                await agent.send_record(sessions[0].session_id, wrong)
            attempt = await agent.attempt()
            for _ in range(2):
                await agent.send_m1(attempt)
            with suppress(AssertionError):
                await stranger.handshake()
            await self.be_wrong(http, agent)
            await gateway.admin("DELETE", f"/v1/sessions/{sessions[1].session_id}")
            await gateway.admin("DELETE", f"/v1/dids/{agent.did}")
        with urllib.request.urlopen(gateway.metrics_url) as answer:  # noqa: S310 - ours
            self.metrics = answer.read()

    async def be_wrong(self, http: httpx2.AsyncClient, agent: Agent) -> None:
        """Put secrets where none belongs: a client's mistake must not be written down."""
        key, token = agent.key.to_bytes().hex(), self.gateway.token()
        # Not by a client that logs where it asks.
        for path in (f"{key}/{token}?key={key}", f"dids/did:example:{token}", f"sessions/{key}"):
            raw(
                self.gateway.port,
                f"GET /v1/{path} HTTP/1.1\r\nhost: gateway\r\nx-key: {token}\r\n"
                f"authorization: Bearer {token}\r\nconnection: close\r\n\r\n".encode(),
            )
        await http.post(f"/v1/sessions/{'0' * 36}/messages", content=agent.key.to_pem())
        await agent.post("/v1/handshake/initiate", json.dumps({"version": key}).encode())
        await self.gateway.admin("POST", "/v1/dids", {"did": "did:example:a", "keys": [key]})
        raw(self.gateway.port, f"{token} {key}\r\n\r\n".encode())

    async def note_sessions(self) -> None:
        """Take down the secrets of all sessions, as they are stored now."""
        keys = canaries.keys_of(self.gateway.state_dir / "secrets")
        self.secrets |= keys
        for name in ("challenge.key", "pseudonym.key"):
            digits = (self.gateway.state_dir / name).read_text().partition("\n")[0]
            self.secrets[name] = bytes.fromhex(digits)
        async with await SqliteStorage.open(self.gateway.state_dir / "sessions.db") as storage:
            page = await storage.sessions(SESSION_STORE).page()
        for row in (one.session for one in page.rows):
            found = canaries.secrets_of(row, keys["kek"], store=SESSION_STORE)
            prefix = f"{row.session_id} epoch {row.epoch}"
            self.secrets |= {f"{prefix} {name}": secret for name, secret in found.items()}

    def told(self) -> dict[str, bytes]:
        """Return all that was told, by where."""
        return {
            "log": self.log.read_bytes(),
            "audit log": self.audit.read_bytes(),
            "output": self.gateway.log().encode(),
            "traces": b"".join(self.taker.bodies),
            "metrics": self.metrics,
        }


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        watched = Watched(stack.enter_context(receiver()))
        stack.callback(watched.gateway.close)
        # Old enough for M1s without a challenge, so that one can be replayed.
        small = {"state_dir": str(watched.gateway.state_dir), "replay.capacity": 10_000}
        age(load_settings("dev", environ={}, overrides=small))
        watched.gateway.start()
        yield watched


async def test_no_key_byte_and_no_message_is_told(watched: Watched) -> None:
    await watched.live()
    watched.gateway.stop()
    told = watched.told()
    secrets = {**watched.secrets, **{f"message {at}": one for at, one in enumerate(MESSAGES)}}
    assert len([name for name in secrets if "epoch" in name]) == 3 * 2 + 3 * 3
    assert canaries.finds(told.items(), secrets) == []
    assert b"sage_handshakes_total" in told["metrics"]
    check_pseudonyms(watched, told)


def check_pseudonyms(watched: Watched, told: dict[str, bytes]) -> None:
    """Find names in clear in the audit log alone, and pseudonyms in the log and the traces."""
    pseudonyms = Pseudonyms(watched.secrets["pseudonym.key"])
    agent, stranger = watched.agents
    for did in (agent.did, stranger.did):
        for place, content in told.items():
            is_in_clear = did.encode() in content
            assert is_in_clear == (place == "audit log"), (did, place)
        for place in ("log", "traces"):
            assert pseudonyms.of_did(did).encode() in told[place], place
    sessions = {name.split()[0] for name in watched.secrets if "epoch" in name}
    for session_id in sessions:
        assert session_id.encode() in told["audit log"]
        assert pseudonyms.of_session(session_id).encode() in told["log"]
        assert session_id.encode() not in told["log"] + told["traces"] + told["metrics"]
    lines = [json.loads(line) for line in told["log"].splitlines()]
    assert {line["level"] for line in lines} >= {"debug", "info", "warning"}
    assert len({line["pid"] for line in lines}) >= 3, "both listeners, and more than one worker"
    assert all("fields_dropped" not in line for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    assert all(("trace_id" in line) == (line["level"] != "debug") for line in requests)
