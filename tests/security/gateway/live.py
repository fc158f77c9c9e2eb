"""A gateway as operators run it: ``sage-native serve``, in processes of its own, over sockets."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.command_line import PROGRAM
from tests.gateways import Agent
from tests.servers.processes import Child, family, free_ports

if TYPE_CHECKING:
    from typing import Self

    from sage_native import SigningKey

__all__ = ["LEDGER", "Live", "raw"]

TIMEOUT_S = 30.0
LEDGER = """
import asyncio, os

async def answer(peer, message):
    # One write of a few bytes at the end of a file, whole or not at all.
    with open(os.environ["LEDGER"], "ab", 0) as file:
        file.write(message + b"\\n")
    await asyncio.sleep(0.2)
    return b"answer to " + message
"""
"""What is behind the gateway: it notes what arrives, and answers later."""


class Live:
    """A gateway with two workers, on loopback.

    Args:
        settings: Beside the usual ones, by dotted keys.
    """

    def __init__(self, **settings: object) -> None:
        self._child = Child("gateway")
        self.port, self.admin_port, self.metrics_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.ledger = self._child.directory / "ledger"
        (self._child.directory / "ledger_behind.py").write_text(LEDGER)
        ours = {
            "state_dir": self.state_dir,
            "features.rate_limiting": "false",
            "replay.capacity": 10_000,
            "replay.windows": 4096,
            "server.drain_timeout": "20s",
            "metrics.enabled": "false",
            "metrics.port": self.metrics_port,
            **settings,
        }
        self.metrics_port = int(str(ours["metrics.port"]))
        self.metrics_url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        flags = (ours["metrics.enabled"], ours.get("features.metrics", "true"))
        self._has_metrics = flags == ("true", "true")
        path = os.pathsep.join(
            filter(None, (str(self._child.directory), os.environ.get("PYTHONPATH")))
        )
        self._command: list[str | Path] = [
            *("env", f"PYTHONPATH={path}", f"LEDGER={self.ledger}", PROGRAM),
            *("serve", "--profile", "dev", "--workers", "2", "--port", str(self.port)),
            *("--admin-port", str(self.admin_port)),
            *("--application", "ledger_behind:answer"),
        ]
        for name, value in ours.items():
            self.set(name, value)

    def set(self, name: str, value: object) -> None:
        """Set something more, before it starts."""
        self._command += ["--set", f"{name}={value}"]

    @property
    def state_dir(self) -> Path:
        return self._child.directory / "state"

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self) -> Self:
        self._child.spawn(self._command, is_ready=self.is_ready)
        return self

    def is_ready(self) -> bool:
        urls = [f"{url}/v1/ready" for url in (self.url, self.admin_url)]
        if self._has_metrics:
            urls.append(self.metrics_url)
        return all(_status(url) == 200 for url in urls)

    def is_running(self) -> bool:
        return self._child.is_running()

    def stop(self) -> None:
        self._child.stop()

    def kill_9(self) -> None:
        self._child.kill_9()

    def kill_supervisor(self) -> None:
        """Kill the first process alone, and wait until the others have followed it."""
        workers = self.workers()
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        deadline_s = time.monotonic() + TIMEOUT_S
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline_s, "a worker goes on without its supervisor"
            time.sleep(0.02)

    def close(self) -> None:
        self._child.close()

    def log(self) -> str:
        return self._child.log()

    def wait(self) -> int:
        """Wait until it has ended, and return its status."""
        process = self._child._process
        assert process is not None
        return process.wait(TIMEOUT_S)

    def workers(self) -> list[int]:
        """Return the processes below the supervisor."""
        return family(self.pid)[1:]

    def delivered(self) -> list[bytes]:
        return self.ledger.read_bytes().split() if self.ledger.exists() else []

    def token(self) -> str:
        return (self.state_dir / "secrets" / "operator-token").read_text().strip()

    def client(self, *, keeps: bool = True) -> httpx2.AsyncClient:
        """Return a client; one that does not keep connections meets every worker."""
        limits = httpx2.Limits(max_keepalive_connections=None if keeps else 0)
        return httpx2.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, limits=limits)

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return what is served to Prometheus: by name and labels."""
        with urllib.request.urlopen(self.metrics_url) as answer:  # noqa: S310 - ours
            text = answer.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def registered(self, http: httpx2.AsyncClient, key: SigningKey | None = None) -> Agent:
        agent = Agent(http, key)
        await self.admin("POST", "/v1/dids", json_of(agent))
        return agent

    async def admin(self, method: str, path: str, body: object = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token()}"}
        async with httpx2.AsyncClient(base_url=self.admin_url, timeout=TIMEOUT_S) as http:
            return await http.request(method, path, json=body, headers=headers)


def json_of(agent: Agent) -> dict[str, object]:
    key = base64.urlsafe_b64encode(agent.key.verifying_key_bytes).rstrip(b"=").decode()
    return {"did": agent.did, "keys": [key]}


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - ours
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, ValueError):
        return 0


def raw(port: int, data: bytes, *, timeout_s: float = 10.0) -> bytes:
    """Send bytes to a port on loopback, say that nothing follows, and return what comes back."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as one:
        with contextlib.suppress(OSError):
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while chunk := one.recv(65_536):
                answer += chunk
    return answer
