"""What expressions of Prometheus name, held against the table of metrics; and promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from sage_native.observability.metrics.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PROMETHEUS", "faults", "labels_of", "metrics_in", "needs_prometheus", "promtool"]

PROMETHEUS: Final = shutil.which("prometheus")
PROMTOOL: Final = shutil.which("promtool")
needs_prometheus: Final = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="prometheus is not installed"
)

_NAMES = re.compile(r"\b(sage_\w+|up|ALERTS|job:sage[\w:]+)\b(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")

TARGET_LABELS: Final = {"job", "instance"}
"""What Prometheus adds to every series."""

ALERT_LABELS: Final[dict[str, tuple[str, ...]]] = {
    "alertname": (),
    "alertstate": ("pending", "firing"),
    "severity": ("critical", "warning"),
}


class Selector(NamedTuple):
    name: str
    matchers: list[tuple[str, str, str]]


def selectors(expression: str) -> Iterator[Selector]:
    for name, inside in _NAMES.findall(expression):
        yield Selector(name, _MATCHER.findall(inside))


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression asks for, as they are spelt there."""
    return {selector.name for selector in selectors(expression)}


def faults(expression: str, *, recorded: frozenset[str] = frozenset()) -> list[str]:
    """Say what in an expression no gateway has: metrics, labels, values of labels.

    Args:
        expression: PromQL, without variables.
        recorded: Names that rules record; they have the label job.
    """
    known = set(TARGET_LABELS)
    found = []
    for name, matchers in selectors(expression):
        labels = {} if name in recorded else labels_of(name)
        if labels is None:
            found.append(f"{name}: nobody defines it")
            continue
        known |= labels.keys()
        found += _wrong_matchers(name, matchers, labels)
    for names in _GROUPING.findall(expression):
        found += [
            f"{label.strip()}: no label of what is asked"
            for label in names.split(",")
            if label.strip() and label.strip() not in known
        ]
    return found


def labels_of(name: str) -> dict[str, tuple[str, ...]] | None:
    """All values of each label of a series, none if they are open; None if there is no series."""
    if name == "up":
        return {}
    if name == "ALERTS":
        return ALERT_LABELS
    base = _SUFFIX.sub("", name)
    by_name = {metric.name: metric for metric in METRICS}
    metric = by_name.get(name) or by_name.get(base)
    # The parts of a histogram can be asked for, and the histogram as such cannot.
    if metric is None or (metric.kind == "histogram") != (metric.name != name):
        return None
    labels = {label.name: label.values for label in metric.labels}
    return labels | {"le": ()} if name.endswith("_bucket") else labels


def _wrong_matchers(
    name: str, matchers: list[tuple[str, str, str]], labels: dict[str, tuple[str, ...]]
) -> Iterator[str]:
    for label, operator, value in matchers:
        if label in TARGET_LABELS:
            continue
        if label not in labels:
            yield f"{name}: has no label {label}"
            continue
        # Of a pattern each alternative must be, or match, a value that there is.
        wanted = value.split("|") if "~" in operator else [value]
        values = labels[label]
        for one in wanted:
            if values and not any(re.fullmatch(one, existing) for existing in values):
                yield f"{name}: {label} is never {one}"


def promtool(*arguments: str | Path, cwd: Path) -> str:
    """Run promtool, which must find nothing wrong, and return what it says."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
