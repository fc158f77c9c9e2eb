"""What is served unobserved: raw hello-world handlers, and the gateway itself.

`plain` is the smallest ASGI handler there is: it reads nothing and answers a constant. `reading`
also reads the body of its request, as a handler of records must. `gateway` is ours, as it is when
nobody watches: no log, no metrics, no traces.

``python -m benches.ratios.http.hello plain|reading|gateway PORT WORKERS`` serves one in the
gateway's own worker processes: the same server with the same options. The settings come from the
environment, as those of the gateway's workers do.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sage_native.gateway import worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Self

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_BODY = b"Hello, world!"
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}


async def plain(scope: Message, receive: Receive, send: Send) -> None:
    """Answer."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    await send(_START)
    await send(_END)
    return None


async def reading(scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole body, then answer."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send(_END)
    return None


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


class _Unobserved:
    """In place of what watches a worker."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def watch(self, _app: object) -> None:
        return None


def main() -> None:
    """Start the workers and wait until told to stop; or be one of them."""
    handler = sys.argv.pop(1)
    if sys.argv[1] == "public":
        vars(worker)["Observing"] = _Unobserved
        if handler != "gateway":
            app = {"plain": plain, "reading": reading}[handler]
            vars(worker)["_APPS"]["public"] = lambda _settings: app
        worker.main()
    else:
        _supervise(handler, port=int(sys.argv[1]), worker_count=int(sys.argv[2]))


def _supervise(handler: str, *, port: int, worker_count: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listening:
        workers = [_start(handler, listening.fileno()) for _ in range(worker_count)]
        signal.sigwait([signal.SIGTERM])
        for one in workers:
            one.terminate()
        for one in workers:
            one.wait()


def _start(handler: str, listening_fd: int) -> subprocess.Popen[bytes]:
    """Start a worker and wait until it is ready, or has ended."""
    ready_fd, their_fd = os.pipe()
    command = [sys.executable, "-m", "benches.ratios.http.hello", handler, "public"]
    process = subprocess.Popen(  # noqa: S603  # our own words
        [*command, str(listening_fd), str(their_fd)],
        pass_fds=(listening_fd, their_fd),
        preexec_fn=_unblock,  # noqa: PLW1509  # there are no threads
    )
    os.close(their_fd)
    os.read(ready_fd, 1)
    os.close(ready_fd)
    return process


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


if __name__ == "__main__":
    main()
