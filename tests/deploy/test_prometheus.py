"""deploy/prometheus: rules parse, ask for what there is, fire when they must and else do not."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from sage_native.config import load_settings
from tests.deploy.promql import faults, metrics_in, needs_prometheus, promtool
from tests.docs.walks import ROOT

FOLDER = ROOT / "deploy/prometheus"


def read(name: str) -> Any:  # noqa: ANN401 - a YAML file
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


RULES: list[dict[str, Any]] = [
    rule for group in read("rules.yml")["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in RULES if "record" in rule}
CASE_FILES = ("rules_test.yml", "availability_test.yml")
CASES: list[dict[str, Any]] = [case for name in CASE_FILES for case in read(name)["tests"]]


@needs_prometheus
def test_the_files_are_right() -> None:
    said = promtool("check", "config", "prometheus.yml", cwd=FOLDER)
    assert f"{len(RULES)} rules found" in said
    promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yml", cwd=FOLDER)


@needs_prometheus
def test_alerts_fire_and_stay_silent_as_their_cases_say() -> None:
    said = promtool("test", "rules", *CASE_FILES, cwd=FOLDER)
    assert said.count("SUCCESS") == len(CASE_FILES)


def test_the_alerts_that_there_must_be() -> None:
    assert {
        *("HighHandshakeErrorRate", "SessionExpirationHigh", "SlowHandshakes", "HighMemoryUsage"),
        *("ReplayAttack", "StoreFailing", "SignatureFailuresHigh", "SpansDropped"),
        *("LogLinesDropped", "GatewayDown", "AvailabilityBudgetBurnsFast"),
        "AvailabilityBudgetBurnsSlowly",
    } <= ALERTS.keys()
    assert ALERTS["HighHandshakeErrorRate"]["labels"]["severity"] == "critical"
    assert "sage_alerts" in {group["name"] for group in read("rules.yml")["groups"]}


@pytest.mark.parametrize("name", [*ALERTS, *RECORDED])
def test_rules_ask_for_what_there_is(name: str) -> None:
    rule = ALERTS.get(name) or RECORDED[name]
    assert metrics_in(rule["expr"])
    assert faults(rule["expr"], recorded=frozenset(RECORDED)) == []


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    """And each case has every series that the alert looks at: for want of one all is silent."""
    wanted = asked_by(ALERTS[name]["expr"])
    outcomes = set()
    for case in CASES:
        expectations = case["alert_rule_test"]
        if {expectation["alertname"] for expectation in expectations} != {name}:
            continue
        (outcome,) = {bool(expectation["exp_alerts"]) for expectation in expectations}
        assert case["name"].startswith(f"{name} {'fires' if outcome else 'is silent'}: ")
        outcomes.add(outcome)
        given = {metric for one in case["input_series"] for metric in metrics_in(one["series"])}
        assert wanted == given
    assert outcomes == {True, False}


def asked_by(expression: str) -> set[str]:
    """The metrics behind an expression, also through rules that record."""
    found = set()
    for name in metrics_in(expression):
        found |= asked_by(RECORDED[name]["expr"]) if name in RECORDED else {name}
    return found


def test_each_case_is_of_an_alert() -> None:
    named = {one["alertname"] for case in CASES for one in case["alert_rule_test"]}
    assert named == ALERTS.keys()
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_say_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/MONITORING.md#{name.lower()}"
    for setting in re.findall(r"\b[a-z]+\.[a-z_]+\b", rule["annotations"]["action"]):
        section, key = setting.split(".")
        settings = load_settings("dev", environ={})
        assert hasattr(getattr(settings, section), key), setting


def test_the_gateway_is_asked_where_it_serves_metrics() -> None:
    jobs = {job["job_name"]: job for job in read("prometheus.yml")["scrape_configs"]}
    (target,) = jobs["sage"]["static_configs"][0]["targets"]
    assert target == f"gateway:{load_settings('dev', environ={}).metrics.port}"
    assert re.search(r'up\{job="sage"\}', ALERTS["GatewayDown"]["expr"])


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(sage_handshake_errors_total[5m])", "nobody defines it"),
        ("sage_handshake_duration_seconds > 1", "nobody defines it"),
        ('sage_handshakes_total{state="failed"}', "has no label state"),
        ('sage_handshakes_total{status="success"}', "status is never success"),
        ('sage_handshakes_total{status=~"failed|success"}', "status is never success"),
        ("sum by (client_did) (sage_handshakes_total)", "client_did: no label"),
        ("sage_sessions_active_bucket", "nobody defines it"),
    ],
)
def test_the_faults_of_an_expression_are_seen(expression: str, fault: str) -> None:
    assert any(fault in found for found in faults(expression))
