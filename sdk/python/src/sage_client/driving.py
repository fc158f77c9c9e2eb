"""Whoever carries out the commands of the steps: one driver for event loops, one for threads.

Answers are read up to a limit and as they come: nothing is decompressed, no redirect is followed,
no cookie is kept. What breaks before the request can have left is ``ConnectionFailedError``,
everything later ``AnswerLostError``.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeVar

import httpx2
from sage_native.exceptions import UsageError

from sage_client.commands import Call, Pause, Reply, Turn
from sage_client.errors import (
    AnswerLostError,
    ConnectionFailedError,
    TransportError,
    UnexpectedAnswerError,
)
from sage_client.tracing import trace_fields

if TYPE_CHECKING:
    import ssl

    from sage_client.commands import Command, Steps
    from sage_client.types import ClientSettings

__all__ = ["AsyncDriver", "SyncDriver", "check_url"]

T = TypeVar("T")
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


class AsyncDriver:
    """Drives steps on an event loop, over a pool of connections."""

    def __init__(self, url: str, settings: ClientSettings, verify: ssl.SSLContext | None) -> None:
        self._url = check_url(url)
        self._settings = settings
        self._http = httpx2.AsyncClient(
            verify=_default_tls() if verify is None else verify,
            limits=_limits(settings),
            cookies=_no_cookies(),
        )

    async def run(self, steps: Steps[T]) -> T:
        """Carry out the steps and return their result. Being cancelled cancels them."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = await self._perform(command)
                except BaseException as error:  # noqa: BLE001 - the steps decide about every error
                    command = steps.throw(error)
                else:
                    command = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _perform(self, command: Command) -> Reply | None:
        match command:
            case Call():
                return await self._call(command)
            case Pause():
                await asyncio.sleep(command.wait_s)
            case Turn():
                ticket = command.gate.ask(alone=command.alone)
                if ticket is not None:
                    try:
                        await asyncio.wrap_future(ticket)
                    except BaseException:
                        command.gate.withdraw(ticket)
                        raise
        return None

    async def _call(self, call: Call) -> Reply:
        request = _request(self._http, self._url, call, self._settings)
        try:
            async with asyncio.timeout(call.timeout_s):
                response = await self._http.send(request, stream=True)
                try:
                    body = bytearray()
                    async for chunk in response.aiter_raw():
                        body += chunk
                        _check_len(body, call)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise AnswerLostError(_too_slow(call)) from error
        except httpx2.RequestError as error:
            raise _transport_error(error, call) from error
        return _reply(response, body)


class SyncDriver:
    """Drives steps on the calling thread; several threads may do so at once."""

    def __init__(self, url: str, settings: ClientSettings, verify: ssl.SSLContext | None) -> None:
        self._url = check_url(url)
        self._settings = settings
        self._http = httpx2.Client(
            verify=_default_tls() if verify is None else verify,
            limits=_limits(settings),
            cookies=_no_cookies(),
        )

    def run(self, steps: Steps[T]) -> T:
        """Carry out the steps and return their result."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = self._perform(command)
                except BaseException as error:  # noqa: BLE001 - the steps decide about every error
                    command = steps.throw(error)
                else:
                    command = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _perform(self, command: Command) -> Reply | None:
        match command:
            case Call():
                return self._call(command)
            case Pause():
                time.sleep(command.wait_s)
            case Turn():
                ticket = command.gate.ask(alone=command.alone)
                if ticket is not None:
                    try:
                        ticket.result()
                    except BaseException:
                        command.gate.withdraw(ticket)
                        raise
        return None

    def _call(self, call: Call) -> Reply:
        request = _request(self._http, self._url, call, self._settings)
        end_s = time.monotonic() + call.timeout_s
        try:
            response = self._http.send(request, stream=True)
            try:
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    _check_len(body, call)
                    # Each wait for bytes is bounded by itself; this bounds their sum.
                    if time.monotonic() > end_s:
                        raise AnswerLostError(_too_slow(call))
            finally:
                response.close()
        except httpx2.RequestError as error:
            raise _transport_error(error, call) from error
        return _reply(response, body)


def check_url(url: str) -> str:
    """Return the base URL without a slash at its end.

    Raises:
        UsageError: Not an ``http`` or ``https`` URL of a host, or with more than a path.
    """
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise UsageError(f"the gateway's URL cannot be read: {error}") from error
    if parsed.userinfo:
        raise UsageError("the gateway's URL holds a user or a password; leave them out")
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise UsageError(
            f"the gateway's URL is {url!r}; give scheme, host and at most a port and a path, "
            "such as https://gateway.example:8480"
        )
    return str(parsed).rstrip("/")


@cache
def _default_tls() -> ssl.SSLContext:
    # Loading the system's authorities takes longer than a handshake; clients share the result.
    return httpx2.create_ssl_context()


def _limits(settings: ClientSettings) -> httpx2.Limits:
    count = settings.max_connections
    return httpx2.Limits(max_connections=count, max_keepalive_connections=count)


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _request(
    http: httpx2.AsyncClient | httpx2.Client, url: str, call: Call, settings: ClientSettings
) -> httpx2.Request:
    headers = {"accept-encoding": "identity", **trace_fields()}
    if call.content is not None:
        headers["content-type"] = call.media_type
    return http.build_request(
        "GET" if call.content is None else "POST",
        url + call.path,
        content=call.content,
        headers=headers,
        timeout=httpx2.Timeout(
            call.timeout_s, connect=min(settings.connect_timeout_s, call.timeout_s)
        ),
    )


def _reply(response: httpx2.Response, body: bytearray) -> Reply:
    headers = response.headers
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnexpectedAnswerError(
            "the answer is compressed, which was not asked for; a proxy in between must not "
            "compress",
            status=response.status_code,
        )
    media_type = headers.get("content-type", "").split(";", 1)[0].strip().lower()
    return Reply(response.status_code, media_type, bytes(body), headers.get("retry-after"))


def _check_len(body: bytearray, call: Call) -> None:
    if len(body) > call.max_answer_len:
        raise UnexpectedAnswerError(
            f"the answer from {call.path} has more than {call.max_answer_len} bytes; "
            "the rest was not read"
        )


def _too_slow(call: Call) -> str:
    return f"no whole answer from {call.path} within {call.timeout_s:g} s"


def _transport_error(error: httpx2.RequestError, call: Call) -> TransportError:
    said = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
    if isinstance(error, NOT_SENT):
        return ConnectionFailedError(f"no connection for {call.path}: {said}")
    return AnswerLostError(f"no whole answer from {call.path}: {said}")
