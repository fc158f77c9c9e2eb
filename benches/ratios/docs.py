"""Writes what was measured into docs/performance.md, between markers, and draws its chart.

No figure in that document is typed by hand: text between ``<!-- name:begin -->`` and
``<!-- name:end -->`` is made here from the JSON file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .report import duration, figure, line, with_added

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .results import Result, Run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
FRONT = ROOT / "README.md"
LATEST = ROOT / "benches" / "baselines" / "latest.json"
CHART = ROOT / "docs" / "images" / "ratios"
MEMORY_CHART = ROOT / "docs" / "images" / "replay-memory"
"""Without their suffixes: .svg and .png."""

_VERDICTS = {"goal": "goal", "must": "must", "MISSED": "**missed**", "next": "next", "beside": ""}


def sections(run: Run) -> dict[str, str]:
    """Return what belongs between the markers, by name."""
    return {
        "machine": "\n".join(_machine(run)),
        "ratios": "\n".join(_ratios(run)),
        "costs": "\n".join(_costs(run)),
        "memory": "\n".join(_memory(run)),
    }


def filled(page: str, parts: dict[str, str]) -> str:
    """Return the page with every named part between its markers.

    Raises:
        ValueError: A part has no markers, or more than one pair.
    """
    for name, text in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        block = f"{begin}\n{text}\n{end}"
        page, count = pattern.subn(lambda _, block=block: block, page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"{begin} … {end} must stand in the page once, not {count} times")
    return page


def write(run: Run) -> None:
    """Update the page and its chart."""
    # matplotlib takes a second to import.
    from .chart import draw  # noqa: PLC0415
    from .memory_chart import draw as draw_memory  # noqa: PLC0415

    for page, parts in ((PAGE, sections(run)), (FRONT, {"ratios": "\n".join(front(run))})):
        page.write_text(filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    draw(run, CHART)
    draw_memory(run, MEMORY_CHART)


def front(run: Run) -> Iterator[str]:
    """Return the short table of the README: the rows that are due, without their lines."""
    yield "| operation | beside | ratio | ours |"
    yield "|---|---|--:|--:|"
    for result in run.results:
        if result.standing == "due" and result.unit == "x":
            ratio, ours = figure(result.figure, result.unit), duration(result.ours_ns)
            yield f"| {result.operation} | {result.peer} | **{ratio}** | {ours} |"
    machine = run.facts["machine"]
    yield ""
    yield f"Processor: {machine['cpu']}, with {' '.join(machine['flags'])}; {machine['openssl']}."


def _machine(run: Run) -> Iterator[str]:
    machine, packages = run.facts["machine"], run.facts["machine"]["packages"]
    flags = " ".join(machine["flags"]) or "none of those that matter"
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield f"* Processor: {machine['cpu']}, class *{machine['class']}* ({flags})"
    yield f"* Clock governor: {machine['governor']}"
    yield f"* Software: {machine['python']}, {machine['openssl']}, {versions}"
    if "import_ms" in run.facts:
        yield f"* `import sage_native`, over a bare interpreter: {run.facts['import_ms']} ms"
    yield f"* Taken: {run.facts['taken_at']} at commit `{run.facts['commit']}`"
    for again in run.facts.get("again", ()):
        rows = ", ".join(map(str, again["rows"]))
        yield f"* Rows measured again: {rows}, {again['taken_at']} at commit `{again['commit']}`"


def _ratios(run: Run) -> Iterator[str]:
    yield "| # | operation | peer | figure | spread | ours | peer's | must | goal | reached |"
    yield "|--:|---|---|--:|:-:|--:|--:|--:|--:|---|"
    for result in run.results:
        yield f"| {' | '.join(_cells(result))} |"


def _cells(result: Result) -> tuple[str, ...]:
    unit = result.unit
    text = figure(result.figure, unit)
    is_main = result.standing != "beside"
    return (
        str(result.row),
        result.operation,
        result.peer,
        (f"**{text}**" if is_main else text) + (" (noisy)" if result.is_noisy else ""),
        f"{figure(result.low, unit)} – {figure(result.high, unit)}",
        duration(result.ours_ns),
        duration(result.peer_ns),
        line(result.must, unit),
        line(result.goal, unit),
        _VERDICTS[result.verdict],
    )


def _costs(run: Run) -> Iterator[str]:
    yield "| operation | step | adds | makes |"
    yield "|---|---|--:|--:|"
    shown = ""
    for cost, added_ns in with_added(run.costs):
        group = cost.group if cost.group != shown else ""
        shown = cost.group
        yield f"| {group} | {cost.name} | {duration(added_ns)} | {duration(cost.total_ns)} |"


def _memory(run: Run) -> Iterator[str]:
    yield "| what | how many | bytes each | must | goal | reached |"
    yield "|---|--:|--:|--:|--:|---|"
    for one in run.footprints:
        lines = (f"≤ {line:,}" if line else "–" for line in (one.must, one.goal))
        cells = (one.operation, f"{one.count:,}", f"**{one.each_len:,.1f}**", *lines)
        yield f"| {' | '.join(cells)} | {_VERDICTS[one.verdict]} |"
