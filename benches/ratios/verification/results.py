"""What a run leaves behind, and its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from .ways import WayName

    Against: TypeAlias = Literal["batch", "keys"]


@dataclass(frozen=True)
class Point:
    """The cost of a signature on one way.

    Attributes:
        way: Which way.
        against: What is varied: the length of the batch, or the number of keys.
        count: How many that are.
        each_ns: The median for each signature.
        low_ns: The 10th percentile.
        high_ns: The 90th percentile.
        is_noisy: Too few rounds were steady.
        tables: How many keys had a table in the cache at the end, if there is one.
    """

    way: WayName
    against: Against
    count: int
    each_ns: float
    low_ns: float
    high_ns: float
    is_noisy: bool
    tables: int | None = None


@dataclass(frozen=True)
class WrongBatch:
    """A batch with wrong signatures beside the same batch without.

    Attributes:
        way: Which way.
        batch_len: Signatures in the batch.
        wrong_count: How many of them are wrong.
        good_ns: The whole good batch.
        wrong_ns: The other, until every verdict is there.
        ratio: Its time over that of the good one, the median of the pairs.
        low: The 10th percentile.
        high: The 90th percentile.
        is_noisy: Too few rounds were steady.
    """

    way: WayName
    batch_len: int
    wrong_count: int
    good_ns: float
    wrong_ns: float
    ratio: float
    low: float
    high: float
    is_noisy: bool


@dataclass(frozen=True)
class KeyTable:
    """What the table of a hot key takes.

    Attributes:
        key_len: Bytes that a registered key takes in the cache.
        table_len: Bytes that its table takes beside.
        budget_len: Bytes that a cache may take if nothing else is said.
        build_ns: The time to build a table.
        cold_ns: A verification without a table.
        hot_ns: A verification with it.
    """

    key_len: int
    table_len: int
    budget_len: int
    build_ns: float
    cold_ns: float
    hot_ns: float

    @property
    def pays_after(self) -> float:
        """After how many verifications the table has paid for itself."""
        return self.build_ns / (self.cold_ns - self.hot_ns)


@dataclass(frozen=True)
class Report:
    """Everything that one run measured, and on what."""

    facts: dict[str, Any]
    table: KeyTable
    points: list[Point]
    wrong: list[WrongBatch]

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        document = {
            **self.facts,
            "table": _rounded(asdict(self.table)),
            "points": [_rounded(asdict(one)) for one in self.points],
            "wrong": [_rounded(asdict(one)) for one in self.wrong],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Invert `write`."""
        facts = json.loads(path.read_bytes())
        table, points, wrong = facts.pop("table"), facts.pop("points"), facts.pop("wrong")
        return cls(
            facts,
            KeyTable(**table),
            [Point(**one) for one in points],
            [WrongBatch(**one) for one in wrong],
        )


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Round to four significant digits: more would be noise, and noise in every diff."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in values.items()
    }
