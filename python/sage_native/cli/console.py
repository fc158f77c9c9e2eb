"""Where text goes: results to standard output, notes and errors to standard error.

Both consoles drop colour when the stream is not a terminal, or when NO_COLOR is set.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.text import Text

__all__ = ["error", "line", "note", "notes", "out", "plain", "survive_narrow_encodings"]

NAME_WIDTH = 10

out = Console(highlight=False)
"""Standard output, for what a command was asked for."""
notes = Console(stderr=True, highlight=False)
"""Standard error, for everything else."""


def error(message: str) -> None:
    """Print one error message, unwrapped so that it can be searched for."""
    notes.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def note(message: str) -> None:
    """Print one remark that is no result."""
    notes.print(Text(message), soft_wrap=True)


def line(name: str, value: str) -> None:
    """Print one fact that was asked for, behind its name."""
    out.print(Text(f"{name:<{NAME_WIDTH}} {value}"), soft_wrap=True)


def plain(text: str) -> str:
    """Return a text out of a store with an escape for each sign that a terminal might obey."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def survive_narrow_encodings() -> None:
    """Print a question mark where a stream's encoding has no sign such as ``✓``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
