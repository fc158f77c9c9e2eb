"""The authorisation matrix: every endpoint of both listeners, asked by everybody.

* own: a registered client, about its own session.
* other: another registered client, about the first one's session or in its name.
* anonymous: somebody without registration and without token.
* operator: the same, with the operator token.
* wrong token: the same, with another token.
* revoked: a client that was revoked after it had made its session; at the admin listener, somebody
  with the operator token of before its rotation.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sage_native.gateway.app import HEALTH_ROUTES, OPERATOR_ROUTES, PUBLIC_ROUTES
from sage_native.gateway.routes import documentation
from sage_native.gateway.routes.records import REQUEST_AAD
from sage_native.protocol import decode_json, encode_json
from tests.gateways import Agent, code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena
from tests.security.gateway.forging import Forger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx2

    from sage_native import Session

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS = ("own", "other", "anonymous", "operator", "wrong token", "revoked")
OK, CREATED, DONE = (200, ""), (201, ""), (204, "")
REFUSED, NO_TOKEN = (401, "authentication_failed"), (401, "unauthorized")
Verdict = tuple[int, str]


def row(own: Verdict, *others: Verdict) -> dict[str, Verdict]:
    """Give a verdict for each caller, in their order; the last one stands for those that follow."""
    verdicts = [own, *others]
    return dict(
        zip(CALLERS, verdicts + verdicts[-1:] * (len(CALLERS) - len(verdicts)), strict=True)
    )


EVERYBODY = row(OK)
NAMED_ONLY = row(OK, REFUSED)


def operator_only(verdict: Verdict) -> dict[str, Verdict]:
    return row(NO_TOKEN, NO_TOKEN, NO_TOKEN, verdict, NO_TOKEN, NO_TOKEN)


MATRIX: dict[tuple[str, str, str], dict[str, Verdict]] = {
    ("public", "POST", "/v1/handshake/initiate"): NAMED_ONLY,
    ("public", "POST", "/v1/handshake/complete"): row(DONE, REFUSED),
    ("public", "GET", "/v1/identity"): EVERYBODY,
    ("public", "POST", "/v1/sessions/{session_id}/messages"): NAMED_ONLY,
    ("public", "POST", "/v1/sessions/{session_id}/rekey"): NAMED_ONLY,
    ("public", "POST", "/v1/signatures/verify"): EVERYBODY,
    ("public", "POST", "/v1/signatures/verify-batch"): EVERYBODY,
    ("public", "GET", "/v1/dids/{did}"): EVERYBODY,
    ("public", "GET", "/v1/health"): EVERYBODY,
    ("public", "GET", "/v1/ready"): EVERYBODY,
    ("admin", "GET", "/v1/health"): EVERYBODY,
    ("admin", "GET", "/v1/ready"): EVERYBODY,
    ("admin", "GET", "/v1/dids"): operator_only(OK),
    ("admin", "POST", "/v1/dids"): operator_only(CREATED),
    ("admin", "GET", "/v1/dids/{did}"): operator_only(OK),
    ("admin", "DELETE", "/v1/dids/{did}"): operator_only(DONE),
    ("admin", "GET", "/v1/sessions"): operator_only(OK),
    ("admin", "GET", "/v1/sessions/{session_id}"): operator_only(OK),
    ("admin", "DELETE", "/v1/sessions/{session_id}"): operator_only(DONE),
    ("admin", "GET", "/v1/health/detail"): operator_only(OK),
    ("admin", "GET", "/openapi.yaml"): EVERYBODY,
    ("admin", "GET", "/docs"): EVERYBODY,
    ("admin", "GET", "/docs/{name}"): EVERYBODY,
}
CELLS = [(*endpoint, caller) for endpoint in MATRIX for caller in CALLERS]


def routes_of_the_application() -> list[tuple[str, str, str]]:
    admin = (*OPERATOR_ROUTES, *HEALTH_ROUTES, *documentation.ROUTES)
    listeners = {"public": (*PUBLIC_ROUTES, *HEALTH_ROUTES), "admin": admin}
    return [
        (listener, method, path)
        for listener, routes in listeners.items()
        for method, path, _ in routes
    ]


async def test_the_matrix_is_whole() -> None:
    routes = routes_of_the_application()
    assert len(set(routes)) == len(routes)
    assert set(MATRIX) == set(routes)
    assert all(tuple(verdicts) == CALLERS for verdicts in MATRIX.values())


@dataclass
class Stage:
    """What every cell begins with: the owner, its session, and who asks.

    Attributes:
        arena: The gateway.
        owner: A registered client.
        session: The owner's session.
        caller: Who asks about it.
        asker: The client that asks: the owner, another one, or nobody.
        old_token: An operator token that was rotated away.
    """

    arena: Arena
    owner: Agent
    session: Session
    caller: str
    asker: Agent
    old_token: bytes

    def client(self, listener: str) -> httpx2.AsyncClient:
        return self.arena.public if listener == "public" else self.arena.stranger

    def headers(self, listener: str) -> dict[str, str]:
        token = {
            "operator": self.arena.gateway.rotation.operator_token,
            "wrong token": secrets.token_urlsafe(32).encode(),
            "revoked": self.old_token if listener == "admin" else None,
        }.get(self.caller)
        return {} if token is None else {"authorization": f"Bearer {token.decode()}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, bytes]]:
    settings = attack_settings(tmp_path_factory.mktemp("matrix"))
    async with open_arena(settings) as arena:
        secret = settings.state_dir / "secrets" / "operator-token"
        old_token = secret.read_bytes().strip()
        token = secrets.token_urlsafe(32)
        secret.write_text(token)
        assert await arena.gateway.rotation.look()
        arena.admin.headers["authorization"] = f"Bearer {token}"
        yield arena, old_token


async def staged(site: tuple[Arena, bytes], caller: str) -> Stage:
    arena, old_token = site
    owner = await arena.registered()
    session = await owner.handshake()
    asker = {"own": owner, "revoked": owner, "other": await arena.registered()}.get(
        caller, arena.agent()
    )
    return Stage(arena, owner, session, caller, asker, old_token)


async def revoke_if_asked(stage: Stage) -> None:
    if stage.caller == "revoked":
        answer = await stage.arena.admin.delete(f"/v1/dids/{stage.owner.did}")
        assert answer.status_code == 204


@pytest.mark.parametrize(("listener", "method", "path", "caller"), CELLS)
async def test_cell(
    site: tuple[Arena, bytes], listener: str, method: str, path: str, caller: str
) -> None:
    stage = await staged(site, caller)
    body, kind = await BODIES.get((method, path), nothing)(stage)
    if listener == "public":
        await revoke_if_asked(stage)
    concrete = path.format(
        session_id=stage.session.session_id, did=stage.owner.did, name="swagger-ui.css"
    )
    headers = stage.headers(listener) | ({"content-type": kind} if kind else {})
    before = await stage.arena.state()
    answer = await stage.client(listener).request(method, concrete, content=body, headers=headers)
    verdict = MATRIX[listener, method, path][caller]
    said = (answer.status_code, "" if answer.status_code < 400 else code_of(answer))
    assert said == verdict, answer.text
    if verdict[0] >= 400:
        assert await stage.arena.state() == before
        await unchanged(stage)
    await stage.arena.look()


async def unchanged(stage: Stage) -> None:
    """Assert that the owner's session and registration are as they were."""
    answer = await stage.arena.admin.get(f"/v1/dids/{stage.owner.did}")
    is_revoked = answer.json()["revoked_ms"] is not None
    stored = await stage.arena.admin.get(f"/v1/sessions/{stage.session.session_id}")
    assert stored.status_code == (404 if is_revoked else 200)
    if not is_revoked:
        assert await stage.owner.ask(stage.session, b"mine still") == b"mine still"


Body = tuple[bytes, str]
JSON, RECORD = "application/json", "application/sage-record"


async def nothing(_: Stage) -> Body:
    return b"", ""


async def m1(stage: Stage) -> Body:
    pen = Forger(stage.arena, stage.asker.key)
    # Another client asks in the owner's name: with its own it would be an owner itself.
    in_whose_name = {"client_did": stage.owner.did} if stage.caller == "other" else {}
    return pen.json(**in_whose_name), JSON


async def m3(stage: Stage) -> Body:
    """Confirm a session that the owner began, with what the caller knows of it."""
    attempt = await stage.owner.attempt()
    answer = await stage.owner.send_m1(attempt)
    message, _ = attempt.finish(decode_json("accept", answer.content))
    if stage.caller not in {"own", "revoked"}:
        message = message[:16] + secrets.token_bytes(32)
        message += stage.asker.key.sign(message)
    return encode_json("confirm", message), JSON


async def record(stage: Stage) -> Body:
    sealed = (await askers_session(stage)).seal(b"message", aad=REQUEST_AAD)
    return of_owner(sealed, stage, 4), RECORD


async def r1(stage: Stage) -> Body:
    request = (await askers_session(stage)).rekey_request()
    return encode_json("rekey_request", of_owner(request, stage, 0)), JSON


async def askers_session(stage: Stage) -> Session:
    """Return the owner's session, or the best that somebody else has."""
    if stage.caller in {"own", "revoked"}:
        return stage.session
    if stage.caller == "other":
        return await stage.asker.handshake()
    return await (await stage.arena.registered()).handshake()


def of_owner(message: bytes, stage: Stage, at: int) -> bytes:
    session_id = bytes.fromhex(stage.session.session_id.replace("-", ""))
    return message[:at] + session_id + message[at + 16 :]


async def signature(stage: Stage) -> Body:
    return verification(stage), JSON


async def signatures(stage: Stage) -> Body:
    return b'{"items":[' + verification(stage) + b"]}", JSON


def verification(stage: Stage) -> bytes:
    key = stage.asker.key
    public, signed = map(unpadded, (key.verifying_key_bytes, key.sign(b"")))
    return f'{{"public_key":"{public}","message":"","signature":"{signed}"}}'.encode()


async def registration(stage: Stage) -> Body:
    key = unpadded(stage.asker.key.verifying_key_bytes)
    return f'{{"did":"did:example:{secrets.token_hex(8)}","keys":["{key}"]}}'.encode(), JSON


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


BODIES: dict[tuple[str, str], Callable[[Stage], Awaitable[Body]]] = {
    ("POST", "/v1/handshake/initiate"): m1,
    ("POST", "/v1/handshake/complete"): m3,
    ("POST", "/v1/sessions/{session_id}/messages"): record,
    ("POST", "/v1/sessions/{session_id}/rekey"): r1,
    ("POST", "/v1/signatures/verify"): signature,
    ("POST", "/v1/signatures/verify-batch"): signatures,
    ("POST", "/v1/dids"): registration,
}
