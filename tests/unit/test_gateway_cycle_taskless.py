"""Requests that are answered without a task: who asks and who watches cannot tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway.answers import NO_CONTENT, Answer, json_answer, send_answer
from sage_native.gateway.connections import SweptProtocol
from sage_native.gateway.limits.bodies import WHOLE_KEY
from sage_native.gateway.problems import problem
from sage_native.gateway.watch import Watch
from sage_native.observability.context import scope_here
from sage_native.observability.middleware import ROUTE_KEY
from tests.unit.test_gateway_cycle import POST, connected, settled, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sage_native.observability.middleware import Ended

    Work = Callable[[bytes], Coroutine[Any, Any, Answer | None]]

PATH = "/a"


class Served:
    """An application, and what answers as it does without a task; it notes which way was gone."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.with_task: list[bool] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        scope[ROUTE_KEY] = scope["path"]
        self.with_task.append(True)
        answer = await self._work(await whole(receive))
        if answer is not None:
            await send_answer(scope, send, answer)

    def begin(self, scope: Any, reply: Callable[[Answer | None], None]) -> None:  # noqa: ANN401 - as above
        self.with_task.append(False)
        work = asyncio.ensure_future(self._work(scope[WHOLE_KEY][1]))
        work.add_done_callback(lambda done: reply(done.result()))


class Noting:
    """An observer that notes what it is told."""

    takes_records = True

    def __init__(self) -> None:
        self.told: list[Ended] = []

    def finish_many(self, ended: Sequence[Ended]) -> None:
        self.told += ended

    def finish_records(self, records: Sequence[object]) -> None:
        raise AssertionError(f"{records} are no records")


def opened(served: Served, watch: Watch | None = None) -> tuple[Any, Any]:
    kind = SweptProtocol.for_worker(10, taskless={PATH.encode(): served}, watch=watch)  # type: ignore[dict-item]
    return connected(kind, served)


async def asked(protocol: Any) -> None:  # noqa: ANN401 - private parts
    """Ask as the loop does, outside of any task."""
    asyncio.get_running_loop().call_soon(protocol.data_received, POST)
    await settled()


async def echoes(body: bytes) -> Answer:
    return json_answer({"was": body.decode()})


async def waits(body: bytes) -> Answer:
    await asyncio.sleep(0)
    return json_answer({"was": body.decode()}, status=201)


async def has_nothing(_body: bytes) -> Answer:
    return NO_CONTENT


async def refuses(_body: bytes) -> Answer:
    return problem("rate_limited", retry_after_s=1, headers=((b"x-why", b"because"),))


async def closes(_body: bytes) -> Answer:
    return problem("payload_too_large", headers=((b"connection", b"close"),))


async def is_long(_body: bytes) -> Answer:
    return json_answer(b"x" * 70_000)


async def says_nothing(_body: bytes) -> None:
    return None


WORK = (echoes, waits, has_nothing, refuses, closes, is_long)


@pytest.mark.parametrize("work", WORK)
async def test_an_answer_is_the_same_with_and_without_a_task(work: Work) -> None:
    served = Served(work)
    protocol, transport = opened(served)
    await asked(protocol)  # its head is not known yet
    if transport.is_closed:
        first = transport.writes
        kind = type(protocol)
        kind.request_heads.keep(POST, {**_scope(), "headers": _headers()})
        protocol, transport = connected(kind, served)
        await asked(protocol)
        assert [b"".join(first)] == transport.writes
    else:
        first, transport.writes = transport.writes, []
        await asked(protocol)
        assert first == transport.writes
    assert served.with_task == [True, False]


def _headers() -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"content-length", b"3")]


def _scope() -> dict[str, Any]:
    return {"method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b""}


async def test_requests_behind_one_that_waits_come_after_it() -> None:
    go, bodies = asyncio.Event(), []

    async def slow(body: bytes) -> Answer:
        bodies.append(body)
        if len(bodies) == 2:
            await go.wait()
        return json_answer(len(bodies))

    served = Served(slow)
    protocol, transport = opened(served)
    await asked(protocol)
    await asked(protocol)
    await asked(protocol)
    assert served.with_task == [True, False]
    assert len(transport.writes) == 1
    go.set()
    await settled()
    assert [write[-1:] for write in transport.writes] == [b"1", b"2", b"3"]


async def test_whoever_is_gone_is_sent_nothing() -> None:
    go = asyncio.Event()

    async def slow(body: bytes) -> Answer:
        if served.with_task == [True, False]:
            await go.wait()
        return await echoes(body)

    served, watcher = Served(slow), Noting()
    protocol, transport = opened(served, Watch(served, [watcher]))  # type: ignore[list-item]
    await asked(protocol)
    await asked(protocol)
    transport.is_closed = True
    protocol.connection_lost(None)
    go.set()
    await settled()
    assert len(transport.writes) == 1
    protocol.watch.tell()
    assert [one[1] for one in watcher.told] == [200, None]


@pytest.mark.parametrize("work", [*WORK, says_nothing])
async def test_who_watches_is_told_the_same(work: Work) -> None:
    told = []
    for times in (1, 2):
        watcher, served = Noting(), Served(work)
        watch = Watch(served, [watcher])  # type: ignore[list-item]
        protocol, transport = opened(served, watch)
        for _ in range(times):
            type(protocol).request_heads.keep(POST, {**_scope(), "headers": _headers()})
            if times == 1:
                type(protocol).request_heads._heads.clear()
            await asked(protocol)
            protocol, transport = connected(type(protocol), served)
        watch.tell()
        *_, (scope, status, sent_len, started_s, ended_s, error) = watcher.told
        assert 0 <= ended_s - started_s < 60
        told.append((scope.get(ROUTE_KEY), status, sent_len, type(error)))
        assert served.with_task == [True] * times or times == 2
    assert told[0] == told[1]
    assert not transport.writes


async def test_what_is_done_later_is_done_in_the_context_of_its_request() -> None:
    seen = []

    async def look(body: bytes) -> Answer:
        before = scope_here()
        await asyncio.sleep(0)
        seen.append((before is scope_here(), before is not None and before["path"]))
        return await echoes(body)

    served = Served(look)
    protocol, _ = opened(served, Watch(served, []))
    await asked(protocol)
    await asked(protocol)
    assert served.with_task == [True, False]
    assert seen == [(True, PATH)] * 2
    assert scope_here() is None


async def test_a_request_whose_trace_is_sampled_has_a_task() -> None:
    class Tracing:
        def gaps(self) -> list[int]:
            return [1] * 64

        def sample(self, _scope: object) -> bool:
            return True  # by the middleware, then

        def begin(self, _request: object) -> None:
            pass

        def finish(self, _request: object, _state: object) -> None:
            pass

    served = Served(echoes)
    watch = Watch(served, [], tracing=Tracing())  # type: ignore[arg-type]
    protocol, transport = opened(served, watch)
    await asked(protocol)
    await asked(protocol)
    assert served.with_task == [True, True]
    assert transport.writes[0] == transport.writes[1]
    assert watch._requests.count == 2


async def test_a_path_that_hides_a_slash_is_not_taken_for_one_that_does_not() -> None:
    served = Served(echoes)
    kind = SweptProtocol.for_worker(10, taskless={b"/a/b": served})  # type: ignore[dict-item]
    hidden, plain = POST.replace(b"/a", b"/a%2fb"), POST.replace(b"/a", b"/a/b")
    protocol, transport = connected(kind, served)
    for request in (hidden, hidden, plain, plain):
        asyncio.get_running_loop().call_soon(protocol.data_received, request)
        await settled()
    assert served.with_task == [True, True, True, False]
    assert len(transport.writes) == 4


async def test_an_answer_that_cannot_be_sent_is_answered_for() -> None:
    async def wrong(body: bytes) -> Answer:
        headers = ((b"x", b"a\nb"),) if served.with_task[-1:] == [False] else ()
        return Answer(200, headers, body)

    served = Served(wrong)
    protocol, transport = opened(served)
    await asked(protocol)
    await asked(protocol)
    assert served.with_task == [True, False]
    assert b" 500 " in transport.writes[1]
    assert transport.is_closed
