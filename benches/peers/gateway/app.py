"""The routes, on FastAPI.

Handlers take the bare request and return a ready response: nothing here is validated by pydantic,
since the carriers are judged elsewhere, and more strictly.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response

from benches.peers.errors import RefusedError

from .service import Service
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = "application/json"
RECORD = "application/sage-record"
_MAX_HANDSHAKE_LEN = 16 * 1024
_MAX_RECORD_LEN = 48 + (1 << 20) + 16
_STATUS = {
    "authentication_failed": 401,
    "stale_timestamp": 401,
    "challenge_required": 401,
    "malformed_request": 400,
    "invalid_did": 400,
    "invalid_key": 400,
    "unsupported_version": 400,
    "unsupported_suite": 400,
    "unsupported_media_type": 415,
    "misdirected": 421,
    "replay_detected": 409,
    "rekey_required": 409,
    "payload_too_large": 413,
    "rate_limited": 429,
}


def create_app() -> FastAPI:
    """Return the application, with its settings from the environment."""
    settings = Settings.of_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(settings)
        try:
            yield
        finally:
            service.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    for path, handler in _POSTS.items():
        if settings.routes == "fastapi":
            app.post(path, response_model=None)(handler)
        else:
            app.add_route(path, handler, methods=["POST"])
    app.get("/v1/health", response_model=None)(health)
    app.add_exception_handler(RefusedError, refused)
    return app


async def initiate(request: Request) -> Response:
    """Answer an M1."""
    body = await _body(request, JSON, _MAX_HANDSHAKE_LEN)
    service: Service = request.app.state.service
    return Response(service.initiate(body, _address(request)), media_type=JSON)


async def complete(request: Request) -> Response:
    """Take an M3."""
    body = await _body(request, JSON, _MAX_HANDSHAKE_LEN)
    service: Service = request.app.state.service
    await service.complete(body, _address(request))
    return Response(status_code=204)


async def message(request: Request) -> Response:
    """Take a record, and answer with one."""
    body = await _body(request, RECORD, _MAX_RECORD_LEN)
    service: Service = request.app.state.service
    session_id = request.path_params["session_id"]
    answer = await service.message(session_id, body, _address(request))
    return Response(answer, media_type=RECORD)


_POSTS = {
    "/v1/handshake/initiate": initiate,
    "/v1/handshake/complete": complete,
    "/v1/sessions/{session_id}/messages": message,
}


async def health() -> Response:
    """Say that this process lives."""
    return Response(b'{"status":"ok"}', media_type=JSON)


async def refused(_request: Request, error: Exception) -> Response:
    """Return the problem document of a refusal."""
    assert isinstance(error, RefusedError)
    status = _STATUS.get(error.code, 503)
    document = f'{{"type":"urn:sage:problem:{error.code}","status":{status}}}'
    headers = {"retry-after": "1"} if status in {429, 503} else None
    return Response(
        document, status_code=status, headers=headers, media_type="application/problem+json"
    )


async def _body(request: Request, content_type: str, max_len: int) -> bytes:
    headers = request.headers
    if headers.get("content-type") != content_type or "content-encoding" in headers:
        raise RefusedError("unsupported_media_type")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_len:
        raise RefusedError("payload_too_large")
    chunks, total_len = [], 0
    async for chunk in request.stream():
        total_len += len(chunk)
        if total_len > max_len:
            raise RefusedError("payload_too_large")
        chunks.append(chunk)
    return b"".join(chunks)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
