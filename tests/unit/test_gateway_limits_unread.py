"""The kernel's timer for answers that nobody reads, set where the server listens."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys

import pytest

from sage_native.exceptions import UsageError
from sage_native.gateway.limits import end_unread, unread


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is an option of Linux")
async def test_listening_sockets_are_set_as_soon_as_they_are_there_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unread, "_BETWEEN_S", 0.001)
    with socket.socket() as plain, socket.socket() as listening, socket.socket() as again:
        setting = asyncio.create_task(end_unread(12.5))
        await asyncio.sleep(0.01)
        assert not setting.done()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert await setting >= 1
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the list, not its paths
        assert await end_unread(12.5) >= 1
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        again.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert [one.getsockopt(*option) for one in (listening, accepted)] == [12_500] * 2
            assert [one.getsockopt(*option) for one in (plain, again)] == [0] * 2


@pytest.mark.parametrize("after_s", [0, -1, math.inf, math.nan, 100_000])
async def test_a_time_out_of_range(after_s: float) -> None:
    with pytest.raises(UsageError, match="after_s"):
        await end_unread(after_s)
