"""deploy/grafana: every query parses and asks for what there is; every panel says what it shows."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from sage_native.observability.metrics.definitions import METRICS
from tests.deploy.promql import faults, labels_of, metrics_in, needs_prometheus, promtool
from tests.docs.walks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ROOT / "deploy/grafana"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))["groups"]
RECORDED = frozenset(
    rule["record"] for group in RULES for rule in group["rules"] if "record" in rule
)
ALERTS = {rule["alert"] for group in RULES for rule in group["rules"] if "alert" in rule}
BUILT_IN = {"$__rate_interval": "5m", "$__range": "3h", "$__interval": "1m"}


class Query(NamedTuple):
    dashboard: str
    panel: str
    expression: str
    legend: str


def panels(dashboard: str) -> Iterator[dict[str, Any]]:
    yield from (one for one in DASHBOARDS[dashboard]["panels"] if one["type"] != "row")


def variables(dashboard: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in DASHBOARDS[dashboard]["templating"]["list"]}


def queries() -> Iterator[Query]:
    for dashboard, content in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Query(dashboard, panel["title"], target["expr"], target["legendFormat"])
        for marks in content["annotations"]["list"]:
            yield Query(dashboard, marks["name"], marks["expr"], marks["titleFormat"])


QUERIES = list(queries())


def without_variables(query: Query) -> str:
    text = query.expression
    for name, value in BUILT_IN.items():
        text = text.replace(name, value)
    for name in variables(query.dashboard):
        text = re.sub(rf"\${name}\b", ".*", text)
    assert "$" not in text, "a variable that the dashboard does not have"
    return text


def test_there_are_the_dashboards() -> None:
    assert DASHBOARDS.keys() == {"overview", "alerts"}
    assert len(QUERIES) > 60


@needs_prometheus
def test_every_query_parses(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": without_variables(query)}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "queries.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]})
    )
    said = promtool("check", "rules", "queries.yml", cwd=tmp_path)
    assert f"{len(QUERIES)} rules found" in said


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_queries_ask_for_what_there_is(query: Query) -> None:
    expression = without_variables(query)
    assert metrics_in(expression)
    assert faults(expression, recorded=RECORDED) == []
    # What a legend names is left in the result.
    kept = re.findall(r"\bby \(([^)]*)\)", expression)
    named = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    if kept:
        assert named <= {label.strip() for names in kept for label in names.split(",")}
    else:
        of_series = [labels_of(name) or {} for name in metrics_in(expression)]
        assert named <= {"job", "instance"}.union(*of_series)


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_variables_ask_for_what_there_is(dashboard: str) -> None:
    for name, variable in variables(dashboard).items():
        if variable["type"] == "datasource":
            continue
        asked = re.fullmatch(
            r"label_values\((\w+)(?:\{(.*)\})?, (\w+)\)", variable["query"]["query"]
        )
        assert asked is not None, name
        metric, selector, label = asked.groups()
        expression = without_variables(Query(dashboard, name, f"{metric}{{{selector or ''}}}", ""))
        assert faults(f"sum by ({label}) ({expression})") == []
        assert name == label


def test_every_metric_is_shown_somewhere() -> None:
    """Or is told here why it is not."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for query in QUERIES
        for name in metrics_in(without_variables(query))
    }
    left_out = {"sage_verify_cache_keys"}  # how many keys are held follows from their memory
    assert {metric.name for metric in METRICS} - shown == left_out


def test_every_alert_is_told_of_by_a_panel() -> None:
    texts = json.dumps(DASHBOARDS)
    general = {"SpansDropped", "LogLinesDropped", "GatewayAbsent"}
    assert {name for name in ALERTS if name not in texts} == general
    named = set(re.findall(r"\b((?:[A-Z][a-z]+){2,})\b(?= fires)", texts))
    assert named
    assert named <= ALERTS


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_panels_are_for_people(dashboard: str) -> None:
    content = DASHBOARDS[dashboard]
    assert content["uid"] == f"sage-{dashboard}"
    assert content["description"]
    ids = [panel["id"] for panel in content["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["options"].get("legend", {}).get("showLegend", True), panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_panels_lie_side_by_side(dashboard: str) -> None:
    covered: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[dashboard]["panels"]:
        place = panel["gridPos"]
        across = range(place["x"], place["x"] + place["w"])
        assert across[-1] < 24
        cells = set(itertools.product(across, range(place["y"], place["y"] + place["h"])))
        assert not covered & cells, panel["title"]
        covered |= cells


def test_links_lead_to_dashboards() -> None:
    uids = {content["uid"] for content in DASHBOARDS.values()}
    for content in DASHBOARDS.values():
        assert content["links"]
        assert {link["url"].removeprefix("/d/") for link in content["links"]} <= uids


def test_provisioning_finds_them() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    grafana = compose["services"]["grafana"]
    mounted = dict(mount.split(":")[:2] for mount in grafana["volumes"] if mount[0] == ".")
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    dashboards = yaml.safe_load((FOLDER / "provisioning/dashboards/sage.yaml").read_text("utf-8"))
    (provider,) = dashboards["providers"]
    assert provider["options"]["path"] == mounted["./grafana/dashboards"]
    text = (FOLDER / "provisioning/datasources/prometheus.yaml").read_text("utf-8")
    sources = {source["type"]: source for source in yaml.safe_load(text)["datasources"]}
    assert sources.keys() == {"prometheus", "jaeger"}
    for source in sources.values():
        assert source["url"].removeprefix("$") in grafana["environment"]
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    step = sources["prometheus"]["jsonData"]["timeInterval"]
    assert step == prometheus["global"]["scrape_interval"]
