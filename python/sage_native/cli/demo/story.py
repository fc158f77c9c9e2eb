"""How the demonstration looks: sections, one line for each thing that happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from sage_native.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.cli.demo.attacks import Refusal
    from sage_native.cli.demo.initiator import Delivery

__all__ = ["agent", "delivered", "done", "progress", "refused", "remark", "section"]


def section(title: str) -> None:
    """Begin a section."""
    out.print()
    out.print(Text(title, style="bold"))


def agent(name: str, did: str, what: str) -> None:
    """Introduce an agent."""
    _line(Text.assemble(f"{name:<7}", (did, "cyan")))
    _line(Text(f"{'':<7}{what}", style="dim"))


def done(text: str) -> None:
    """Say that something succeeded."""
    _line(Text.assemble(("✓ ", "green"), text))


def remark(text: str) -> None:
    """Say what a reader may want to know beside it."""
    _line(Text(f"  {text}", style="dim"))


def progress() -> Progress:
    """Return the bar over all files; shown on a terminal, silent elsewhere."""
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=out,
        disable=not out.is_terminal,
        expand=True,
    )


def delivered(delivery: Delivery) -> None:
    """Say that a file has arrived, and how both sides know."""
    size, count = delivery.source.size, delivery.record_count
    speed = decimal(round(size / delivery.elapsed_s))
    done(f"{delivery.source.path.name}  {decimal(size)} in {_records(count)}, {speed}/s")
    remark(f"SHA-256 {delivery.sha256}")


def refused(refusals: Sequence[Refusal]) -> None:
    """Lay out the attacks that failed."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    for refusal in refusals:
        grid.add_row(
            Text.assemble(("  ✓ ", "green"), refusal.attack),
            f"refused by {refusal.refused_by}",
            Text(refusal.error, style="magenta"),
        )
    out.print(grid)


def _line(text: Text) -> None:
    out.print(Text("  ") + text, soft_wrap=True)


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"
