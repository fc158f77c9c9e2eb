"""Where text goes: results to standard output, notes and errors to standard error.

Both consoles drop colour when the stream is not a terminal, or when NO_COLOR is set.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.text import Text

__all__ = ["error", "note", "notes", "out", "survive_narrow_encodings"]

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


def survive_narrow_encodings() -> None:
    """Print a question mark where a stream's encoding has no sign such as ``✓``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
