"""What is logged while a request is at work names that request, and never another one."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.gateway.confirmations import Confirmation
from sage_native.gateway.connections import SweptProtocol
from sage_native.gateway.together import Together
from sage_native.gateway.watch import Watch
from sage_native.observability.context import bind, bound, scope_here, task_with_scope
from tests.unit.test_gateway_cycle import POST, connected, settled, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

SECOND = POST.replace(b"/a", b"/b")


class Served:
    """An application that looks around as it is told, and answers."""

    def __init__(self, look: Callable[[str], Awaitable[None]]) -> None:
        self._look = look

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        await whole(receive)
        await self._look(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def _inheriting() -> None:
    asyncio.get_running_loop().set_task_factory(task_with_scope)  # type: ignore[arg-type]


def opened(look: Callable[[str], Awaitable[None]], **options: Any) -> Any:  # noqa: ANN401 - private parts
    served = Served(look)
    kind = SweptProtocol.for_worker(10, watch=Watch(served, []), **options)
    return connected(kind, served)[0]


def path_here() -> str | None:
    scope = scope_here()
    return None if scope is None else scope["path"]


@pytest.mark.usefixtures("_inheriting")
async def test_a_request_its_tasks_and_its_threads_have_its_scope() -> None:
    seen: dict[str, list[str | None]] = {"/a": [], "/b": []}

    async def look(path: str) -> None:
        found = seen[path]
        found.append(path_here())
        await asyncio.sleep(0)
        found.append(path_here())
        found.append(await asyncio.create_task(child()))
        found.append(await asyncio.to_thread(path_here))
        called: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: called.set_result(path_here()))
        found.append(await called)

    async def child() -> str | None:
        await asyncio.sleep(0)
        return await asyncio.create_task(grandchild())

    async def grandchild() -> str | None:
        return path_here()

    protocol = opened(look)
    for request in (POST, SECOND, POST + SECOND):  # one after the other, and two at once
        protocol.data_received(request)
        for _ in range(500):
            await asyncio.sleep(0.001)
            if protocol.cycle.response_complete and not protocol.pipeline:
                break
    assert seen == {"/a": ["/a"] * 10, "/b": ["/b"] * 10}
    assert path_here() is None


@pytest.mark.usefixtures("_inheriting")
async def test_what_outlives_its_request_is_not_taken_for_the_next_one() -> None:
    seen: list[tuple[str, str | None]] = []
    is_second_at_work, may_end = asyncio.Event(), asyncio.Event()
    left = []

    async def linger(name: str) -> None:
        await is_second_at_work.wait()
        seen.append((name, path_here()))
        may_end.set()

    async def look(path: str) -> None:
        if path == "/a":
            left.append(asyncio.create_task(linger("task")))
        else:
            is_second_at_work.set()
            await may_end.wait()
            seen.append(("own", path_here()))

    protocol = opened(look)
    protocol.data_received(POST)
    await settled()
    assert protocol.cycle.response_complete
    asyncio.get_running_loop().call_soon(lambda: seen.append(("outside", path_here())))
    protocol.data_received(SECOND)
    await settled()
    assert seen == [("outside", None), ("task", "/a"), ("own", "/b")]


@pytest.mark.usefixtures("_inheriting")
async def test_what_is_worked_on_together_and_later_is_of_the_request_that_asked() -> None:
    seen: list[str | None] = []

    async def later() -> None:
        seen.append(path_here())

    def work(gathered: list[Confirmation]) -> None:
        seen.append(path_here())
        for asked in gathered:
            seen.append(asked.context.run(path_here))
            together.do_later(asked, later())

    together = Together(work)

    async def look(_path: str) -> None:
        is_told = asyncio.Event()
        together.add(Confirmation(b"", lambda *_: None))
        asyncio.get_running_loop().call_later(0.005, is_told.set)
        await is_told.wait()

    opened(look).data_received(POST)
    await settled()
    assert seen == [None, "/a", "/a"]


async def test_a_callback_is_of_the_request_at_work_until_that_is_answered() -> None:
    seen: list[str | None] = []

    async def look(_path: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: seen.append(path_here()))
        await asyncio.sleep(0)
        loop.call_later(0.005, lambda: seen.append(path_here()))

    opened(look).data_received(POST)
    async with asyncio.timeout(20):
        while len(seen) < 2:
            await asyncio.sleep(0.001)
    assert seen == ["/a", None]


async def test_a_request_keeps_its_scope_when_its_client_is_gone() -> None:
    seen: list[str | None] = []
    is_gone = asyncio.Event()

    async def look(_path: str) -> None:
        await is_gone.wait()
        seen.append(path_here())

    protocol = opened(look)
    protocol.data_received(POST)
    await settled()
    protocol.connection_lost(None)
    is_gone.set()
    await settled()
    assert seen == ["/a"]


async def test_what_a_request_has_left_is_not_taken_for_one_without_a_task() -> None:
    seen: list[str | None] = []
    left: list[Context] = []
    replies: list[object] = []

    class Taskless:
        def begin(self, _scope: object, reply: object) -> None:
            replies.append(reply)

    async def look(path: str) -> None:
        if path == "/a":
            left.append(copy_context())

    protocol = opened(look, taskless={b"/b": Taskless()})
    for request in (SECOND, POST, SECOND):  # the first of its head is the parser's, and has a task
        protocol.data_received(request)
        await settled()
    assert len(replies) == 1
    assert protocol.at_work.scope["path"] == "/b"
    asyncio.get_running_loop().call_soon(lambda: seen.append(path_here()), context=left[0])
    thread = threading.Thread(target=left[0].copy().run, args=(lambda: seen.append(path_here()),))
    thread.start()
    thread.join()
    await settled()
    assert seen == [None, None]


async def test_a_context_of_one_connection_says_nothing_in_a_task_of_another() -> None:
    kept: list[Context] = []
    seen: list[str | None] = []

    async def keep(_path: str) -> None:
        kept.append(copy_context())

    async def look(_path: str) -> None:
        seen.append(kept[0].run(path_here))

    opened(keep).data_received(POST)
    await settled()
    opened(look).data_received(SECOND)
    await settled()
    assert seen == [None]


async def test_a_thread_keeps_its_request_when_the_client_is_gone() -> None:
    seen: list[str | None] = []
    is_gone, is_seen = threading.Event(), asyncio.Event()

    def work() -> None:
        is_gone.wait(20)
        seen.append(path_here())

    async def look(_path: str) -> None:
        await asyncio.to_thread(work)
        is_seen.set()

    protocol = opened(look)
    protocol.data_received(POST)
    await settled()
    protocol.connection_lost(None)
    is_gone.set()
    await asyncio.wait_for(is_seen.wait(), 20)
    assert seen == ["/a"]


async def test_a_task_that_is_none_of_asyncios_has_no_request() -> None:
    seen: list[str | None] = []
    loop = asyncio.get_running_loop()

    def look_as_another() -> None:
        odd: Any = object()
        asyncio.tasks._enter_task(loop, odd)
        try:
            seen.append(path_here())
        finally:
            asyncio.tasks._leave_task(loop, odd)

    async def look(_path: str) -> None:
        loop.call_soon(look_as_another)

    opened(look).data_received(POST)
    await settled()
    assert seen == [None]


async def test_a_request_inherits_nothing_of_the_one_before_it() -> None:
    variable: ContextVar[str | None] = ContextVar("variable", default=None)
    seen: list[tuple[str | None, dict[str, object]]] = []

    async def look(path: str) -> None:
        await asyncio.sleep(0)
        seen.append((variable.get(), dict(bound())))
        variable.set(path)
        bind(count=1)

    protocol = opened(look)
    protocol.data_received(POST + SECOND + POST)
    await settled()
    protocol.data_received(POST)
    await settled()
    assert seen == [(None, {})] * 4


async def test_a_connection_that_is_over_leaves_no_cycles() -> None:
    async def look(_path: str) -> None:
        assert path_here() == "/a"

    protocol = opened(look)
    for _ in range(2):
        protocol.data_received(POST)
        await settled()
    protocol.connection_lost(None)
    gone = weakref.ref(protocol)
    gc.collect()
    gc.disable()
    try:
        del protocol
        await settled()
        assert gone() is None
    finally:
        gc.enable()


async def test_where_nobody_watches_nothing_is_named() -> None:
    seen: list[str | None] = []

    async def look(_path: str) -> None:
        seen.append(path_here())

    served = Served(look)
    protocol, _ = connected(SweptProtocol.for_worker(10), served)
    protocol.data_received(POST)
    await settled()
    assert seen == [None]
