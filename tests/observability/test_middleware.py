"""What observers are told of requests, and that they change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sage_native.observability import ObservedRequest, RequestMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Observer:
    """Keeps what it is told; each is named, and tells in which order it was asked."""

    def __init__(self, name: str = "one", order: list[str] | None = None) -> None:
        self.name = name
        self.order = [] if order is None else order
        self.finished: list[ObservedRequest] = []
        self.errors: list[BaseException | None] = []

    def begin(self, request: ObservedRequest) -> object:
        assert request.status is None
        self.order.append(f"begin {self.name}")
        return self

    def finish(self, request: ObservedRequest, state: object) -> None:
        assert state is self, "it is given back what it returned"
        self.order.append(f"finish {self.name}")
        self.finished.append(request)
        self.errors.append(request.error)


class Broken(Observer):
    """Raises at one of both."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def begin(self, request: ObservedRequest) -> object:
        if self.at == "begin":
            raise ValueError(self.at)
        return super().begin(request)

    def finish(self, request: ObservedRequest, state: object) -> None:
        super().finish(request, state)
        raise ValueError(self.at)


def http_scope(method: str = "GET", **members: Any) -> Scope:  # noqa: ANN401 - any members
    return {"type": "http", "method": method, "path": "/", "headers": [], **members}


async def nothing() -> Message:
    raise AssertionError("nobody reads")


async def answer(app: ASGIApp, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, nothing, send)
    return sent


async def in_two_parts(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 207, "headers": []})
    await send({"type": "http.response.body", "body": b"first ", "more_body": True})
    await send({"type": "http.response.body", "body": b"second"})
    await send({"type": "http.response.trailers"})


async def test_observers_are_told_of_the_answer_and_it_passes_unchanged() -> None:
    one = Observer()
    assert await answer(RequestMiddleware(in_two_parts, one), http_scope()) == await answer(
        in_two_parts, http_scope()
    )
    [request] = one.finished
    assert (request.status, request.sent_len, request.error) == (207, 12, None)
    assert request.duration_s > 0
    assert request.started_s > 0


async def test_the_first_to_begin_is_the_last_to_finish() -> None:
    order: list[str] = []
    observers = [Observer(name, order) for name in ("outer", "middle", "inner")]
    await answer(RequestMiddleware(in_two_parts, *observers), http_scope())
    assert order == [
        *("begin outer", "begin middle", "begin inner"),
        *("finish inner", "finish middle", "finish outer"),
    ]


@pytest.mark.parametrize("at", ["begin", "finish"])
async def test_an_observer_that_raises_changes_nothing(
    at: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, broken, last = Observer(), Broken(at), Observer()
    sent = await answer(RequestMiddleware(in_two_parts, first, broken, last), http_scope())
    assert sent[0]["status"] == 207
    assert len(first.finished) == len(last.finished) == 1
    [report] = caplog.records
    assert report.getMessage() == "Exception ignored in the request observer Broken"
    assert report.exc_info is not None
    assert report.exc_info[0] is ValueError


async def test_what_the_application_raises_is_told_and_raised() -> None:
    error = RuntimeError("of the application")

    async def raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    one = Observer()
    with pytest.raises(RuntimeError, match="of the application"):
        await answer(RequestMiddleware(raising, one), http_scope())
    assert one.errors == [error]
    [request] = one.finished
    assert request.status is None
    assert request.error is None, "the request does not hold the frames that hold it"


async def test_a_request_that_is_cancelled_has_ended_too() -> None:
    async def waiting(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    one = Observer()
    task = asyncio.ensure_future(answer(RequestMiddleware(waiting, one), http_scope()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [error] = one.errors
    assert isinstance(error, asyncio.CancelledError)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass(kind: str) -> None:
    passed: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append((scope, receive, send))

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent")

    one = Observer()
    scope = {"type": kind}
    await RequestMiddleware(app, one)(scope, nothing, send)
    assert passed == [(scope, nothing, send)], "as they are"
    assert one.order == []


# What a request says of itself.


@pytest.mark.parametrize(
    ("method", "label"), [("GET", "GET"), ("DELETE", "DELETE"), ("get", "other"), ("BREW", "other")]
)
def test_methods_that_a_client_invents_have_one_label(method: str, label: str) -> None:
    request = ObservedRequest(http_scope(method))
    assert (request.method, request.method_label) == (method, label)


async def test_the_route_is_the_template_of_the_path() -> None:
    async def show(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("shown")

    one = Observer()
    app = RequestMiddleware(Starlette(routes=[Route("/things/{name}", show)]), one)
    for path in ("/things/teapot", "/things", "/other"):
        await answer(app, http_scope(path=path))
    assert [request.route for request in one.finished] == [
        "/things/{name}",
        "unmatched",
        "unmatched",
    ]
    assert [request.status for request in one.finished] == [200, 404, 404]


def test_what_an_application_says_of_its_route_counts() -> None:
    scope = http_scope(**{"sage.route": "/v1/dids/{did}", "sage.problem": "not_found"})
    request = ObservedRequest(scope)
    assert (request.route, request.problem) == ("/v1/dids/{did}", "not_found")
    assert ObservedRequest(http_scope()).problem is None


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([(b"content-length", b"12")], 12),
        ([(b"transfer-encoding", b"chunked")], None),
        ([(b"content-length", b"-1")], None),
        ([(b"content-length", b"9" * 5000)], None),
    ],
)
def test_the_announced_length(headers: list[tuple[bytes, bytes]], length: int | None) -> None:
    assert ObservedRequest(http_scope(headers=headers)).received_len == length


def test_requests_have_names_of_their_own() -> None:
    requests = [ObservedRequest(http_scope()) for _ in range(100)]
    names = {request.request_id for request in requests}
    assert len(names) == 100
    assert all(len(bytes.fromhex(name)) == 8 for name in names)
    assert requests[0].request_id == requests[0].request_id


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        (b"abc-123._Z", True),
        (b"x" * 64, True),
        (b"x" * 65, False),
        (b"", False),
        (b"two words", False),
        (b"line\nline", False),
        (b"line\n", False),
        (b"\xff", False),
    ],
)
def test_a_name_is_taken_from_those_who_are_trusted(given: bytes, *, is_taken: bool) -> None:
    def named(trusts: Callable[[Scope], bool] | None) -> str:
        return ObservedRequest(http_scope(headers=[(b"x-request-id", given)]), trusts).request_id

    assert (named(lambda scope: scope["type"] == "http") == given.decode("latin-1")) is is_taken
    assert named(lambda _: False) != given.decode("latin-1")
    assert named(None) != given.decode("latin-1")


def test_of_two_names_neither_is_taken() -> None:
    scope = http_scope(headers=[(b"x-request-id", b"one"), (b"x-request-id", b"two")])
    assert ObservedRequest(scope, lambda _: True).request_id not in {"one", "two"}
