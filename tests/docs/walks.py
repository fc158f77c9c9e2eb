"""Documents that are walked through: their blocks run in order, in one shell, beside a gateway.

A block that begins with ```` ```sh gateway ```` is a step. One that begins with
```` ```python gateway talk.py ```` (or any other language) is the file of that name, which is there
from the start. Documents name the default ports; a walk puts free ones in their place.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Walk", "Walked", "walk_of"]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120

_STEP = re.compile(r"^```sh gateway\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```\w+ gateway (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORTS = {
    "8480": "SAGE__SERVER__PORT",
    "8481": "SAGE__ADMIN__PORT",
    "9464": "SAGE__METRICS__PORT",
    "8000": None,
}


class Walked(NamedTuple):
    """How a walk ended: the status of its shell, and all that was printed."""

    status: int
    output: str


class Walk(NamedTuple):
    """What a document lets its reader do."""

    steps: list[str]
    files: dict[str, str]

    def run(self, folder: Path) -> Walked:
        """Do it in an empty folder, which is the home directory too."""
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        for name, content in self.files.items():
            (folder / name).write_text(_with_ports(content, ports), "utf-8")
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(
                map(str, (ROOT / "python", ROOT / "sdk/python/src", folder))
            ),
            **{variable: ports[port] for port, variable in _PORTS.items() if variable},
        }
        with (folder / "output.txt").open("w+") as output:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", _with_ports("".join(self.steps), ports)],  # noqa: S607
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = shell.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                status = -1
            finally:
                # What was left behind, gateways among it, ends with the walk.
                with suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGTERM)
            output.seek(0)
            return Walked(status, output.read())


def walk_of(document: str) -> Walk:
    """Read the walk of a document."""
    text = (ROOT / document).read_text("utf-8")
    return Walk(_STEP.findall(text), dict(_FILE.findall(text)))


def _free_ports(count: int) -> list[str]:
    # All are held until all are known, so that no two are the same.
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(one.getsockname()[1]) for one in sockets]


def _with_ports(text: str, ports: dict[str, str]) -> str:
    return re.sub(r"\b(8480|8481|9464|8000)\b", lambda match: ports[match[0]], text)
