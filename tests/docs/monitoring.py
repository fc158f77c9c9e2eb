"""Tables of docs/MONITORING.md, written from what they tell of: ``make tables``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

from sage_native.observability.fields import FIELDS
from sage_native.observability.metrics.definitions import METRICS
from tests.docs.walks import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_native.observability.metrics.definitions import Label

__all__ = ["DOCUMENT", "TABLES", "written"]

DOCUMENT: Final = ROOT / "docs/MONITORING.md"
_RULES = ROOT / "deploy/prometheus/rules.yml"


def written(text: str) -> str:
    """Return the document with its tables as they must be."""
    for name, rows in TABLES.items():
        block = "\n".join((f"<!-- {name}:begin -->", *rows(), f"<!-- {name}:end -->"))
        found = re.compile(rf"<!-- {name}:begin -->\n.*?<!-- {name}:end -->", re.DOTALL)
        text, count = found.subn(block.replace("\\", r"\\"), text)
        assert count == 1, name
    return text


def _metrics() -> Iterator[str]:
    yield "| metric | kind | unit | labels | what it tells |"
    yield "|---|---|---|---|---|"
    for one in METRICS:
        labels = "<br>".join(map(_label, one.labels))
        yield f"| `{one.name}` | {one.kind} | {one.unit} | {labels} | {one.help} |"


def _label(label: Label) -> str:
    if not label.values:
        return f"`{label.name}`: {label.bound}"
    values = ", ".join(f"`{value}`" for value in label.values)
    return f"`{label.name}`: {values}"


def _alerts() -> Iterator[str]:
    yield "| alert | severity | after | what to do first |"
    yield "|---|---|---|---|"
    for group in yaml.safe_load(_RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                name, after = rule["alert"], rule.get("for", "at once")
                severity, action = rule["labels"]["severity"], rule["annotations"]["action"]
                yield f"| [{name}](#{name.lower()}) | {severity} | {after} | {action} |"


def _fields() -> Iterator[str]:
    yield "| field | what it tells |"
    yield "|---|---|"
    for name, field in FIELDS.items():
        yield f"| `{name}` | {field.meaning} |"


TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "metrics": _metrics,
    "alerts": _alerts,
    "fields": _fields,
}

if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
