"""A reverse proxy: an HTTP service elsewhere answers.

Connections are pooled over all peers, so nothing of one peer may stick to one: no cookies are kept,
no credentials are added, no redirect is followed, no proxy of the environment is used, and nothing
is decoded. The configured URL decides host, port and TLS; the peer decides no more than the path
below it.

A request is sent at most once. A connection that the upstream closes while it is idle can swallow a
request; whether it was carried out is unknown then, and the peer is told so. For that to be rare,
connections are dropped before most servers close them.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx2

from sage_native.binary_http import Response
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.behind.base import (
    DEFAULT_TIMEOUT_S,
    BehindBusyError,
    BehindTimeoutError,
    BehindUnavailableError,
)
from sage_native.gateway.behind.forwarding import returned_fields
from sage_native.gateway.behind.http import HttpBehind
from sage_native.gateway.behind.leftovers import has_leftovers
from sage_native.gateway.behind.responses import RefusedError
from sage_native.gateway.behind.targets import checked_path
from sage_native.observability.tracing.outgoing import UpstreamSpan
from sage_native.protocol import MAX_PLAINTEXT_LEN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from urllib.parse import SplitResult

    from httpx2 import AsyncByteStream

    from sage_native.binary_http import Fields
    from sage_native.gateway.behind.forwarding import Forwarded
    from sage_native.gateway.peers import Peer

__all__ = ["UpstreamBehind"]

_KEEPALIVE_S = 4.0
"""Below the five seconds after which several servers close an idle connection."""
_CHECK_INTERVAL_S = 1.0
_VERSIONS = frozenset((b"HTTP/1.0", b"HTTP/1.1"))
_NO_LENGTH_WHEN_EMPTY = frozenset(("DELETE", "GET", "HEAD", "OPTIONS"))


class UpstreamBehind(HttpBehind):
    """Passes requests on to an HTTP service.

    Args:
        url: Where it is: ``http://host:port`` or ``https://…``, with a path in front of all paths
            if need be. Without user, query and fragment.
        connect_timeout_s: How long connecting may take, and waiting for a free connection.
        timeout_s: How long all may take, from the first wait to the last byte of the answer.
        max_response_len: The longest content of an answer, at most 1 MiB.
        max_connections: How many connections there are at most, in this process.
        ssl_context: Whom to trust over TLS; the authorities of the system if it is left out.

    Raises:
        ConfigurationError: The URL is none, or says more than a place.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        url: str,
        *,
        connect_timeout_s: float = 2.0,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_response_len: int = MAX_PLAINTEXT_LEN,
        max_connections: int = 100,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parts = _checked_url(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self.prefix = parts.path.rstrip("/").encode("ascii")
        self.message_target = parts.path.encode("ascii") or b"/"
        self._host_field = (b"host", parts.netloc.encode("ascii"))
        self._url = httpx2.URL(scheme=parts.scheme, host=self._host, port=self._port, path="/")
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._max_response_len = min(max_response_len, MAX_PLAINTEXT_LEN)
        self._transport = httpx2.AsyncHTTPTransport(
            verify=ssl_context or _ssl_context(parts.scheme),
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_KEEPALIVE_S,
            ),
        )
        self._check_lock = asyncio.Lock()
        self._checked_s: float | None = None
        self._trouble: str | None = None

    async def exchange(self, request: Forwarded, peer: Peer) -> Response:  # noqa: ARG002 - in headers
        """Send one request, once, and read the whole answer."""
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                with UpstreamSpan(request.method, host=self._host, port=self._port) as span:
                    outgoing = self._outgoing(request, span.headers)
                    response = await self._exchange(outgoing, request.method)
                    span.status = response.status
                    return response
        except httpx2.PoolTimeout:
            raise BehindBusyError("all connections are in use", delivered=False) from None
        except httpx2.ConnectTimeout:
            raise BehindTimeoutError(
                f"{self._host}:{self._port} did not take a connection within "
                f"{self._connect_timeout_s} s",
                delivered=False,
            ) from None
        except httpx2.ConnectError as error:
            raise BehindUnavailableError(
                f"{self._host}:{self._port} takes no connection: {error}", delivered=False
            ) from None
        except httpx2.TransportError as error:
            # Its text may quote fields of the answer.
            raise BehindUnavailableError(
                f"{self._host}:{self._port} broke off ({type(error).__name__})"
            ) from None
        except TimeoutError:
            raise BehindTimeoutError(
                f"{self._host}:{self._port} took longer than {self._timeout_s} s"
            ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def check(self) -> None:
        """Connect, at most once a second; nothing is sent.

        Raises:
            BehindUnavailableError: The last attempt failed.
        """
        async with self._check_lock:
            now_s = asyncio.get_running_loop().time()
            if self._checked_s is None or now_s - self._checked_s >= _CHECK_INTERVAL_S:
                self._trouble = await self._connected()
                self._checked_s = now_s
        if self._trouble is not None:
            raise BehindUnavailableError(self._trouble, delivered=False)

    async def _connected(self) -> str | None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            return f"{self._host}:{self._port} takes no connection: {type(error).__name__}"
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return None

    def _outgoing(self, request: Forwarded, of_the_trace: Fields = ()) -> httpx2.Request:
        headers = [self._host_field, *request.headers, *of_the_trace]
        if request.content or request.method not in _NO_LENGTH_WHEN_EMPTY:
            headers.append((b"content-length", b"%d" % len(request.content)))
        timeouts = {"connect": self._connect_timeout_s, "pool": self._connect_timeout_s}
        return httpx2.Request(
            request.method,
            self._url,
            headers=headers,
            stream=httpx2.ByteStream(request.content),
            extensions={"target": request.target, "timeout": timeouts},
        )

    async def _exchange(self, request: httpx2.Request, method: str) -> Response:
        response = await self._transport.handle_async_request(request)
        try:
            if response.extensions["http_version"] not in _VERSIONS:
                raise BehindUnavailableError(
                    f"{self._host}:{self._port} answered in another version of HTTP", delivered=True
                )
            content = await self._content(response, has_length=method != "HEAD")
            if has_leftovers(response):
                await response.extensions["network_stream"].aclose()
        finally:
            await response.aclose()
        return Response(
            status=response.status_code,
            headers=returned_fields(tuple(response.headers.raw)),
            content=content,
        )

    async def _content(self, response: httpx2.Response, *, has_length: bool) -> bytes:
        announced = response.headers.get("content-length")
        if has_length and announced is not None and int(announced) > self._max_response_len:
            self._refuse_length(int(announced))
        parts: list[bytes] = []
        length = 0
        # Closed here and not by the garbage collector, whatever ends the loop.
        parts_of = cast("AsyncGenerator[bytes]", aiter(cast("AsyncByteStream", response.stream)))
        async with aclosing(parts_of) as stream:
            async for part in stream:
                length += len(part)
                if length > self._max_response_len:
                    self._refuse_length(length)
                parts.append(part)
        return b"".join(parts)

    def _refuse_length(self, length: int) -> None:
        raise BehindUnavailableError(
            f"{self._host}:{self._port} answered with {length} bytes or more; at most "
            f"{self._max_response_len} are taken",
            delivered=True,
        )


def _ssl_context(scheme: str) -> ssl.SSLContext:
    if scheme == "https":
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Trusts nobody, and is not used.


def _checked_url(url: str) -> SplitResult:
    """Return the parts of an upstream's URL. Errors do not quote it: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError("behind.upstream is no URL: write http://host:port") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigurationError(
            "behind.upstream is not the URL of an HTTP service: write http://host:port"
        )
    if "@" in parts.netloc or parts.query or parts.fragment or not url.isascii():
        raise ConfigurationError(
            "behind.upstream holds a user, a query, a fragment or signs beyond ASCII: write "
            "http://host:port or http://host:port/path"
        )
    try:
        checked_path(parts.path or "/")
    except RefusedError as refused:
        raise ConfigurationError(f"behind.upstream: {refused}") from None
    return parts
