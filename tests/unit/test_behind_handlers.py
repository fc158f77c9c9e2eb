"""Functions and the echo behind the gateway, and how the settings name them."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, cast

import pytest

from sage_native.binary_http import Request, Response, field_values
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.behind import (
    BehindTimeoutError,
    BehindUnavailableError,
    HandlerBehind,
    open_behind,
)
from sage_native.gateway.behind.asgi import AsgiBehind
from sage_native.gateway.behind.echo import EchoBehind
from sage_native.gateway.behind.upstream import UpstreamBehind
from tests.upstreams import ask, ask_bytes, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.gateway.peers import Peer

POST = Request(
    method="POST", path="/x", headers=((b"content-type", b"text/plain"),), content=b"hello"
)


async def reversing(peer: Peer, message: bytes) -> bytes | None:
    return f"{peer.did} ".encode() + message[::-1] if message else None


async def test_a_function_answers() -> None:
    behind = HandlerBehind(reversing)
    await behind.start()
    await behind.check()
    assert await tell(behind, b"abc") == b"did:example:alice cba"
    assert await tell(behind, b"") == b""
    await behind.aclose()


async def test_a_function_takes_no_http() -> None:
    called: list[bytes] = []

    async def record(_: Peer, message: bytes) -> bytes:
        called.append(message)
        return b""

    answer = await ask(HandlerBehind(record), POST)
    assert answer.status == 501
    assert json.loads(answer.content)["type"] == "urn:sage:problem:not_implemented"
    assert called == []


async def test_what_a_function_raises_is_kept_for_the_operator() -> None:
    async def failing(_: Peer, message: bytes) -> bytes:
        raise LookupError(message)

    with pytest.raises(BehindUnavailableError, match="raised LookupError") as failed:
        await tell(HandlerBehind(failing), b"secret")
    assert isinstance(failed.value.__cause__, LookupError)
    assert "secret" not in str(failed.value)
    assert (failed.value.code, failed.value.status) == ("upstream_unavailable", 502)
    assert failed.value.delivered is True


async def test_a_function_is_cancelled_in_the_end() -> None:
    cancelled = asyncio.Event()

    async def endless(_: Peer, message: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return message

    with pytest.raises(BehindTimeoutError, match=r"longer than 0\.05 s") as late:
        await tell(HandlerBehind(endless, timeout_s=0.05), b"")
    assert (late.value.code, late.value.status) == ("upstream_timeout", 504)
    assert cancelled.is_set()


async def test_a_functions_own_timeout_is_no_timeout_of_ours() -> None:
    async def failing(_: Peer, message: bytes) -> bytes:
        raise TimeoutError(message)

    with pytest.raises(BehindUnavailableError, match="raised TimeoutError"):
        await tell(HandlerBehind(failing), b"")


async def test_answers_that_are_none() -> None:
    async def text(_: Peer, message: bytes) -> bytes:
        return cast("bytes", message.decode())

    async def long(_: Peer, message: bytes) -> bytes:
        return message * 2

    with pytest.raises(BehindUnavailableError, match="answered with str"):
        await tell(HandlerBehind(text), b"x")
    behind = HandlerBehind(long, max_answer_len=10)
    assert await tell(behind, b"12345") == b"1234512345"
    with pytest.raises(BehindUnavailableError, match="12 bytes; at most 10"):
        await tell(behind, b"123456")
    with pytest.raises(BehindUnavailableError, match="at most 1048576"):
        await tell(HandlerBehind(long, max_answer_len=1 << 30), bytes(1 << 20))


async def test_the_echo() -> None:
    behind = EchoBehind()
    assert await tell(behind, b"anything") == b"anything"
    assert await ask(behind, POST) == Response(
        status=200, headers=((b"content-type", b"text/plain"),), content=b"hello"
    )
    plain = await ask(behind, Request(method="GET", path="/"))
    assert field_values(plain.headers, b"content-type") == [b"application/octet-stream"]
    broken = await ask_bytes(behind, b"\x09")
    assert broken.status == 400
    whole = await ask(behind, Request(method="POST", path="/", content=bytes(1 << 19)))
    assert len(whole.content) == 1 << 19
    assert (
        await ask(behind, Request(method="POST", path="/", content=bytes(1 << 20)))
    ).status == 502


@dataclass
class Choice:
    application: str | None = None
    upstream: str | None = None
    connect_timeout: float = 1
    timeout: float = 1
    max_response: int = 1000
    max_connections: int = 10


class Callable2:
    async def __call__(self, _: Peer, message: bytes) -> bytes:
        return message


class Callable3:
    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


@pytest.fixture(name="module")
def _module() -> Iterator[str]:
    async def scoped(scope: object, receive: object, send: object) -> None: ...

    def wrapped(scope: object, receive: object, send: object) -> object:
        return scoped(scope, receive, send)

    async def optional(_: Peer, message: bytes, extra: int = 1) -> bytes:
        return message * extra

    def blocking(_: Peer, message: bytes) -> bytes:
        return message

    module = ModuleType("applications_of_a_test")
    module.__dict__.update(
        reversing=reversing,
        instance=Callable2(),
        nested=Choice,
        scoped=scoped,
        wrapped=wrapped,
        application=Callable3(),
        optional=optional,
        blocking=blocking,
        klass=Callable3,
        number=3,
        one=len,
    )
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("reversing", HandlerBehind),
        ("instance", HandlerBehind),
        ("optional", HandlerBehind),
        ("scoped", AsgiBehind),
        ("wrapped", AsgiBehind),
        ("application", AsgiBehind),
        ("application.__call__", AsgiBehind),
    ],
)
def test_an_application_is_known_by_its_parameters(
    module: str, attribute: str, kind: type[object]
) -> None:
    assert type(open_behind(Choice(application=f"{module}:{attribute}"))) is kind


@pytest.mark.parametrize("attribute", ["blocking", "klass", "number", "one", "nested"])
def test_what_is_no_application(module: str, attribute: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{attribute} is neither an async function"):
        open_behind(Choice(application=f"{module}:{attribute}"))


def test_applications_that_are_not_there(module: str) -> None:
    with pytest.raises(ConfigurationError, match="no attribute 'nothing'"):
        open_behind(Choice(application=f"{module}:nothing"))
    with pytest.raises(ConfigurationError, match=r"no attribute 'application\.nothing'"):
        open_behind(Choice(application=f"{module}:application.nothing"))
    with pytest.raises(ConfigurationError, match=r"cannot be imported \(ModuleNotFoundError"):
        open_behind(Choice(application="no_such_module_anywhere:x"))
    for name in ("echo2", "", ":x", "x:", "a.b"):
        with pytest.raises(ConfigurationError, match="it must be echo, or"):
            open_behind(Choice(application=name))


async def test_exactly_one_is_named() -> None:
    for choice in (Choice(), Choice(application="echo", upstream="http://127.0.0.1")):
        with pytest.raises(ConfigurationError, match="exactly one"):
            open_behind(choice)
    assert isinstance(open_behind(Choice(application="echo")), EchoBehind)
    assert isinstance(open_behind(Choice(upstream="http://127.0.0.1:1")), UpstreamBehind)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://",
        "http://:80",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://alice:hunter2@127.0.0.1",
        "http://127.0.0.1/?hunter2",
        "http://127.0.0.1/#hunter2",
        "http://127.0.0.1/a/../hunter2",
        "http://münchen.example/",
        "http://[::1",
    ],
)
def test_urls_that_are_no_upstream(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"behind\.upstream") as refused:
        open_behind(Choice(upstream=url))
    assert "hunter2" not in str(refused.value)
