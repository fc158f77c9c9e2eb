"""How far a long command is: on a terminal only, on standard error."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sage_native.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["rows_done"]


@contextmanager
def rows_done(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar.

    Args:
        what: What is being done.

    Yields:
        Call it with the rows done, and all rows as far as that is known.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console.notes,
        disable=not console.notes.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
