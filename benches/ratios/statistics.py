"""From rounds to figures: the median of the per-pair ratios, and its spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sides import Unit

    Pair: TypeAlias = tuple[float, ...]

LOW, HIGH = 0.10, 0.90


@dataclass(frozen=True)
class Spread:
    """A median and the 10th and 90th percentile around it."""

    median: float
    low: float
    high: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share lies, between neighbours in proportion."""
    if not values:
        raise ValueError("no value has no percentile")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def spread(values: Sequence[float]) -> Spread:
    """Return median, low and high."""
    return Spread(percentile(values, 0.5), percentile(values, LOW), percentile(values, HIGH))


def compare(pairs: Sequence[Pair], unit: Unit) -> Spread:
    """Compare (ours, peer) pair by pair: peer over ours for "x", ours minus peer for "ns"."""
    if unit == "x":
        return spread([peer / ours for ours, peer in pairs])
    return spread([ours - peer for ours, peer in pairs])
