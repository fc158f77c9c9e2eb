"""Processes that cannot be left behind, and what they report.

A child gets its setup as one line of JSON on standard input and reports in lines of JSON on
standard output. Its standard input stays open as its lifeline: when that ends, because the parent
closed it or died in whatever way, the child exits. It has a process group of its own, so Ctrl-C
reaches the parent alone, which then lets go.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from sage_native.exceptions import SageError

if TYPE_CHECKING:
    import io
    from types import TracebackType
    from typing import Self

__all__ = ["Child", "ChildError", "Report", "report", "setup"]

Report: TypeAlias = dict[str, Any]

REPORT_TIMEOUT_S = 20.0
EXIT_TIMEOUT_S = 3.0


class ChildError(SageError):
    """A child process ended, or did not report in time."""


class Child:
    """A running child. Leaving the context ends it.

    Args:
        name: What to call it in errors.
        module: What it runs, below this package.
        setup: Its setup.
    """

    def __init__(self, name: str, module: str, **setup: str | int) -> None:
        self.name = name
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our module
            [sys.executable, "-P", "-m", f"sage_native.cli.demo.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101 - as above
        self._lifeline = self._process.stdin
        reports = self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(reports,), daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):  # it has ended already; the first report will say so
            self._lifeline.write(json.dumps(setup).encode() + b"\n")
            self._lifeline.flush()

    def expect(self, event: str) -> Report:
        """Wait for the next report, which has to be of this event.

        Raises:
            ChildError: Another one came, or none.
        """
        try:
            found = self._reports.get(timeout=REPORT_TIMEOUT_S)
        except queue.Empty:
            found = {"event": f"nothing for {REPORT_TIMEOUT_S:.0f} s"}
        if found is None:
            raise ChildError(f"{self.name}'s process ended early; its error stands above")
        if found["event"] != event:
            raise ChildError(f"{self.name} reported {found} where {event} was due")
        return found

    def close(self) -> None:
        """Let go of the child, and end it if it stays."""
        with suppress(BrokenPipeError):
            self._lifeline.close()
        try:
            self._process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(EXIT_TIMEOUT_S)

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self._reports.put(json.loads(line))
        self._reports.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def setup() -> Report:
    """Return, in a child, what its parent wants of it, and hold on to the lifeline."""
    # Unbuffered: a buffer's lock, held by a waiting thread, would disturb the interpreter's exit.
    lifeline = os.fdopen(0, "rb", buffering=0, closefd=False)
    line = lifeline.readline()
    if not line:
        sys.exit(0)
    threading.Thread(target=_exit_after, args=(lifeline,), daemon=True).start()
    parsed: Report = json.loads(line)
    return parsed


def report(event: str, **details: str | int) -> None:
    """Report, in a child, to its parent."""
    line = json.dumps({"event": event, **details})
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os._exit(0)


def _exit_after(lifeline: io.RawIOBase) -> None:
    lifeline.read(1)
    os._exit(0)
