"""One worker: ``python -m sage_native.gateway.worker public|admin|metrics SOCKET READY``.

`serving` starts it with a socket that listens and a pipe to say on that it is ready, as numbers
of file descriptors, and with the layers of the settings in an environment variable. That holds no
secret: only which profile, which file and which overrides.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from sage_native.config import load_settings
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.app import PublicApp, create_admin_app, create_app
from sage_native.gateway.connections import SWEEP_S, SweptProtocol, sweep
from sage_native.gateway.metrics_app import create_metrics_app
from sage_native.gateway.observing import Observing
from sage_native.gateway.tls import TlsListener, tls_context
from sage_native.observability.context import task_with_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp

    from sage_native.config import Settings
    from sage_native.gateway.watch import Watch

__all__ = ["SOURCE_VARIABLE", "Server", "fitting_connections", "main", "raise_open_files"]

SOURCE_VARIABLE = "SAGE_NATIVE_SERVE"
"""The layers of the settings, as JSON."""

KEEP_ALIVE_S = 75
"""How long a connection may rest between requests: longer than proxies keep theirs."""
RESERVED_FILES = 256
"""Files of a worker beside its connections and those to what is behind: store, siblings and all."""
COLLECT_AFTER = 10_000
"""How many more objects there are before cycles are looked for."""
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_APPS: dict[str, Callable[[Settings], ASGIApp]] = {
    "public": create_app,
    "admin": create_admin_app,
    "metrics": create_metrics_app,
}
_logger = logging.getLogger("sage_native.gateway")


def main() -> None:
    """Serve one listener until SIGTERM or SIGINT."""
    listener, listening_fd, ready_fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    settings = _settings(json.loads(os.environ[SOURCE_VARIABLE]))
    # It warns of every request that is no HTTP: strangers would fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    forbid_core_dumps()
    end_with_parent()
    with Observing(settings, listener) as observing:
        app = _APPS[listener](settings)
        server = Server(
            _configured(app, settings, observing.watch(app)),
            functools.partial(_tell_ready, ready_fd),
        )
        server.run(sockets=[socket.socket(fileno=listening_fd)])


def _configured(app: ASGIApp, settings: Settings, watch: Watch | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=SweptProtocol.for_worker(
            fitting_connections(settings, raise_open_files()),
            trusted_proxies=settings.server.trusted_proxies,
            watch=watch,
            taskless=app.taskless if isinstance(app, PublicApp) else None,
        ),
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
    config.ssl = asyncio.run(tls_context(settings))
    return config


def _settings(source: dict[str, Any]) -> Settings:
    file = source["file"]
    return load_settings(
        source["profile"],
        file=None if file is None else Path(file),
        overrides=source["overrides"],
    )


class Server(uvicorn.Server):
    """A server that sweeps its connections, times the handshakes of TLS, and ends with status 0.

    Args:
        config: It is loaded already.
        on_ready: Called once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._ticking: asyncio.Task[None] | None = None
        self._hurry: Callable[[], object] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections at the sockets."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        self.servers = [
            TlsListener(one, self.config.ssl, self._protocol)  # type: ignore[misc]
            if self.config.ssl is not None
            else await loop.create_server(self._protocol, sock=one, backlog=self.config.backlog)
            for one in sockets or ()
        ]
        self.started = True
        loop.set_task_factory(task_with_scope)  # type: ignore[arg-type]  # of any coroutine
        _spare_the_collector()
        self._on_ready()

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._hurry = functools.partial(loop.call_soon_threadsafe, stopping.set)
        # It goes on after this, as long as there are connections.
        self._ticking = ticking = loop.create_task(self._tick_for_ever(stopping.set))
        ticking.add_done_callback(lambda _: stopping.set())
        try:
            await stopping.wait()
            if ticking.done():  # without it there are no deadlines: then rather another worker
                _logger.error(
                    "a worker cannot tell the time, and ends", exc_info=ticking.exception()
                )
        finally:
            # Signals may come as long as the process lives, and the loop is closed before that.
            self._hurry = None

    async def _tick_for_ever(self, stop: Callable[[], None]) -> None:
        """Look once a second for what the time is, and which connections are over.

        uvicorn looks ten times, which is most of what a worker does that is not asked.
        """
        loop = asyncio.get_running_loop()
        while True:
            if await self.on_tick(0):
                stop()
            sweep(self.server_state.connections, loop.time())
            await asyncio.sleep(SWEEP_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; called for a signal."""
        super().handle_exit(sig, frame)
        if self._hurry is not None:
            self._hurry()

    def _protocol(self) -> SweptProtocol:
        protocol: SweptProtocol = self.config.http_protocol_class(  # type: ignore[assignment,call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, without raising them once more at the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def _tell_ready(ready_fd: int) -> None:
    # Nobody waits for a worker that replaces another.
    with contextlib.suppress(BrokenPipeError):
        os.write(ready_fd, b"1")
    os.close(ready_fd)


def _spare_the_collector() -> None:
    """Have the collector of cycles look at what requests leave behind, and rarely.

    What was imported and opened stays as long as the process, and requests leave next to no cycles:
    looking for them after every 700 objects took 3 % of the CPU time of a handshake.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def raise_open_files() -> int:
    """Let this process open as many files as its hard limit allows.

    Returns:
        How many; a very large number where there is no limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # some systems refuse what they call unlimited
        pass
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def fitting_connections(settings: Settings, open_files: int) -> int:
    """Return how many connections a worker takes, so that files are left for all else it does.

    Otherwise clients that only connect could keep it from reaching its store.

    Args:
        settings: They say how many are wanted.
        open_files: How many files the process may open.

    Raises:
        ConfigurationError: Not one fits.
    """
    wanted = settings.limits.max_connections
    reserved = RESERVED_FILES + settings.behind.max_connections
    fitting = open_files - reserved
    if fitting >= wanted:
        return wanted
    way_out = f"allow it {wanted + reserved:,} (ulimit -n, LimitNOFILE of systemd)"
    if fitting < 1:
        raise ConfigurationError(
            f"a worker may open {open_files:,} files, and needs {reserved:,} beside its "
            f"connections: {way_out}"
        )
    _logger.warning(
        "limits.max_connections is %d, but a worker may open %d files: it takes %d connections; %s",
        wanted,
        open_files,
        fitting,
        way_out,
    )
    return fitting


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
