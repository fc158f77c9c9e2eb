"""``sage-native serve``: both listeners, started, watched and stopped together.

::

    supervisor ──┬─ public worker 1 ─┐
                 ├─ public worker 2 ─┴─ one listening socket
                 ├─ admin worker ────── another
                 └─ metrics worker ──── a third

The supervisor makes the sockets, so that a worker that ends takes no waiting connection with it:
another accepts it, and a new worker is started. The admin listener is a process of its own: a flood
at the public one leaves it alone. So is that of metrics, which is asked without a token: it
holds no key, and adds up what the others write into files. Before all that a gateway is opened and
closed here, so that what is wrong with the settings, the secrets or the store is said once, in one
line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sage_native.config import is_feature_enabled
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.connections import UNREAD_S
from sage_native.gateway.gateway import Gateway
from sage_native.gateway.metric_files import MetricFiles
from sage_native.gateway.metrics_app import METRICS_PATH
from sage_native.gateway.observing import open_logs
from sage_native.gateway.signals import Signals
from sage_native.gateway.state import StateDirectory
from sage_native.gateway.worker import SOURCE_VARIABLE, forbid_core_dumps
from sage_native.observability import metrics, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sage_native.config import Settings

__all__ = ["Source", "check", "serve"]

START_S = 30.0
GRACE_S = 10.0
RESTART_S = 1.0
_logger = logging.getLogger("sage_native.gateway")


@dataclass(frozen=True)
class Source:
    """The layers that the settings came from, for the processes that read them again.

    Attributes:
        profile: Its name; SAGE_ENV if it is None.
        file: The file upon the profile.
        overrides: What lies upon all, by dotted keys.
    """

    profile: str | None
    file: Path | None
    overrides: Mapping[str, object]

    def to_json(self) -> str:
        """Spell the layers for an environment variable."""
        file = None if self.file is None else str(self.file.resolve())
        return json.dumps(
            {"profile": self.profile, "file": file, "overrides": dict(self.overrides)}
        )


async def check(settings: Settings) -> None:
    """Open a gateway and close it again; make what a first start needs.

    Raises:
        SageError: What keeps it from serving.
    """
    forbid_core_dumps()
    if is_feature_enabled(settings, "tracing"):
        tracing.check_packages()
    if is_feature_enabled(settings, "metrics"):
        metrics.check_packages()
    async with Gateway(settings):
        pass


def serve(
    source: Source, settings: Settings, *, on_ready: Callable[[Mapping[str, str]], None]
) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        source: The layers.
        settings: What they make.
        on_ready: Called with the URL of each listener, once every worker is ready.

    Returns:
        0 if all workers ended as they were told to.

    Raises:
        ConfigurationError: A port cannot be listened on, or a worker does not start.
    """
    log_output = open_logs(settings)
    with contextlib.closing(log_output), Signals() as signals:
        supervisor = _Supervisor(source, settings, signals)
        try:
            supervisor.start()
            if not signals.is_told:
                on_ready(supervisor.urls)
            while not signals.is_told:
                # A signal that comes from here on is there when it is waited for.
                if not supervisor.restart_ended() and not signals.is_told:
                    signals.wait()
            return supervisor.stop()
        finally:
            supervisor.kill()


class _Worker(NamedTuple):
    listener: str
    process: subprocess.Popen[bytes]
    ready_fd: int


class _Supervisor:
    """Starts workers, replaces those that end by themselves, and stops all."""

    def __init__(self, source: Source, settings: Settings, signals: Signals) -> None:
        self._settings = settings
        self._signals = signals
        self._environment = {**os.environ, SOURCE_VARIABLE: source.to_json()}
        server, admin = settings.server, settings.admin
        self._sockets = {"public": _listening("server", server.host, server.port, settings)}
        self._plan = ["public"] * server.workers
        if admin.enabled:
            self._sockets["admin"] = _listening("admin", admin.host, admin.port, settings)
            self._plan.append("admin")
        self._files: MetricFiles | None = None
        if is_feature_enabled(settings, "metrics"):
            host = settings.metrics.host or admin.host
            self._sockets["metrics"] = _listening("metrics", host, settings.metrics.port, settings)
            self._plan.append("metrics")
            self._files = MetricFiles(StateDirectory(settings.state_dir))
        self._workers: list[_Worker] = []
        self.urls = {name: _url(settings, one) for name, one in self._sockets.items()}
        if self._files is not None:
            self.urls["metrics"] += METRICS_PATH

    def start(self) -> None:
        """Start every worker and wait until each is ready, or this process is told to stop."""
        self._workers = [self._started(at, listener) for at, listener in enumerate(self._plan)]
        deadline_s = time.monotonic() + START_S
        for at in range(len(self._workers)):
            while not self._is_ready(self._workers[at], deadline_s):
                if not self._replace(at):
                    return

    def restart_ended(self) -> bool:
        """Replace workers that have ended by themselves; return whether there was one."""
        replaced_count = 0
        for at, worker in enumerate(self._workers):
            if worker.process.poll() is not None and self._replace(at):
                os.close(self._workers[at].ready_fd)
                replaced_count += 1
        return replaced_count > 0

    def stop(self) -> int:
        """Tell all to end, and wait until they have; return 0 if all did well."""
        # Once the workers have closed theirs too, a new client is refused instead of kept waiting.
        for one in self._sockets.values():
            one.close()
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._settings.server.drain_timeout + GRACE_S
        statuses = []
        for worker in self._workers:
            try:
                statuses.append(worker.process.wait(max(0.1, deadline_s - time.monotonic())))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                statuses.append(1)
        # One that had not begun to serve has nothing to end well.
        return 1 if set(statuses) - {0, -signal.SIGTERM} else 0

    def kill(self) -> None:
        """End what is left."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        for one in self._sockets.values():
            one.close()
        if self._files is not None:
            self._files.close()

    def _started(self, at: int, listener: str) -> _Worker:
        listening_fd = self._sockets[listener].fileno()
        ready_fd, their_fd = os.pipe()
        module = "sage_native.gateway.worker"
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", module, listener, str(listening_fd), str(their_fd)],
            env=self._environment_of(_place(at, listener)),
            pass_fds=(listening_fd, their_fd),
            # Ctrl-C reaches this process alone, which tells the others.
            start_new_session=True,
        )
        os.close(their_fd)
        return _Worker(listener, process, ready_fd)

    def _environment_of(self, place: str) -> dict[str, str]:
        files = {} if self._files is None else self._files.environment(place)
        return {**self._environment, **files}

    def _replace(self, at: int) -> bool:
        """Start another worker in place of one that has ended; not if this process shall stop."""
        if self._signals.is_told:
            return False
        listener, process, _ = self._workers[at]
        _logger.error(
            "a worker of the %s listener ended with status %d; another is started",
            listener,
            process.returncode,
        )
        if self._files is not None:
            self._files.ended(_place(at, listener))
        if self._signals.pause(RESTART_S):
            return False
        self._workers[at] = self._started(at, listener)
        return True

    def _is_ready(self, worker: _Worker, deadline_s: float) -> bool:
        """Wait until a worker is ready; return False if it was killed, or this process shall stop.

        Raises:
            ConfigurationError: It ended by itself, or is not ready in time.
        """
        with open(worker.ready_fd, "rb", buffering=0) as ready:  # noqa: PTH123 - it has no path
            readable: int | None = worker.ready_fd
            while not self._signals.is_told:
                status = worker.process.poll()
                if status is not None and readable is None:
                    if status < 0:
                        return False
                    raise ConfigurationError(
                        f"the {worker.listener} listener did not start; what it said stands above"
                    )
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise ConfigurationError(
                        f"the {worker.listener} listener was not ready within {START_S:.0f} s"
                    )
                if self._signals.wait(left_s, readable=readable):
                    if ready.read(1):
                        return True
                    readable = None  # it has ended, or is about to
        return False


def _place(at: int, listener: str) -> str:
    return f"{listener}{at}"


def _listening(section: str, host: str, port: int, settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        one = socket.create_server((host, port), family=family, backlog=settings.server.backlog)
    except OSError as error:
        raise ConfigurationError(
            f"{section}.port {port} on {host} cannot be listened on: {error.strerror}; choose "
            f"another with SAGE__{section.upper()}__PORT"
        ) from error
    if sys.platform == "linux":
        # Inherited by every connection: one whose client takes nothing for so long is ended.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
    return one


def _url(settings: Settings, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    scheme = "http" if settings.server.tls is None else "https"
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"
