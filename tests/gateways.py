"""A gateway in this process and a client of it: what tests of the gateway begin with."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx2

from sage_native import Initiator, SigningKey, VerifyingKey
from sage_native.config import load_settings
from sage_native.gateway import AdminApp, Gateway, PublicApp
from sage_native.gateway.routes.records import REQUEST_AAD, RESPONSE_AAD
from sage_native.protocol import decode_json, encode_json
from tests.log_canaries import known
from tests.security.canaries import keys_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

    from sage_native import Session
    from sage_native.config import Settings
    from sage_native.gateway.behind import Behind
    from sage_native.protocol import Attempt

__all__ = ["Agent", "Site", "code_of", "gateway_settings", "know_keys", "open_site"]


def gateway_settings(
    tmp_path: Path, overrides: Mapping[str, object] | None = None, *, profile: str = "dev"
) -> Settings:
    """Settings of a gateway whose state is in a directory of the test."""
    ours = {"state_dir": str(tmp_path / "state"), "session.cleanup_interval": "1m"}
    return load_settings(profile, environ={}, overrides={**ours, **(overrides or {})})


class Agent:
    """A client of a gateway: its key, and what it sends."""

    def __init__(self, http: httpx2.AsyncClient, key: SigningKey | None = None) -> None:
        self.http = http
        self.key = SigningKey.generate() if key is None else key
        known("key of a client", self.key.to_bytes())
        self.did = self.key.did

    async def server_key(self) -> VerifyingKey:
        identity = (await self.http.get("/v1/identity")).json()
        text = identity["keys"][0]["public_key"]
        return VerifyingKey(base64.urlsafe_b64decode(text + "="))

    async def attempt(self, **keywords: Any) -> Attempt:  # noqa: ANN401 - the Initiator's own
        return Initiator(self.key, await self.server_key(), **keywords).initiate()

    async def send_m1(self, attempt: Attempt) -> httpx2.Response:
        return await self.post("/v1/handshake/initiate", encode_json("initiate", attempt.message))

    async def handshake(self, **keywords: Any) -> Session:  # noqa: ANN401 - as above
        attempt = await self.attempt(**keywords)
        answer = await self.send_m1(attempt)
        if answer.status_code == 401 and code_of(answer) == "challenge_required":
            challenge = base64.urlsafe_b64decode(answer.json()["challenge"] + "==")
            attempt = Initiator(self.key, await self.server_key(), **keywords).initiate(
                challenge=challenge
            )
            answer = await self.send_m1(attempt)
        assert answer.status_code == 200, answer.text
        m3, session = attempt.finish(decode_json("accept", answer.content))
        confirmed = await self.post("/v1/handshake/complete", encode_json("confirm", m3))
        assert confirmed.status_code == 204, confirmed.text
        return session

    async def post(self, path: str, text: bytes, **headers: str) -> httpx2.Response:
        return await self.http.post(
            path, content=text, headers={"content-type": "application/json", **headers}
        )

    async def send_record(self, session_id: str, record: bytes) -> httpx2.Response:
        return await self.http.post(
            f"/v1/sessions/{session_id}/messages",
            content=record,
            headers={"content-type": "application/sage-record"},
        )

    async def ask(self, session: Session, message: bytes, *, binary_http: bool = False) -> bytes:
        record = session.seal(message, aad=REQUEST_AAD, binary_http=binary_http)
        answer = await self.send_record(session.session_id, record)
        assert answer.status_code == 200, answer.text
        return session.open(answer.content, aad=RESPONSE_AAD + record[:48])

    async def rekey(self, session: Session) -> None:
        answer = await self.post(
            f"/v1/sessions/{session.session_id}/rekey",
            encode_json("rekey_request", session.rekey_request()),
        )
        assert answer.status_code == 200, answer.text
        session.accept_rekey(decode_json("rekey_reply", answer.content))


class Site:
    """A gateway with both of its listeners.

    Attributes:
        gateway: The gateway.
        public: A client of the public listener.
        admin: A client of the admin listener, with the operator's token.
        stranger: A client of the admin listener, without it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.public = _client(PublicApp(gateway))
        self.stranger = _client(AdminApp(gateway))
        token = gateway.rotation.operator_token
        assert token is not None
        self.admin = _client(AdminApp(gateway), {"authorization": f"Bearer {token.decode()}"})

    def agent(self, key: SigningKey | None = None) -> Agent:
        return Agent(self.public, key)

    async def registered(self) -> Agent:
        agent = self.agent()
        public_key = base64.urlsafe_b64encode(agent.key.verifying_key_bytes).rstrip(b"=").decode()
        answer = await self.admin.post("/v1/dids", json={"did": agent.did, "keys": [public_key]})
        assert answer.status_code == 201, answer.text
        return agent


def know_keys(settings: Settings) -> None:
    """Have the log watched for the secrets of a gateway that lie in its state directory."""
    # A test may have put something else there.
    with contextlib.suppress(OSError, ValueError, AssertionError):
        for name, secret in keys_of(settings.state_dir / "secrets").items():
            known(name, secret)


@contextlib.asynccontextmanager
async def open_site(settings: Settings, *, behind: Behind | None = None) -> AsyncIterator[Site]:
    """Open a gateway."""
    async with Gateway(settings, behind=behind) as gateway:
        know_keys(settings)
        site = Site(gateway)
        async with site.public, site.admin, site.stranger:
            yield site


def code_of(answer: httpx2.Response) -> str:
    """Return the code of a problem, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = json.loads(answer.content)
    assert document["status"] == answer.status_code
    prefix, _, code = document["type"].rpartition(":")
    assert prefix == "urn:sage:problem"
    return str(code)


def _client(app: ASGIApp, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)
