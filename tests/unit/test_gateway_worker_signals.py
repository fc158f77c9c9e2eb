"""A worker is told to stop by signals, which come when they like."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from sage_native.gateway.worker import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = signal.SIGTERM, signal.SIGINT
    former = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, former, strict=True):
        signal.signal(number, handler)


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
    assert scope["type"] == "lifespan"
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_once_all_is_over_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The supervisor sends one, and the kernel another if the supervisor ends before its worker."""
    monkeypatch.setattr("sage_native.gateway.worker._spare_the_collector", lambda: None)
    config = uvicorn.Config(app, loop="uvloop", lifespan="on", log_config=None)
    config.load()

    def stop_soon() -> None:
        # Not before it serves: it would not begin to.
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)

    server = Server(config, stop_soon)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server.run(sockets=[listening])
    assert server.should_exit
    os.kill(os.getpid(), number)
    server.handle_exit(number, None)
