"""The table for the terminal, and the lines behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .memory import Footprint
    from .results import Cost, Result, Run

_HEADS = (
    "row",
    "operation",
    "peer",
    "figure",
    "10 % – 90 %",
    "ours",
    "peer's",
    "must",
    "goal",
    "verdict",
)
_LEFT = {1, 2, 9}


def lines(run: Run) -> Iterator[str]:
    """Give the whole report, line by line."""
    yield from _table([_HEADS, *(_cells(result) for result in run.results)])
    yield ""
    yield from _breakdown(run.costs)
    for one in run.footprints:
        yield f"{ROW} {one.operation}: {one.each_len:.1f} B{_lines_of(one)}"
    yield ""
    yield _machine(run)
    if "import_ms" in run.facts:
        yield f"import sage_native, over a bare interpreter: {run.facts['import_ms']} ms"
    dropped = sum(result.dropped_slice_count for result in run.results)
    yield f"slices dropped as unsteady: {dropped}"
    noisy = [result for result in run.results if result.is_noisy]
    if noisy:
        yield f"noisy, too few steady slices (marked ~): {_names(noisy)}"
    missed = [_name(result) for result in run.results if result.verdict == "MISSED"]
    missed += [f"{ROW} {one.operation}" for one in run.footprints if one.verdict == "MISSED"]
    yield (
        f"MISSED their must: {'; '.join(missed)}"
        if missed
        else "every row that is due holds its must"
    )


def _lines_of(one: Footprint) -> str:
    return "" if one.must is None else f" (must {one.must}, goal {one.goal}): {one.verdict}"


def _cells(result: Result) -> tuple[str, ...]:
    unit = result.unit
    return (
        str(result.row),
        result.operation,
        result.peer,
        ("~" if result.is_noisy else "") + figure(result.figure, unit),
        f"{figure(result.low, unit)} – {figure(result.high, unit)}",
        duration(result.ours_ns),
        duration(result.peer_ns),
        line(result.must, unit),
        line(result.goal, unit),
        result.verdict,
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (
            cell.ljust(width) if column in _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
        if number == 0:
            yield "  ".join("-" * width for width in widths)


def _breakdown(costs: Sequence[Cost]) -> Iterator[str]:
    for cost, added_ns in with_added(costs):
        yield f"{cost.group}: +{duration(added_ns)} {cost.name} = {duration(cost.total_ns)}"


def with_added(costs: Sequence[Cost]) -> Iterator[tuple[Cost, float]]:
    """Pair every step with what it adds to the one before it in its group."""
    before: Cost | None = None
    for cost in costs:
        is_first = before is None or before.group != cost.group
        yield cost, cost.total_ns - (0 if is_first or before is None else before.total_ns)
        before = cost


def _machine(run: Run) -> str:
    machine = run.facts["machine"]
    processor = f"{machine['cpu']} ({machine['class']}: {' '.join(machine['flags'])})"
    return f"{processor}, {machine['openssl']}, commit {run.facts['commit']}"


def _names(results: Sequence[Result]) -> str:
    return "; ".join(map(_name, results))


def _name(result: Result) -> str:
    return f"{result.row} {result.operation} ({result.peer})"


def figure(value: float, unit: str) -> str:
    """Return a ratio or a difference as text."""
    return f"{value:.2f}x" if unit == "x" else f"{value:+.0f} ns"


def line(value: float | None, unit: str) -> str:
    """Return a must or a goal as text, a dash if there is none."""
    if value is None:
        return "–"
    return f"{value:g}x" if unit == "x" else f"≤ {value:g} ns"


def duration(value_ns: float) -> str:
    """Return a time as text, three digits of it."""
    if abs(value_ns) < 1_000:
        return f"{value_ns:.0f} ns"
    return f"{value_ns / 1_000:.3g} µs" if abs(value_ns) < 999_500 else f"{value_ns / 1e6:.3g} ms"
