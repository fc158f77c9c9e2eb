"""A server as the gateway's workers are, with short times, that tells what came.

::

    python -m tests.integration.connections_server LISTENING READY CERTIFICATE CONNECTIONS TRUSTED

LISTENING and READY are file descriptors; CERTIFICATE is empty for plain HTTP, TRUSTED a network.

Every request is answered, once its body is whole, with what the application saw. ``/places`` tells
of the server, ``/slow`` takes a while, and ``/unread`` leaves its body alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from sage_native.gateway.connections import SweptProtocol
from sage_native.gateway.worker import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD_S = 1.5
SLOW_S = 0.5
KEEP_ALIVE_S = 1

paths: list[str] = []
places = SweptProtocol.places


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    path = scope["path"]
    if path == "/places":
        file_count = sum(1 for _ in Path("/proc/self/fd").iterdir())
        return await answer(send, {"taken": places.taken, "files": file_count, "paths": paths})
    paths.append(path)
    body = b""
    is_whole = path == "/unread"
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        is_whole = not message["more_body"]
    if path == "/slow":
        await asyncio.sleep(SLOW_S)
    names = [name.decode() for name, _ in scope["headers"]]
    return await answer(send, {"path": path, "len": len(body), "headers": names})


async def answer(send: Callable[[dict[str, Any]], Awaitable[None]], told: object) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    listening_fd, ready_fd = int(sys.argv[1]), int(sys.argv[2])
    protocol = SweptProtocol.for_worker(
        int(sys.argv[4]), head_s=HEAD_S, trusted_proxies=[ip_network(sys.argv[5])]
    )
    globals()["places"] = protocol.places
    config = uvicorn.Config(
        application,
        http=protocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        interface="asgi3",
        log_level="critical",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    config.load()
    if sys.argv[3]:
        config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        config.ssl.load_cert_chain(sys.argv[3])
    server = Server(config, lambda: os.close(ready_fd))
    server.run(sockets=[socket.socket(fileno=listening_fd)])


if __name__ == "__main__":
    main()
