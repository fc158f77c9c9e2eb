"""What a run leaves behind, and its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .memory import Footprint

if TYPE_CHECKING:
    from pathlib import Path

    from .sides import Standing, Unit

    Verdict: TypeAlias = Literal["goal", "must", "MISSED", "next", "beside"]


@dataclass(frozen=True)
class Result:
    """One line of the table. `figure` is the ratio, or the difference if the unit is ns."""

    row: int
    operation: str
    peer: str
    unit: Unit
    figure: float
    low: float
    high: float
    ours_ns: float
    peer_ns: float
    must: float | None
    goal: float | None
    standing: Standing
    pair_count: int
    dropped_slice_count: int
    is_noisy: bool

    @property
    def verdict(self) -> Verdict:
        """What the row has reached, if it is due; its standing otherwise."""
        if self.standing != "due":
            return self.standing
        if self._reaches(self.goal):
            return "goal"
        return "must" if self._reaches(self.must) else "MISSED"

    def _reaches(self, line: float | None) -> bool:
        if line is None:
            return False
        return self.figure >= line if self.unit == "x" else self.figure <= line

    def to_json(self) -> dict[str, object]:
        """Return the JSON object; a row in ns has no ratio but a `difference_ns`."""
        values = {name: _rounded(value) for name, value in asdict(self).items()}
        figure = values.pop("figure")
        ratio, difference = (figure, None) if self.unit == "x" else (None, figure)
        return {
            "row": values.pop("row"),
            "operation": values.pop("operation"),
            "peer": values.pop("peer"),
            "ratio": ratio,
            "difference_ns": difference,
            **values,
            "verdict": self.verdict,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Result:
        """Invert `to_json`."""
        known = dict(values)
        ratio, difference = known.pop("ratio"), known.pop("difference_ns")
        del known["verdict"]
        return cls(figure=difference if ratio is None else ratio, **known)


@dataclass(frozen=True)
class Cost:
    """One step of the breakdown: what a call up to here takes in all."""

    name: str
    group: str
    total_ns: float


@dataclass(frozen=True)
class Run:
    """Everything that one run measured, and on what."""

    facts: dict[str, Any]
    results: list[Result]
    costs: list[Cost]
    footprints: list[Footprint] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        document = {
            **self.facts,
            "costs": [{**asdict(cost), "total_ns": _rounded(cost.total_ns)} for cost in self.costs],
            "rows": [result.to_json() for result in self.results],
            "memory": [{**asdict(one), "verdict": one.verdict} for one in self.footprints],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def with_again(self, part: Run) -> Run:
        """Return this run with the rows of a later one in their places, which its facts tell.

        Raises:
            ValueError: A row of the later run has no place in this one.
        """
        places = {_place(result): at for at, result in enumerate(self.results)}
        results = list(self.results)
        for result in part.results:
            if _place(result) not in places:
                raise ValueError(f"this run has no row {_place(result)}: measure the whole table")
            results[places[_place(result)]] = result
        again = {
            "rows": sorted({result.row for result in part.results}),
            "commit": part.facts["commit"],
            "taken_at": part.facts["taken_at"],
        }
        facts = {**self.facts, "again": [*self.facts.get("again", []), again]}
        return replace(self, facts=facts, results=results)

    @classmethod
    def read(cls, path: Path) -> Run:
        """Invert `write`."""
        facts = json.loads(path.read_bytes())
        costs, rows, memory = facts.pop("costs"), facts.pop("rows"), facts.pop("memory")
        for one in memory:
            del one["verdict"]
        return cls(
            facts,
            [Result.from_json(row) for row in rows],
            [Cost(**cost) for cost in costs],
            [Footprint(**one) for one in memory],
        )


def _place(result: Result) -> tuple[int, str, str]:
    return result.row, result.operation, result.peer


def _rounded(value: object) -> object:
    """Round to four significant digits: more would be noise, and noise in every diff."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
