"""Half-open sessions of other workers: marked, found, handed over, and lost without harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from typing import TYPE_CHECKING

from sage_native.gateway import siblings as module
from sage_native.gateway.answers import Answer
from sage_native.gateway.siblings import CONFIRMATION, RECORD, Siblings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

OTHER = 4_000_001
"""Beyond the numbers that processes have."""
ID = bytes(range(16))


class Taker:
    def __init__(self) -> None:
        self.taken: list[tuple[bytes, bytes]] = []

    async def __call__(self, kind: bytes, message: bytes) -> Answer:
        self.taken.append((kind, message))
        return Answer(200, ((b"content-type", b"text/plain"),), b"answer to " + message[:16])


@contextlib.asynccontextmanager
async def worker(path: Path, process: int | None = None) -> AsyncIterator[tuple[Siblings, Taker]]:
    taker = Taker()
    one = Siblings(path, taker, process=process)
    await one.start()
    try:
        yield one, taker
    finally:
        await one.stop()


async def test_a_message_reaches_the_worker_that_marked_its_session(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 40)  # a path that no socket can have
    long.mkdir()
    async with worker(long) as (here, taker), worker(long, OTHER) as (there, _):
        assert await there.hand_over(CONFIRMATION, ID, b"m3") is None
        here.mark(ID)
        for kind, message in ((CONFIRMATION, b"m3"), (RECORD, bytes(1 << 20))):
            answer = await there.hand_over(kind, ID, message)
            expected = b"answer to " + message[:16]
            assert answer == Answer(200, ((b"content-type", b"text/plain"),), expected)
            assert taker.taken.pop() == (kind, message)
        # Who has it himself asks nobody, and an id that is nearly the same is another.
        assert await here.hand_over(CONFIRMATION, ID, b"m3") is None
        assert await there.hand_over(CONFIRMATION, ID[:15] + b"x", b"m3") is None
        assert taker.taken == []


async def test_a_mark_is_over_with_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with worker(tmp_path) as (here, taker), worker(tmp_path, OTHER) as (there, _):
        here.mark(ID)
        monkeypatch.setattr(module, "HALF_OPEN_MS", -1)
        assert await there.hand_over(CONFIRMATION, ID, b"m3") is None
        assert taker.taken == []


async def test_a_worker_that_has_gone_or_hangs_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HAND_OVER_S", 0.1)

    async def hang(_kind: bytes, _message: bytes) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async with worker(tmp_path, OTHER) as (there, _):
        async with worker(tmp_path) as (here, _):
            here.mark(ID)
        assert await there.hand_over(CONFIRMATION, ID, b"m3") is None
        stuck = Siblings(tmp_path, hang)
        await stuck.start()
        stuck.mark(ID)
        assert await there.hand_over(CONFIRMATION, ID, b"m3") is None
        await stuck.stop()


async def test_what_is_left_of_dead_workers_is_cleared_away_and_nobody_else_may_look(
    tmp_path: Path,
) -> None:
    sockets = tmp_path / "workers"
    sockets.mkdir()
    (sockets / f"{OTHER}.sock").touch()
    (sockets / "1.sock").touch()
    async with worker(tmp_path):
        assert sorted(path.name for path in sockets.iterdir()) == sorted(
            ["1.sock", f"{os.getpid()}.sock"]
        )
        table = (tmp_path / "half-open.table").stat()
        assert stat.S_IMODE(table.st_mode) == 0o600
        # It has holes: nothing is taken for places that nobody used.
        assert table.st_blocks * 512 < table.st_size
    assert not (sockets / f"{os.getpid()}.sock").exists()
