"""The gateway inside an application of FastAPI, which also is what is behind it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated

import httpx2
from fastapi import Depends, FastAPI

from sage_native.binary_http import Request, decode_response, encode
from sage_native.gateway import AsgiBehind, Gateway, Peer, PublicApp, authenticated_peer
from tests.gateways import Agent, gateway_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sage_native.config import Settings


def application(settings: Settings) -> FastAPI:
    """Handshakes and records below /sage; what is in the records comes to /whoami."""
    inner = FastAPI()

    @inner.get("/whoami")
    async def whoami(peer: Annotated[Peer, Depends(authenticated_peer)]) -> dict[str, str]:
        return {"did": peer.did, "session_id": peer.session_id}

    gateway = Gateway(settings, behind=AsgiBehind(inner))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gateway:
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/sage", PublicApp(gateway))
    outer.mount("/direct", inner)
    return outer


async def test_a_peer_is_known_inside_and_a_stranger_is_not(tmp_path: Path) -> None:
    settings = gateway_settings(tmp_path, {"admission.policy": "any_did_key"})
    app = application(settings)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://host/sage") as http,
    ):
        agent = Agent(http)
        session = await agent.handshake()
        request = Request(method="GET", scheme="https", authority="host", path="/whoami")
        answer = decode_response(await agent.ask(session, encode(request), binary_http=True))
        assert (answer.status, json.loads(answer.content)) == (
            200,
            {"did": agent.did, "session_id": session.session_id},
        )
        forged = {"sage-peer-did": agent.did, "sage.peer": agent.did}
        direct = await http.get("http://host/direct/whoami", headers=forged)
        assert direct.status_code == 401
