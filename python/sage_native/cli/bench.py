"""``sage-native bench``: the table of rates, on this machine, now."""

from __future__ import annotations

import json
import platform
from statistics import median
from typing import Annotated

from cyclopts import Parameter

from sage_native import __version__
from sage_native.cli import rates
from sage_native.exceptions import UsageError

__all__ = ["bench"]

SLICE_S = 0.04
MAX_ROUND_COUNT = 10_000


def bench(
    *,
    rounds: int = 15,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Measure side by side with cryptography and PyNaCl.

    The libraries take turns in slices of 40 ms; a ratio is the median of the ratios of all rounds.

    Args:
        rounds: How many slices each library gets for each operation; 15 take about 15 s.
        as_json: Print JSON, with the range of each ratio, instead of the table.
    """
    if not 1 <= rounds <= MAX_ROUND_COUNT:
        raise UsageError(f"--rounds {rounds} is not between 1 and {MAX_ROUND_COUNT}")
    rows = rates.measure(round_count=rounds, slice_s=SLICE_S)
    if as_json:
        print(json.dumps(_document(rows, rounds), indent=2))
        return
    rates.show(rows)


def _document(rows: list[rates.Measured], round_count: int) -> dict[str, object]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "peers": rates.peer_versions(),
        "round_count": round_count,
        "slice_s": SLICE_S,
        "notes": rates.footnotes(),
        "operations": [_operation(row) for row in rows],
    }


def _operation(row: rates.Measured) -> dict[str, object]:
    names = (rates.OURS, *row.peers)
    ratios = {name: row.comparison.ratios(rates.OURS, name) for name in row.peers}
    return {
        "operation": row.operation,
        "per_second": {name: round(row.comparison.rate(name), 1) for name in names},
        "ratio": {
            name: {
                "median": round(median(values), 3),
                "low": round(values[0], 3),
                "high": round(values[-1], 3),
            }
            for name, values in ratios.items()
        },
    }
