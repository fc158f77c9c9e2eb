"""One worker process: ``python -m sage_native.gateway.worker public|admin SOCKET READY``.

`serving` starts it with a socket that listens and a pipe to say on that it is ready, as numbers
of file descriptors, and with the layers of the settings in an environment variable. That holds no
secret: only which profile, which file and which overrides.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from sage_native.config import load_settings
from sage_native.gateway.app import create_admin_app, create_app
from sage_native.gateway.connections import SweptProtocol, sweep_for_ever
from sage_native.gateway.log_lines import set_up_logging
from sage_native.gateway.preparing import opened_secrets
from sage_native.gateway.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.config import Settings

__all__ = ["SOURCE_VARIABLE", "main"]

SOURCE_VARIABLE = "SAGE_NATIVE_SERVE"
"""The layers of the settings, as JSON."""

KEEP_ALIVE_S = 75
"""How long a connection may rest between requests: longer than proxies keep theirs."""
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Serve one listener until SIGTERM or SIGINT."""
    listener, listening_fd, ready_fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    settings = _settings(json.loads(os.environ[SOURCE_VARIABLE]))
    set_up_logging(settings.logging)
    # It warns of every request that is no HTTP: strangers would fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    forbid_core_dumps()
    end_with_parent()
    app = create_app(settings) if listener == "public" else create_admin_app(settings)
    config = uvicorn.Config(
        app,
        http=SweptProtocol.for_worker(settings.limits.max_connections),
        ws="none",
        loop="uvloop",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=settings.server.backlog,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.server.drain_timeout,
    )
    config.load()
    config.ssl = asyncio.run(_tls(settings))
    _Server(config, ready_fd).run(sockets=[socket.socket(fileno=listening_fd)])


def _settings(source: dict[str, Any]) -> Settings:
    file = source["file"]
    return load_settings(
        source["profile"],
        file=None if file is None else Path(file),
        overrides=source["overrides"],
    )


class _Server(uvicorn.Server):
    """A server that says when it is ready, sweeps its connections, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, ready_fd: int) -> None:
        super().__init__(config)
        self._ready_fd = ready_fd
        self._sweeping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        connections = self.server_state.connections
        self._sweeping = asyncio.get_running_loop().create_task(sweep_for_ever(connections))
        # Nobody waits for a worker that replaces another.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._ready_fd, b"1")
        os.close(self._ready_fd)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, without raising them once more at the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


async def _tls(settings: Settings) -> ssl.SSLContext | None:
    tls = settings.server.tls
    if tls is None:
        return None
    password = None
    if tls.key_password_secret is not None:
        state = StateDirectory(settings.state_dir)
        async with opened_secrets(settings, state) as provider:
            password = (await provider.get(tls.key_password_secret)).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key, password)
    context.set_alpn_protocols(["http/1.1"])
    return context


def forbid_core_dumps() -> None:
    """Keep the memory of this process and its children out of core files.

    The limit is for core files, and the flag for systems that pipe them to a program.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent() -> None:
    """Be told to stop when the process that started this one ends, however it does.

    Otherwise workers whose supervisor was killed would go on, and keep its port.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    main()
