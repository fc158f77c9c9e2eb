"""Child processes that do not outlive this one, and what tests do to them.

Three things end a server: its ``stop``, the end of the interpreter, and on Linux the kernel, which
kills it when the thread that started it is gone. So start servers in the main thread.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_TIMEOUT_S = 60.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def free_ports(count: int = 1) -> list[int]:
    """Return loopback ports that nobody listens on; all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607 - wherever the system keeps it
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    parents = {
        int(child): int(parent) for child, parent in zip(listed[::2], listed[1::2], strict=True)
    }
    found = [pid]
    for one in found:  # grows as it goes
        found += [child for child, parent in parents.items() if parent == one]
    return found


class Child:
    """One server process, with a directory of its own that lives as long as this object is open.

    Args:
        name: What it is called in errors, and in the directory's name.
        user: The uid to run as; this process's own if left out.
    """

    def __init__(self, name: str, *, user: int | None = None) -> None:
        self.name = name
        self.user = user
        self.directory = Path(tempfile.mkdtemp(prefix=f"sage-{name}-", dir="/tmp"))
        # Short, since a socket lies in it; and below folders that every user may pass.
        if user is not None:
            os.chown(self.directory, user, user)
        self.log_path = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []
        atexit.register(self.close)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def spawn(self, command: Sequence[str | Path], *, is_ready: Callable[[], bool]) -> None:
        """Start it and wait until ``is_ready``; a server that ends instead is an error."""
        assert not self.is_running(), f"{self.name} runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                # One system call, which takes no lock that another thread could hold.
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready():
            if not self.is_running() or time.monotonic() > deadline:
                self.kill_9()
                raise RuntimeError(f"{self.name} did not start:\n{self.log()}")
            time.sleep(0.02)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self, *, with_signal: int = signal.SIGTERM) -> None:
        """Ask it to end, and wait until it has; after 20 s it is killed."""
        if self.is_running():
            self.thaw()
            os.kill(self.pid, with_signal)
            try:
                self._wait(20)
            except subprocess.TimeoutExpired:
                self.kill_9()
        self._process = None

    def kill_9(self) -> None:
        """Kill it with all its descendants, and wait until they are gone."""
        if self._process is not None:
            # Parents first: a postmaster that sees a child die starts to recover.
            everybody = family(self.pid) if self.is_running() else []
            for pid in everybody:
                _signal(pid, signal.SIGKILL)
            self._wait(20)
            deadline = time.monotonic() + 20
            while any(_is_alive(pid) for pid in everybody) and time.monotonic() < deadline:
                time.sleep(0.005)
        self._frozen = []
        self._process = None

    def freeze(self) -> None:
        """Stop it and its descendants where they stand; the kernel still takes connections."""
        self._frozen = family(self.pid)
        for pid in self._frozen:
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._frozen:
            _signal(pid, signal.SIGCONT)
        self._frozen = []

    def close(self) -> None:
        """Kill it and delete its directory."""
        self.kill_9()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)

    def _wait(self, timeout_s: float) -> None:
        assert self._process is not None
        self._process.wait(timeout_s)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    """Return whether it still runs; one that waits to be buried by somebody else does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
