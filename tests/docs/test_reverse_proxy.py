"""docs/howto/reverse-proxy.md: its files are right and fit the gateway, and its walk works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sage_native.config import load_settings
from sage_native.gateway import Gateway
from sage_native.gateway.connections import HEAD_S, MAX_HEAD_LEN
from sage_native.gateway.routes.records import MAX_RECORD_LEN
from sage_native.gateway.serving import GRACE_S
from sage_native.gateway.worker import KEEP_ALIVE_S
from tests.docs.walks import ROOT, walk_of

if TYPE_CHECKING:
    from sage_native.config import Settings

NAME = "docs/howto/reverse-proxy.md"
TEXT = (ROOT / NAME).read_text("utf-8")


def block(info: str) -> str:
    found = re.search(rf"^```{re.escape(info)}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, info
    return found[1]


def settings_of(text: str, tmp_path: Path) -> Settings:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return load_settings("production", file=file, environ={})


def seconds(name: str, text: str) -> int:
    found = re.search(rf"\b{name} (\d+)s\b", text)
    assert found is not None, name
    return int(found[1])


def test_the_settings_start_in_production(tmp_path: Path) -> None:
    settings = settings_of(block("yaml production gateway.yaml"), tmp_path)
    assert settings.server.workers == 2
    assert settings.server.trusted_proxies


async def test_the_secrets_start_a_gateway(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("sh secrets")],  # noqa: S607
        cwd=folder,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {"secrets.directory": str(folder), "state_dir": str(tmp_path / "state")}
    completed = {"behind.upstream": "http://127.0.0.1:1", "server.trusted_proxies": ["::1"]}
    settings = load_settings("production", environ={}, overrides={**ours, **completed})
    async with Gateway(settings) as gateway:
        assert [did for did, _ in gateway.identities.announced()] == [done.stdout.strip()]


@pytest.mark.parametrize("info", ["nginx gateway.conf", "text Caddyfile"])
def test_proxies_fit_the_gateway(info: str, tmp_path: Path) -> None:
    settings = settings_of(block("yaml production gateway.yaml"), tmp_path)
    text = block(info)
    is_nginx = info.startswith("nginx")
    body = re.search(r"(?:client_max_body_size|max_size) (\d+)(?:k|KiB)", text)
    assert body is not None
    assert MAX_RECORD_LEN <= int(body[1]) * 1024 < MAX_RECORD_LEN * 1.01
    idle, answer = (
        ("keepalive_timeout", "proxy_read_timeout")
        if is_nginx
        else ("keepalive", "response_header_timeout")
    )
    assert seconds(idle, text) < KEEP_ALIVE_S
    patience_s = settings.limits.body_timeout + settings.behind.timeout
    assert seconds(answer, text) > patience_s
    # One of the two headers is written, and the other taken away.
    assert ('Forwarded ""' in text) if is_nginx else ("header_up -Forwarded" in text)
    # Clients do not say what is traced.
    for name in ("traceparent", "tracestate"):
        assert (f'{name} ""' if is_nginx else f"header_up -{name}") in text


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    assert f"{MAX_RECORD_LEN:,} bytes" in TEXT
    assert f"closed after {KEEP_ALIVE_S} s" in TEXT
    assert f"{MAX_HEAD_LEN // 1024} KiB, within {HEAD_S:.0f} s" in TEXT


def documents() -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(block("yaml kubernetes"))}


def test_the_pods_start_are_asked_and_may_drain(tmp_path: Path) -> None:
    settings = settings_of(documents()["ConfigMap"]["data"]["gateway.yaml"], tmp_path)
    assert settings.replay.guarantee == "durable"
    assert settings.server.host == "0.0.0.0"  # noqa: S104 - a pod has its own address
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["ports"][0]["containerPort"] == settings.server.port
    assert container["livenessProbe"]["httpGet"]["path"] == "/v1/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/ready"
    _, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    needed_s = int(pause_s) + settings.server.drain_timeout + GRACE_S
    assert pod["terminationGracePeriodSeconds"] > needed_s - 1
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(settings.state_dir.parent) in mounts
    assert str(settings.secrets.directory) in mounts
    user = re.search(r"^USER (\d+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1])


def test_the_file_for_nginx_is_one(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed")
    openssl = "openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=gateway.example"
    subprocess.run(
        [*openssl.split(), "-keyout", tmp_path / "tls.key", "-out", tmp_path / "tls.pem"],
        check=True,
        capture_output=True,
    )
    site = block("nginx gateway.conf").replace("/etc/sage/", f"{tmp_path}/")
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} "
        f"http {{ access_log off; {folders} {site} }}"
    )
    done = subprocess.run(
        [nginx, "-t", "-c", tmp_path / "nginx.conf", "-p", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "test is successful" in done.stderr, done.stderr


def test_keys_rotate_without_a_restart(tmp_path: Path) -> None:
    walk = walk_of(NAME)
    assert len(walk.steps) == 2

    status, output = walk.run(tmp_path)

    assert status == 0, output
    secrets = tmp_path / ".local/state/sage-native/dev/secrets"
    assert (secrets / "sessions.json").read_text() == '{"sessions":[],"next":null}'
