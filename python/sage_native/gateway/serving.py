"""``sage-native serve``: both listeners, started, watched and stopped together.

The public listener is a process with the workers below it; the admin listener is another, so that a
flood at the one leaves the other alone. Before they start a gateway is opened and closed here: what
is wrong with the settings, the secrets or the store is said once, in one line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.exceptions import ConfigurationError
from sage_native.gateway.gateway import Gateway
from sage_native.gateway.worker import SOURCE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import FrameType

    from sage_native.config import Settings

__all__ = ["Source", "check", "ports_of", "serve"]

START_S = 30.0
GRACE_S = 10.0
_STOPS = (signal.SIGTERM, signal.SIGINT)


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


def ports_of(settings: Settings) -> dict[str, int]:
    """Return free ports for those listeners whose port is 0, by their keys."""
    return {
        f"{section}.port": free_port(part.host)
        for section, part in (("server", settings.server), ("admin", settings.admin))
        if part.port == 0
    }


async def check(settings: Settings) -> None:
    """Open a gateway and close it again; make what a first start needs.

    Raises:
        SageError: What keeps it from serving.
    """
    async with Gateway(settings):
        pass


def serve(
    source: Source, settings: Settings, *, on_ready: Callable[[Mapping[str, str]], None]
) -> int:
    """Serve until SIGTERM or SIGINT, or until a listener ends by itself.

    Args:
        source: Layers, with ports.
        settings: What they make.
        on_ready: Called with the URL of each listener, once both answer.

    Returns:
        0 if all ended as they were told to.

    Raises:
        ConfigurationError: A listener does not start: its port is taken, say.
    """
    urls = {"public": _url(settings, settings.server.host, settings.server.port)}
    if settings.admin.enabled:
        urls["admin"] = _url(settings, settings.admin.host, settings.admin.port)
    for name, part in (("server", settings.server), ("admin", settings.admin)):
        _check_free(name, part.host, part.port)
    told: list[int] = []
    before = {number: signal.signal(number, _teller(told)) for number in _STOPS}
    environment = {**os.environ, SOURCE_VARIABLE: source.to_json()}
    processes = {
        name: subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "sage_native.gateway.worker", name],
            env=environment,
            start_new_session=True,
        )
        for name in urls
    }
    try:
        _wait_until_ready(settings, urls, processes, told)
        if not told:
            on_ready(urls)
        while not told and all(process.poll() is None for process in processes.values()):
            time.sleep(0.1)
        return _stop(settings, processes, was_told=bool(told))
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _teller(told: list[int]) -> Callable[[int, FrameType | None], None]:
    def tell(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    return tell


def _wait_until_ready(
    settings: Settings,
    urls: Mapping[str, str],
    processes: Mapping[str, subprocess.Popen[bytes]],
    told: list[int],
) -> None:
    deadline_s = time.monotonic() + START_S
    waiting = dict(urls)
    while waiting and not told:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ConfigurationError(
                    f"the {name} listener did not start; what it said stands above"
                )
        if time.monotonic() > deadline_s:
            raise ConfigurationError(f"{', '.join(waiting)}: no answer within {START_S:.0f} s")
        waiting = {name: url for name, url in waiting.items() if not _is_up(settings, url)}
        time.sleep(0.05)


def _is_up(settings: Settings, url: str) -> bool:
    if settings.server.tls is not None:
        # Whether the certificate fits the address is not the question here.
        host, _, port = url.rpartition("//")[2].rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), 1):
            return True
        return False
    try:
        with urllib.request.urlopen(f"{url}/v1/health", timeout=2):  # noqa: S310 - ours
            return True
    except OSError:
        return False


def _stop(
    settings: Settings, processes: Mapping[str, subprocess.Popen[bytes]], *, was_told: bool
) -> int:
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline_s = time.monotonic() + settings.server.drain_timeout + GRACE_S
    statuses = []
    for process in processes.values():
        try:
            statuses.append(process.wait(max(0.1, deadline_s - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            statuses.append(1)
    return 0 if was_told and not any(statuses) else 1


def free_port(host: str) -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _check_free(section: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{section}.port {port} on {host} cannot be listened on: {error.strerror}; choose "
            f"another with SAGE__{section.upper()}__PORT"
        ) from error


def _url(settings: Settings, host: str, port: int) -> str:
    scheme = "http" if settings.server.tls is None else "https"
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"
