"""``python -m benches.ratios.http``: latencies under a fixed load, and memory of sessions.

Rows 15 and 16 themselves are measured by ``python -m benches.ratios --rows 15,16``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benches.ratios import docs
from benches.ratios.facts import facts

from . import contenders
from .cpu import Cores, pinned
from .latency import Latency, latencies
from .memory import MemoryUse, memory_use
from .report import Report, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LATEST = docs.ROOT / "benches" / "baselines" / "gateway.json"
_MAKERS: tuple[Callable[..., contenders.Contender], ...] = (contenders.ours, contenders.peer)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sage-bench-") as directory:
        report = Report(
            facts(),
            _latencies(Path(directory), options.turns),
            _memory(Path(directory), options.sessions),
        )
    report.write(options.json)
    print("\n".join(tables(report)))
    print(f"recorded in {options.json}")
    if options.write_docs:
        page = docs.PAGE.read_text(encoding="utf-8")
        filled = docs.filled(page, {"gateway": "\n".join(tables(report))})
        docs.PAGE.write_text(filled, encoding="utf-8")


def _latencies(directory: Path, turn_count: int) -> list[Latency]:
    found: list[Latency] = []
    for workers in (1, 2):
        started: list[contenders.Contender] = []
        try:
            for number, make in enumerate(_MAKERS):
                started.append(make(directory / f"{number}-{workers}", workers=workers))
            with pinned(Cores.split().generator):
                found += latencies(started, worker_count=workers, turn_count=turn_count)
        finally:
            for one in started:
                one.server.stop()
    return found


def _memory(directory: Path, session_count: int) -> list[MemoryUse]:
    found: list[MemoryUse] = []
    for number, make in enumerate(_MAKERS):
        one = make(directory / f"memory-{number}")
        try:
            found.append(memory_use(one, session_count))
        finally:
            one.server.stop()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.ratios.http", description=__doc__)
    parser.add_argument("--turns", type=int, default=8, help="seconds of each load")
    parser.add_argument("--sessions", type=int, default=10_000, help="sessions to make")
    parser.add_argument("--json", type=Path, default=LATEST, help="where to record")
    parser.add_argument("--write-docs", action="store_true", help="fill docs/performance.md")
    return parser


if __name__ == "__main__":
    main()
