"""Servers under load, each a process of its own with its workers, on the cores that are theirs."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cpu import Cores, cpu_ns, pinned, resident_len, tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[3]
_START_S = 60.0
_STOP_S = 20.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: What it is called in errors.
        port: Where it listens, on this machine.
        process: What was started; its workers are below it.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """Return the process and everything below it."""
        return tree(self.process.pid)

    def cpu_ns(self) -> int:
        """Return the CPU time that all of them have used so far."""
        return cpu_ns(self.pids())

    def resident_len(self) -> int:
        """Return their memory in RAM, in bytes."""
        return resident_len(self.pids())

    def stop(self) -> None:
        """End it, as an operator would."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, 9)
            self.process.wait()


def start(  # noqa: PLR0913  # what differs from server to server
    name: str,
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    ready: str = "/v1/health",
) -> Server:
    """Start a server and wait until it answers 200 to GET ``ready``.

    Args:
        name: What it is called in errors.
        command: To run, in the root of the repository.
        port: Where it will listen.
        log: Where what it says goes.
        environment: Variables on top of this process's.
        ready: What is asked.

    Raises:
        RuntimeError: It ended, or gave no answer in time; with the end of what it said.
    """
    with pinned(Cores.split().servers), log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603  # our own words
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": _path(), **(environment or {})},
            stdout=said,
            stderr=said,
        )
    server = Server(name, port, process)
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and process.poll() is None:
        if _is_ready(port, ready):
            return server
        time.sleep(0.05)
    server.stop()
    raise RuntimeError(f"{name} did not start: {log.read_text(errors='replace')[-2000:]}")


def _path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def _is_ready(port: int, target: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", target)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
