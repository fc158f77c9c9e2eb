"""One listener as a process of its own: ``python -m sage_native.gateway.worker public|admin``.

`serving` starts it, with the layers of the settings in an environment variable. It holds no secret:
only which profile, which file and which overrides.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes, TaskImpl
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer as Granian

from sage_native.config import load_settings
from sage_native.gateway.app import create_admin_app, create_app
from sage_native.gateway.limits import end_unread

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["SOURCE_VARIABLE", "main"]

SOURCE_VARIABLE = "SAGE_NATIVE_SERVE"
"""The layers of the settings, as JSON."""

HEADER_TIMEOUT_MS = 5_000
UNREAD_S = 30
MAX_HEADER_LEN = 16_384
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Serve one listener until SIGTERM or SIGINT."""
    listener = sys.argv[1]
    source: dict[str, Any] = json.loads(os.environ[SOURCE_VARIABLE])
    file = source["file"]
    settings = load_settings(
        source["profile"],
        file=None if file is None else Path(file),
        overrides=source["overrides"],
    )
    forbid_core_dumps()
    is_public = listener == "public"
    where = settings.server if is_public else settings.admin
    workers = settings.server.workers if is_public else 1
    make = create_app if is_public else create_admin_app
    tls = settings.server.tls
    server = Granian(
        "sage_native.gateway",
        address=where.host,
        port=where.port,
        interface=Interfaces.ASGI,
        workers=workers,
        runtime_mode=RuntimeModes.st,
        loop=Loops.auto,
        # Deadlines of bodies cancel tasks; the other kind cannot be cancelled.
        task_impl=TaskImpl.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        backlog=settings.server.backlog,
        backpressure=settings.limits.max_connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=MAX_HEADER_LEN
        ),
        log_level=LogLevels.warning,
        ssl_cert=None if tls is None else tls.certificate,
        ssl_key=None if tls is None else tls.key,
        workers_kill_timeout=settings.server.drain_timeout + 5,
    )
    server.serve(target_loader=lambda *_: _guarded(make(settings)), wrap_loader=False)


def _guarded(app: ASGIApp) -> ASGIApp:
    """End connections whose client does not read its answers, for as long as the worker lives."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        guard = asyncio.get_running_loop().create_task(end_unread(UNREAD_S))
        try:
            await app(scope, receive, send)
        finally:
            guard.cancel()

    return guarded


def forbid_core_dumps() -> None:
    """Keep the memory of this process and its children out of core files.

    The limit is for core files, and the flag for systems that pipe them to a program.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    main()
