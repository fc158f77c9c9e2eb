"""Bodies as a server may hand them over, and the one timer that ends those that do not come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.exceptions import UsageError
from sage_native.gateway.limits import (
    BodyDeadlines,
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    UnsupportedEncodingError,
    UnsupportedTypeError,
    read_body,
)
from sage_native.gateway.limits.bodies import WHOLE_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LIMIT = 10
GONE = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Messages:
    """A ``receive`` that hands out what it holds, then never returns."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.call_count = 0

    async def __call__(self) -> dict[str, Any]:
        self.call_count += 1
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)


@pytest.fixture
def deadlines() -> Iterator[BodyDeadlines]:
    one = BodyDeadlines(0.04)
    yield one
    assert one.reading_count == 0
    assert not one._expired
    one.close()


def read(
    receive: Callable[[], Awaitable[Any]], deadlines: BodyDeadlines, **headers: bytes
) -> Awaitable[bytes]:
    pairs = [(b"host", b"x")]
    pairs += [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return read_body(receive, pairs, limit=LIMIT, deadlines=deadlines)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([part(b"")], b""),
        ([part(b"0123456789")], b"0123456789"),
        ([{"type": "http.request"}], b""),
        ([{"type": "http.request", "body": b"abc"}], b"abc"),
        ([part(b"ab", more=True), {"type": "http.request", "body": b"c"}], b"abc"),
        ([part(b"ab", more=True), {"type": "http.request"}], b"ab"),
        ([part(b"", more=True), part(b"", more=True), part(b"c")], b"c"),
        ([part(b"01234", more=True), part(b"56789", more=True), part(b"")], b"0123456789"),
    ],
)
async def test_a_body_comes_in_any_number_of_messages(
    deadlines: BodyDeadlines, messages: list[dict[str, Any]], expected: bytes
) -> None:
    body = await read(Messages(*messages), deadlines)
    assert body == expected
    assert type(body) is bytes


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"01234", more=True), part(b"56789", more=True)],
        [part(b"0123456789", more=True)],
    ],
)
async def test_a_body_as_long_as_announced_needs_no_further_message(
    deadlines: BodyDeadlines, messages: list[dict[str, Any]]
) -> None:
    receive = Messages(*messages)
    assert await read(receive, deadlines, content_length=b"10") == b"0123456789"
    assert receive.call_count == len(messages)


async def test_an_announced_length_beside_chunks_is_not_believed(deadlines: BodyDeadlines) -> None:
    for names in (("content_length", "transfer_encoding"), ("transfer_encoding", "content_length")):
        values = {"content_length": b"2", "transfer_encoding": b"chunked"}
        headers = {name: values[name] for name in names}
        receive = Messages(part(b"ab", more=True), part(b"cd"))
        assert await read(receive, deadlines, **headers) == b"abcd"


@pytest.mark.parametrize("length", [b"", b"-1", b"+2", b"2_0", b" 2", b"0x2", "²".encode()])
async def test_a_length_that_is_no_number_leaves_it_to_counting(
    deadlines: BodyDeadlines, length: bytes
) -> None:
    receive = Messages(part(b"ab", more=True), part(b"cd"))
    assert await read(receive, deadlines, content_length=length) == b"abcd"


@pytest.mark.parametrize("length", [b"11", b"1" + b"0" * 17, b"9" * 19, b"9" * 10_000])
async def test_too_much_announced_is_refused_unread(
    deadlines: BodyDeadlines, length: bytes
) -> None:
    receive = Messages()
    with pytest.raises(BodyTooLargeError, match="limit is 10") as refused:
        await read(receive, deadlines, content_length=length)
    assert refused.value.code == "payload_too_large"
    assert receive.call_count == 0


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"x" * 11)],
        [part(b"x" * 11, more=True)],
        [part(b"x" * 10, more=True), part(b"x")],
        [part(b"x" * 10, more=True), part(b"x", more=True)],
    ],
)
async def test_one_byte_too_many_ends_the_reading(
    deadlines: BodyDeadlines, messages: list[dict[str, Any]]
) -> None:
    receive = Messages(*messages)
    with pytest.raises(BodyTooLargeError):
        await read(receive, deadlines)
    assert receive.call_count == len(messages)


@pytest.mark.parametrize("encoding", [b"gzip", b"", b"identity, gzip", b"deflate", b"\xff"])
async def test_compressed_is_refused_unread(deadlines: BodyDeadlines, encoding: bytes) -> None:
    for order in ({"transfer_encoding": b"chunked"}, {"content_length": b"x"}, {}):
        receive = Messages()
        with pytest.raises(UnsupportedEncodingError):
            await read(receive, deadlines, **order, content_encoding=encoding)
        assert receive.call_count == 0


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"", b"identity"])
async def test_compressed_in_transfer_is_refused_unread(
    deadlines: BodyDeadlines, coding: bytes
) -> None:
    receive = Messages()
    with pytest.raises(UnsupportedEncodingError):
        await read(receive, deadlines, transfer_encoding=coding)
    assert receive.call_count == 0


async def test_identity_is_no_encoding(deadlines: BodyDeadlines) -> None:
    assert await read(Messages(part(b"a")), deadlines, content_encoding=b" Identity ") == b"a"


@pytest.mark.parametrize("messages", [[GONE], [part(b"ab", more=True), GONE]])
async def test_a_client_that_leaves(
    deadlines: BodyDeadlines, messages: list[dict[str, Any]]
) -> None:
    with pytest.raises(ClientGoneError, match=r"after [02] bytes"):
        await read(Messages(*messages), deadlines, content_length=b"5")


@pytest.mark.parametrize("messages", [[], [part(b"ab", more=True)]])
async def test_what_does_not_come_is_not_waited_for(
    deadlines: BodyDeadlines, messages: list[dict[str, Any]]
) -> None:
    with pytest.raises(BodyTooSlowError, match=r"within 0.04 s") as late:
        await read(Messages(*messages), deadlines)
    assert late.value.code == "request_timeout"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await read(Messages(part(b"a")), deadlines) == b"a"  # the task lives on


async def test_drops_do_not_move_the_deadline(deadlines: BodyDeadlines) -> None:
    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return part(b"", more=True)

    with pytest.raises(BodyTooSlowError):
        await read(drip, deadlines)


async def test_a_cancellation_from_outside_stays_one(deadlines: BodyDeadlines) -> None:
    async def reading() -> bytes:
        return await read(Messages(), deadlines)

    task = asyncio.create_task(reading())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await read(Messages(), deadlines)


async def test_a_cancellation_from_outside_wins_when_both_come(deadlines: BodyDeadlines) -> None:
    async def reading() -> bytes:
        return await read(Messages(), deadlines)

    task = asyncio.create_task(reading())
    await asyncio.sleep(0)
    for _ in range(20):
        deadlines._sweep()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_reads_have_one_timer_and_none_when_all_is_quiet(
    deadlines: BodyDeadlines,
) -> None:
    async def reading() -> bytes:
        return await read(Messages(), deadlines)

    tasks = [asyncio.create_task(reading()) for _ in range(50)]
    await asyncio.sleep(0)
    timer = deadlines._timer
    assert timer is not None
    assert deadlines.reading_count == 50
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [BodyTooSlowError] * 50
    async with asyncio.timeout(30):
        while deadlines._timer is not None:
            await asyncio.sleep(0.001)


async def test_young_reads_survive_the_old(deadlines: BodyDeadlines) -> None:
    arrived = asyncio.Event()

    async def late() -> dict[str, Any]:
        await arrived.wait()
        return part(b"in time")

    async def reading(receive: Callable[[], Awaitable[Any]]) -> bytes:
        return await read(receive, deadlines)

    old = asyncio.create_task(reading(Messages()))
    await asyncio.sleep(0)
    for _ in range(8):
        deadlines._sweep()
    young = asyncio.create_task(reading(late))
    await asyncio.sleep(0)
    assert not old.done()
    deadlines._sweep()
    arrived.set()
    with pytest.raises(BodyTooSlowError):
        await old
    assert await young == b"in time"


async def test_closed_deadlines_leave_no_timer_behind() -> None:
    one = BodyDeadlines(60)
    assert await read(Messages(part(b"a")), one) == b"a"
    before = one._timer
    assert before is None, "what is there at once needs none"

    async def later() -> dict[str, Any]:
        await asyncio.sleep(0)
        return part(b"b")

    assert await read(later, one) == b"b"
    timer = one._timer
    assert timer is not None
    one.close()
    one.close()
    assert timer.cancelled()
    assert await read(Messages(part(b"a")), one) == b"a"
    one.close()


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_deadline_is_a_time(timeout_s: float) -> None:
    with pytest.raises(UsageError, match="timeout_s"):
        BodyDeadlines(timeout_s)


class TestWhole:
    """A server has the body before it calls the application."""

    async def read(self, deadlines: BodyDeadlines, content_type: bytes, body: bytes) -> bytes:
        receive = Messages()
        try:
            return await read_body(
                receive,
                [],
                limit=LIMIT,
                deadlines=deadlines,
                content_type=b"text/plain",
                scope={WHOLE_KEY: (content_type, body)},
            )
        finally:
            assert receive.call_count == 0

    async def test_it_is_not_received(self, deadlines: BodyDeadlines) -> None:
        assert await self.read(deadlines, b"text/plain", bytes(LIMIT)) == bytes(LIMIT)

    async def test_limits_are_the_same(self, deadlines: BodyDeadlines) -> None:
        with pytest.raises(BodyTooLargeError):
            await self.read(deadlines, b"text/plain", bytes(LIMIT + 1))
        for content_type in (b"", b"text/html"):
            with pytest.raises(UnsupportedTypeError):
                await self.read(deadlines, content_type, b"")
