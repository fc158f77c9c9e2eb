"""A worker is told to stop by signals, which come when they like."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from sage_native.gateway.connections import sweep
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


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> uvicorn.Config:
    monkeypatch.setattr("sage_native.gateway.worker._spare_the_collector", lambda: None)
    config = uvicorn.Config(app, loop="uvloop", lifespan="on", log_config=None)
    config.load()
    return config


def run(server: Server) -> None:
    """Serve at a socket of its own until it ends."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server.run(sockets=[listening])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_once_all_is_over_is_no_trouble(
    config: uvicorn.Config, number: signal.Signals
) -> None:
    """The supervisor sends one, and the kernel another if the supervisor ends before its worker."""

    def stop_soon() -> None:
        # Not before it serves: it would not begin to.
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)

    server = Server(config, stop_soon)
    run(server)
    assert server.should_exit
    os.kill(os.getpid(), number)
    server.handle_exit(number, None)


def test_a_worker_without_deadlines_ends(
    config: uvicorn.Config, caplog: pytest.LogCaptureFixture
) -> None:
    """Another is started in its place."""

    class Broken(Server):
        async def on_tick(self, counter: int) -> bool:
            raise ZeroDivisionError(counter)

    run(Broken(config, lambda: None))
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
        "a worker cannot tell the time, and ends"
    ]


def test_a_connection_that_cannot_be_looked_at_is_ended_and_the_others_are_looked_at() -> None:
    class Connection:
        def __init__(self, error: Exception | None = None) -> None:
            self._error = error
            self.transport = self
            self.swept_s: list[float] = []
            self.is_aborted = False

        def sweep(self, now_s: float) -> None:
            if self._error is not None:
                raise self._error
            self.swept_s.append(now_s)

        def abort(self) -> None:
            self.is_aborted = True

    connections = [Connection(), Connection(ZeroDivisionError()), Connection()]
    sweep(connections, 7.0)
    assert [one.swept_s for one in connections] == [[7.0], [], [7.0]]
    assert [one.is_aborted for one in connections] == [False, True, False]
