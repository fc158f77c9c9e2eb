"""docs/MONITORING.md: its tables are those of the code, its queries ask for what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sage_native.observability.fields import FIELDS
from sage_native.observability.metrics.definitions import METRICS
from tests.deploy.promql import faults, metrics_in, needs_prometheus, promtool
from tests.docs.monitoring import DOCUMENT, written
from tests.docs.walks import ROOT, walk_of

if TYPE_CHECKING:
    from pathlib import Path

TEXT = DOCUMENT.read_text("utf-8")
PROMETHEUS = ROOT / "deploy/prometheus"
GROUPS = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}


def blocks(info: str) -> list[str]:
    return re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    assert written(TEXT) == TEXT, "run: make tables"
    for metric in METRICS:
        assert re.search(rf"^\| `{metric.name}` \| {metric.kind} \|", TEXT, re.MULTILINE)
    for field in FIELDS:
        assert f"\n| `{field}` | " in TEXT


def test_a_table_that_drifts_is_noticed() -> None:
    for name in (
        "`sage_sessions_active` | gauge",
        "`request_id` | Names",
        "(#storefailing) | critical",
    ):
        assert name in TEXT
        assert written(TEXT.replace(name, name[:-1])) == TEXT


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_runbook(name: str) -> None:
    runbook = TEXT[TEXT.index("\n## Runbook\n") :]
    section = re.search(rf"^### {name}\n\n(.*?)(?=^#)", runbook, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert len(section[1]) > 60
    document, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")
    assert (ROOT / document).samefile(DOCUMENT)
    assert anchor == name.lower()


def test_there_is_no_runbook_without_an_alert() -> None:
    runbook = TEXT[TEXT.index("\n## Runbook\n") : TEXT.index("\n## Tracing\n")]
    assert set(re.findall(r"^### (\w+)$", runbook, re.MULTILINE)) == ALERTS.keys()


def queries() -> list[str]:
    shown = [query for block in blocks("promql") for query in block.strip().split("\n\n")]
    inline = re.findall(r"`((?:sum|max|rate)[^`]*\([^`]*|sage_\w+\{[^`]*)`", TEXT)
    return [" ".join(query.split()) for query in (*shown, *inline)]


@pytest.mark.parametrize("query", queries())
def test_queries_ask_for_what_there_is(query: str) -> None:
    assert metrics_in(query)
    # The histogram as such stands in a text where its parts are meant.
    assert faults(re.sub(r"(_seconds)(\{)", r"\1_count\2", query)) == []


@needs_prometheus
def test_queries_parse(tmp_path: Path) -> None:
    rules = [{"record": f"query:{at}", "expr": query} for at, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]})
    )
    said = promtool("check", "rules", "queries.yml", cwd=tmp_path)
    assert f"{len(rules)} rules found" in said
    assert len(rules) >= 8


@needs_prometheus
def test_the_commands_of_prometheus_work(tmp_path: Path) -> None:
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (commands,) = blocks("sh prometheus")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_routes_of_the_alertmanager_know_the_severities() -> None:
    (text,) = blocks("yaml alertmanager.yml")
    settings = yaml.safe_load(text)
    receivers = {receiver["name"] for receiver in settings["receivers"]}
    routes = [settings["route"], *settings["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    severities = {rule["labels"]["severity"] for rule in ALERTS.values()}
    assert set(re.findall(r'severity="(\w+)"', text)) == severities
    assert set(re.findall(r'alertname="(\w+)"', text)) <= ALERTS.keys()


def test_the_collector_names_fields_of_a_line() -> None:
    (text,) = blocks("yaml vector.yaml")
    labels = yaml.safe_load(text)["sinks"]["loki"]["labels"]
    named = {value.strip("{} ") for value in labels.values() if value.startswith("{{")}
    assert named == {"level"}
    assert named <= FIELDS.keys()
    for field in re.findall(r"\| json \| (\w+)=", TEXT):
        assert field in FIELDS


def test_the_walk(tmp_path: Path) -> None:
    walk = walk_of("docs/MONITORING.md")
    assert len(walk.steps) == 1

    status, output = walk.run(tmp_path)

    assert status == 0, output
    assert re.search(r'sage_build_info\{version="[\d.]+"\} 1\.0$', output, re.MULTILINE)
    served = (tmp_path / "metrics.txt").read_text("utf-8")
    assert set(re.findall(r"^# TYPE (\S+) ", served, re.MULTILINE)) <= {
        metric.name for metric in METRICS
    }
