"""deploy/systemd and deploy/kubernetes fit the gateway."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sage_native.config import load_settings
from sage_native.gateway.serving import GRACE_S
from tests.docs.walks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = (ROOT / "deploy/systemd/sage-native.service").read_text("utf-8")
PROGRAM = "/opt/sage/bin/sage-native"
HOW_TO = (ROOT / "docs/howto/reverse-proxy.md").read_text("utf-8")
SETTINGS = load_settings("dev", environ={})


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


def test_the_unit_lets_the_gateway_drain_and_open_files() -> None:
    assert int(setting("TimeoutStopSec")) > SETTINGS.server.drain_timeout + GRACE_S
    limits = SETTINGS.limits
    needed = limits.max_connections + SETTINGS.behind.max_connections + 256
    assert int(setting("LimitNOFILE")) >= needed
    assert setting("KillMode") == "mixed"
    assert setting("ExecStart").split()[0] == PROGRAM


def test_the_unit_starts_what_the_command_line_has(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "{state_dir: /var/lib/sage/state, secrets: {directory: /etc/sage/secrets}, "
        "server: {trusted_proxies: ['::1']}, behind: {upstream: 'http://127.0.0.1:8000'}}"
    )
    assert str(load_settings("production", file=file, environ={}).state_dir).startswith(
        f"/var/lib/{setting('StateDirectory')}/"
    )
    for name, command in (("ExecStartPre", "config check"), ("ExecStart", "serve")):
        options = "--profile production --config /etc/sage/gateway.yaml"
        assert setting(name) == f"{PROGRAM} {command} {options}"


SYSTEMD = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed")
def test_systemd_reads_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    assert SYSTEMD is not None
    file = tmp_path / "sage-native.service"
    file.write_text(UNIT.replace(PROGRAM, "/bin/true"))
    for arguments in (
        ("verify", "--man=no", file),
        # 0 is closed, 10 is open; a service that is not hardened has 9.6.
        ("security", "--offline=true", "--threshold=20", file),
    ):
        done = subprocess.run([SYSTEMD, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "sage-native.service:" not in done.stderr, done.stderr


def of_kind(text: str) -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_the_metrics_of_pods_are_found_and_guarded() -> None:
    found = re.search(r"^```yaml kubernetes\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL)
    assert found is not None
    gateway = of_kind(found[1])
    metrics = of_kind((ROOT / "deploy/kubernetes/metrics.yaml").read_text("utf-8"))
    assert metrics.keys() == {"Service", "NetworkPolicy", "ServiceMonitor"}

    pod = gateway["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = yaml.safe_load(gateway["ConfigMap"]["data"]["gateway.yaml"])
    assert settings["metrics"] == {"host": "0.0.0.0"}  # noqa: S104 - a pod has its own address
    assert ports == {"http": SETTINGS.server.port, "metrics": SETTINGS.metrics.port}

    service = metrics["Service"]["spec"]
    assert service["selector"] == pod["metadata"]["labels"]
    (port,) = service["ports"]
    assert (port["port"], port["targetPort"]) == (ports["metrics"], "metrics")

    policy = metrics["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
    allowed = {rule["ports"][0]["port"]: "from" in rule for rule in policy["ingress"]}
    assert allowed == {"http": False, "metrics": True}

    monitor = metrics["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"] == metrics["Service"]["metadata"]["labels"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == port["name"]
    # The rules know the job by this name.
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "sage"}]
