"""A server that only reads bodies: ``python -m tests.integration.bodies_server KIND PORT``.

``gateway`` serves as the gateway's workers do, with shorter times; ``granian`` is another server
that the gateway's application can be run on.

Every request is answered with what became of its body. ``GET /`` tells what became of those that
nobody waited for.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels

from sage_native.gateway.connections import SweptProtocol
from sage_native.gateway.limits import (
    BodyDeadlines,
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    UnsupportedEncodingError,
    read_body,
)
from tests.sweeping import sweep_for_ever

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 100_000
BODY_TIMEOUT_S = 0.4
HEADER_TIMEOUT_MS = 500
UNREAD_S = 0.3
MAX_HEADER_LEN = 16_384

STATUSES = {BodyTooLargeError: 413, BodyTooSlowError: 408, UnsupportedEncodingError: 415}

deadlines = BodyDeadlines(BODY_TIMEOUT_S)
gone: list[str] = []


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    taken_len = 0
    call_count = 0

    async def counted() -> dict[str, Any]:
        nonlocal taken_len, call_count
        message = await receive()
        taken_len += len(message.get("body", b""))
        call_count += 1
        return message

    if scope["path"] == "/large":
        return await answer(send, 200, {"large": "x" * 4_000_000})
    if scope["method"] == "GET":
        told: dict[str, Any] = {"gone": len(gone), "reading": deadlines.reading_count}
        return await answer(send, 200, told)
    try:
        body = await read_body(counted, scope["headers"], limit=LIMIT, deadlines=deadlines)
    except ClientGoneError as error:
        gone.append(str(error))
        return None
    except tuple(STATUSES) as error:
        told = {"code": error.code, "taken": taken_len, "calls": call_count}
        return await answer(send, STATUSES[type(error)], told)
    return await answer(send, 200, {"len": len(body), "calls": call_count})


async def answer(
    send: Callable[[dict[str, Any]], Awaitable[None]], status: int, told: dict[str, Any]
) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve_as_the_gateway(port: int) -> None:
    protocol = SweptProtocol.for_worker(64, head_s=HEADER_TIMEOUT_MS / 1000, unread_s=UNREAD_S)
    config = uvicorn.Config(
        application,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=1,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    sweeping = asyncio.create_task(
        sweep_for_ever(server.server_state.connections, every_s=UNREAD_S / 3)
    )
    await server.serve()
    sweeping.cancel()


def _serve_on_granian(port: int) -> None:
    Granian(
        "bodies",
        port=port,
        interface=Interfaces.ASGINL,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=MAX_HEADER_LEN
        ),
        log_level=LogLevels.warning,
        workers_kill_timeout=1,
    ).serve(target_loader=lambda *_: application, wrap_loader=False)


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "granian":
        _serve_on_granian(port)
    else:
        uvloop.run(_serve_as_the_gateway(port))


if __name__ == "__main__":
    main()
