"""deploy/compose.yaml: its files and names exist, its settings start, no secret stands in it.

No container is started: what a compose file may say is checked by what it says here, and the script
that draws the secrets is run.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sage_native.config import load_settings
from sage_native.gateway import Gateway
from sage_native.gateway.serving import GRACE_S
from tests.docs.walks import ROOT

if TYPE_CHECKING:
    from sage_native.config import Settings

FOLDER = ROOT / "deploy"
TEXT = (FOLDER / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"secrets", "migrate"}
"""What ends by itself."""
UPSTREAM = "http://host.docker.internal:8000"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

SERVICE_KEYS = {
    *("cap_add", "cap_drop", "command", "depends_on", "entrypoint", "environment", "extra_hosts"),
    *("healthcheck", "image", "mem_limit", "network_mode", "networks", "ports", "profiles"),
    *("read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "ulimits", "user"),
    "volumes",
}


def filled(text: str, given: dict[str, str]) -> str:
    """Put variables in, as compose does."""

    def value(found: re.Match[str]) -> str:
        name, operator, otherwise = found.groups()
        if given.get(name):
            return given[name]
        assert operator == "-", f"{name} must be given"
        return str(otherwise)

    return VARIABLE.sub(value, text)


def gateway_settings(**given: str) -> Settings:
    environment = {
        name: filled(value, {"SAGE_UPSTREAM": UPSTREAM, **given})
        for name, value in SERVICES["gateway"]["environment"].items()
    }
    (state,) = re.findall(r"SAGE__STATE_DIR=(\S+)", (FOLDER / "Dockerfile").read_text("utf-8"))
    return load_settings("production", environ={"SAGE__STATE_DIR": state, **environment})


def mounts(name: str) -> dict[str, tuple[str, bool]]:
    """What a service mounts: by place, the source and whether it is read only."""
    found = {}
    for mount in SERVICES[name].get("volumes", []):
        source, place, *mode = mount.split(":")
        found[place] = (source, mode == ["ro"])
    return found


def test_the_services() -> None:
    assert SERVICES.keys() == {
        *("secrets", "postgres", "redis", "migrate", "gateway"),
        *("prometheus", "grafana", "jaeger"),
    }
    for name, service in SERVICES.items():
        assert service.keys() <= SERVICE_KEYS, name


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    used = service.get("networks", [])
    assert set(used) <= COMPOSE["networks"].keys()
    assert used or service["network_mode"] == "none"
    for place, (source, is_read_only) in mounts(name).items():
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            assert is_read_only, place
        else:
            assert source in COMPOSE["volumes"], source
    for other, terms in service.get("depends_on", {}).items():
        if other in ONCE:
            assert terms == {"condition": "service_completed_successfully"}
        else:
            assert terms == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]


def test_every_volume_and_network_is_used() -> None:
    sources = {source for name in SERVICES for source, _ in mounts(name).values()}
    assert COMPOSE["volumes"].keys() <= sources
    joined = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert joined == COMPOSE["networks"].keys()


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_what_runs_is_asked_for_its_health(name: str) -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text("utf-8")
    if name == "gateway":
        assert "\nHEALTHCHECK " in dockerfile
    else:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_named_by_a_whole_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image
    built = re.search(r"-t (sage-gateway:\S+)", (FOLDER / "Dockerfile").read_text("utf-8"))
    assert built is not None
    if image.startswith("sage-gateway:"):
        assert f"{image} ." in built.string


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port
    assert all("network_mode" not in SERVICES[name] for name in SERVICES.keys() - {"secrets"})
    assert COMPOSE["networks"]["store"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["store"]


def test_its_settings_start_in_production() -> None:
    settings = gateway_settings()
    assert settings.metrics.enabled
    assert settings.tracing.enabled
    assert settings.tracing.endpoint == "http://jaeger:4318/v1/traces"
    assert settings.behind.upstream == UPSTREAM
    (subnet,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert [str(network) for network in settings.server.trusted_proxies] == [subnet["subnet"]]


def test_so_do_those_of_the_other_store() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    found = re.search(r"export (SAGE_STORAGE_URL=.*)$", text, re.MULTILINE)
    assert found is not None
    given = dict(re.findall(r"(SAGE_\w+)='?([^' ]+)'?", found[1]))
    did = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw"
    given["SAGE_ALLOW_LIST"] = json.dumps([did])
    settings = gateway_settings(**given)
    assert settings.storage.url == "redis://redis/0"
    assert "redis" in SERVICES
    assert list(settings.admission.allow_list) == [did]


def test_prometheus_asks_where_the_gateway_serves() -> None:
    settings = gateway_settings()
    prometheus = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text("utf-8"))
    jobs = {job["job_name"]: job["static_configs"] for job in prometheus["scrape_configs"]}
    assert jobs["sage"] == [{"targets": [f"gateway:{settings.metrics.port}"]}]
    assert settings.metrics.host == "0.0.0.0"  # noqa: S104 - of a container's network
    assert settings.admin.host == "127.0.0.1"
    shared = set(SERVICES["gateway"]["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert shared == {"watch"}
    assert mounts("prometheus")["/etc/prometheus"] == ("./prometheus", True)


def test_the_gateway_may_drain_and_has_the_files_it_needs() -> None:
    settings, gateway = gateway_settings(), SERVICES["gateway"]
    assert int(gateway["stop_grace_period"][:-1]) > settings.server.drain_timeout + GRACE_S
    needed = settings.limits.max_connections + settings.behind.max_connections + 256
    assert gateway["ulimits"]["nofile"] >= needed
    assert gateway["read_only"]
    places = mounts("gateway")
    assert not places[str(settings.state_dir.parent)][1]
    assert places[str(settings.secrets.directory)] == ("gateway-secrets", True)


def test_no_secret_stands_in_it() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"password|token|secret|key", name, re.IGNORECASE):
                assert value.startswith("/run/secrets/"), name
                assert "_FILE" in name or name == "SAGE__SECRETS__DIRECTORY"
            # A URL names a user and no password.
            assert not re.search(r"://[^/@]*:[^/@]*@", value), name


def test_who_sees_which_secrets() -> None:
    holders: dict[str, set[str]] = {}
    for name in SERVICES.keys() - {"secrets"}:
        for source, is_read_only in mounts(name).values():
            if source.endswith("-secrets"):
                holders.setdefault(source, set()).add(name)
                assert is_read_only
    assert holders == {
        "gateway-secrets": {"gateway", "migrate"},
        "postgres-secrets": {"postgres"},
        "grafana-secrets": {"grafana"},
    }


def draw(folder: Path) -> dict[str, bytes]:
    for name in ("gateway", "postgres", "grafana"):
        (folder / name).mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", FOLDER / "make-secrets", folder],  # noqa: S607
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        check=True,
    )
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


async def test_secrets_are_drawn_once_and_start_a_gateway(tmp_path: Path) -> None:
    drawn = draw(tmp_path)
    assert drawn.keys() == {
        *("gateway/signing-key", "gateway/kek", "gateway/operator-token", "gateway/pgpass"),
        *("postgres/password", "grafana/password"),
    }
    password = drawn["postgres/password"].strip().decode()
    assert len(password) == 64
    assert drawn["gateway/pgpass"].decode() == f"postgres:5432:sage:sage:{password}\n"
    for name in drawn:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600

    (tmp_path / "grafana/password").unlink()
    again = draw(tmp_path)
    assert again.pop("grafana/password") != drawn.pop("grafana/password")
    assert again == drawn

    secrets = tmp_path / "gateway"
    if os.geteuid() == 0:  # they belong to the user of the image
        for file in (secrets, *secrets.iterdir()):
            os.chown(file, 0, 0)
    ours = {"secrets.directory": str(secrets), "state_dir": str(tmp_path / "state")}
    needed = {"behind.upstream": "http://127.0.0.1:1", "server.trusted_proxies": ["::1"]}
    async with Gateway(load_settings("production", environ={}, overrides={**ours, **needed})):
        pass


def test_the_secrets_belong_to_the_users_of_the_images(tmp_path: Path) -> None:
    draw(tmp_path)
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    user = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert user is not None
    assert f"chown -R {user[1]}:{user[2]} gateway" in (FOLDER / "make-secrets").read_text("utf-8")
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in tmp_path.iterdir()}
        assert owners == {"gateway": int(user[1]), "postgres": 999, "grafana": 472}


def test_the_page_names_services_that_there_are() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    named = re.findall(r"compose\.yaml (?:logs|run --rm|exec) (\w+)", text)
    assert len(named) >= 3
    assert set(named) <= SERVICES.keys()
    assert re.findall(r"export (SAGE_UPSTREAM)=(\S+)", text) == [("SAGE_UPSTREAM", UPSTREAM)]
    for file in re.findall(r"^\| \[[^\]]+\]\(([^)]+)\)", text, re.MULTILINE):
        assert (FOLDER / file).exists(), file
