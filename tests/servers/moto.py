"""A real server of AWS Secrets Manager's API: moto, as a process of its own, on loopback.

::

    with MotoServer() as server:
        AwsProvider(endpoint_url=server.url, region="eu-central-1")

It takes any credentials and checks no policies.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.processes import Child, free_ports

if TYPE_CHECKING:
    from typing import Self


class MotoServer:
    """One server. What it stores is in memory.

    Attributes:
        url: For ``aws_endpoint_url``.
    """

    def __init__(self) -> None:
        self.port = free_ports()[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._child = Child("moto")

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        program = Path(sys.executable).with_name("moto_server")
        command: list[str | Path] = [sys.executable, program, "-H", "127.0.0.1"]
        self._child.spawn([*command, "-p", str(self.port)], is_ready=self._answers)
        return self

    def stop(self) -> None:
        self._child.stop()

    def freeze(self) -> None:
        """Stop it where it stands: connections are taken, nothing is answered."""
        self._child.freeze()

    def thaw(self) -> None:
        self._child.thaw()

    def forget(self) -> None:
        """Delete all secrets."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - the URL above

    def close(self) -> None:
        """Kill it and delete its files."""
        self._child.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, OSError):
            return False
        return True
