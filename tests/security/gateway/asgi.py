"""Requests to an application as no HTTP client would send them: any path, any header, any body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import ASGIApp, Message

__all__ = ["Answered", "ask"]


@dataclass
class Answered:
    """What came back.

    Attributes:
        status: 0 if nothing came.
        taken_len: How many bytes of the body the application asked for.
    """

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    taken_len: int = 0

    @property
    def code(self) -> str:
        """The code of a problem; empty for anything else."""
        if self.headers.get(b"content-type") != b"application/problem+json":
            return ""
        _, _, rest = self.body.partition(b"urn:sage:problem:")
        return rest.partition(b'"')[0].decode()


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes | AsyncIterator[bytes] = b"",
    client: tuple[str, int] = ("192.0.2.1", 50_000),
) -> Answered:
    """Send one request, unchanged, straight to the application."""
    answered = Answered()
    chunks = _chunks(body)

    async def receive() -> dict[str, Any]:
        chunk = await anext(chunks, None)
        answered.taken_len += len(chunk or b"")
        if chunk is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = dict(message["headers"])
        else:
            answered.body += message["body"]

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": client,
        "server": ("gateway", 80),
    }
    await app(scope, receive, send)
    return answered


async def _chunks(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        yield chunk
