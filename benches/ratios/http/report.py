"""What ``python -m benches.ratios.http`` found, as JSON and as tables."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .latency import Latency
from .memory import MemoryUse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Report:
    """Everything that one run measured, and on what."""

    facts: dict[str, Any]
    latencies: list[Latency]
    memory: list[MemoryUse]

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        document = {
            **self.facts,
            "latencies": [asdict(one) for one in self.latencies],
            "memory": [asdict(one) for one in self.memory],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Invert `write`."""
        facts = json.loads(path.read_bytes())
        latencies, memory = facts.pop("latencies"), facts.pop("memory")
        return cls(
            facts, [Latency(**one) for one in latencies], [MemoryUse(**one) for one in memory]
        )


def tables(report: Report) -> Iterator[str]:
    """Return both tables, for docs/performance.md."""
    yield "| server | operation | workers | load | p50 | p95 | p99 |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for one in report.latencies:
        times = (f"{ms:.2f} ms" for ms in (one.p50_ms, one.p95_ms, one.p99_ms))
        load = f"{one.rate_per_s:,}/s"
        cells = (one.server, one.operation, str(one.worker_count), load, *times)
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| server | sessions | bytes each |"
    yield "|---|--:|--:|"
    for use in report.memory:
        yield f"| {use.server} | {use.session_count:,} | {use.each_len:,.0f} |"
