"""Metrics over HTTP, for Prometheus to scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client.registry import CollectorRegistry

    from sage_native.observability.middleware import Receive, Scope, Send

__all__ = ["MetricsApp"]


class MetricsApp:
    """An ASGI application that answers GET with all metrics, whatever the path; to be mounted.

    The text is OpenMetrics if the client wants it, and holds exemplars then.

    Args:
        registry: What is collected.
        before: Awaited before it is.
    """

    def __init__(
        self, registry: CollectorRegistry, *, before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._registry = registry
        self._before = before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(send, 405, ((b"allow", b"GET, HEAD"),), b"")
            return
        if self._before is not None:
            await self._before()
        accepts = b",".join(value for name, value in scope["headers"] if name == b"accept")
        encode, content_type = choose_encoder(accepts.decode("latin-1"))
        text = encode(self._registry)
        headers = ((b"content-type", content_type.encode()), (b"cache-control", b"no-store"))
        await _send(send, 200, headers, text if scope["method"] == "GET" else b"", len(text))


async def _send(
    send: Send,
    status: int,
    headers: tuple[tuple[bytes, bytes], ...],
    body: bytes,
    body_len: int = 0,
) -> None:
    headers = (*headers, (b"content-length", b"%d" % body_len))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
