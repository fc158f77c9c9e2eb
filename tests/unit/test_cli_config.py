"""``sage-native config``: what is shown, checked and described."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from sage_native.cli import app
from sage_native.config import PROFILES, load_settings
from sage_native.config.schema import json_schema
from tests.command_line import run

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE_FILES = Path(__file__).parents[2] / "python/sage_native/config/profiles"
COMPLETE = (
    "state_dir=/var/lib/sage", "behind.upstream=http://127.0.0.1:8000",
    'server.trusted_proxies=["10.0.0.0/8"]',
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAGE_ENV", "SAGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = app.run(["config", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def assigned(*assignments: str) -> list[str]:
    return [part for assignment in assignments for part in ("--set", assignment)]


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_shown_is_read_back(
    profile: str, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    more = 'cors.origins=["https://no.example"]', "features.cors=true", "secrets.aws_region=no"
    status, out, err = call("show", "--profile", profile, *assigned(*COMPLETE, *more))
    assert (status, err) == (0, "")
    assert out.startswith(f"# profile {profile}\n")
    file = tmp_path / "settings.yaml"
    file.write_text(out)
    read_back = load_settings(profile, environ={}, file=file)
    overrides = dict(text.split("=", 1) for text in (*COMPLETE, *more))
    assert read_back == load_settings(profile, environ={}, overrides=overrides)
    # And by any other reader, too.
    assert yaml.safe_load(out)["secrets"]["aws_region"] == "no"


def test_show_masks_the_password(call: Callable[..., tuple[int, str, str]]) -> None:
    url = "storage.url=postgresql://user:geheim@host/name?sslkey=geheim"
    status, out, _ = call("show", "--profile", "dev", *assigned(url))
    assert status == 0
    assert '  url: "postgresql://***@host/name?***"\n' in out
    assert "geheim" not in out


def test_show_tells_where_values_come_from(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("session:\n  max_age: 2h\n")
    monkeypatch.setenv("SAGE__SERVER__PORT", "5")
    monkeypatch.setenv("SAGE_ENV", "dev")
    monkeypatch.setenv("SAGE_CONFIG", str(file))
    status, out, _ = call("show", "--origin", *assigned("server.backlog=6"))
    assert status == 0
    for line in (
        '  host: "127.0.0.1"  # default',
        "  port: 5  # SAGE__SERVER__PORT",
        "  backlog: 6  # command line",
        "  ui: true  # profile dev line ",
        f"  max_age: 7200  # {file} line 2",
    ):
        assert line in out
    assert call("show")[1].count("#") == 1


def test_check_says_that_all_is_right(call: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = call("check", "--profile", "production", *assigned(*COMPLETE))
    assert (status, out) == (0, "")
    assert err == "the settings are right for profile production\n"


def test_check_prints_each_problem_in_a_line(call: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = call("check", "--profile", "production", *assigned(*COMPLETE[1:]))
    assert status == 1
    (line,) = out.splitlines()
    assert line.startswith("state_dir: is not set")
    assert err == "error: 1 setting is wrong; docs/CONFIGURATION.md lists all keys\n"
    wrong = assigned("server.port=x", "server.prot=geheim", "session.max_age=1s")
    status, out, err = call("check", "--profile", "dev", *wrong)
    assert status == 1
    assert [line.partition(" ")[0] for line in out.splitlines()] == [
        "server.prot",
        "server.port",
        "session.max_age",
    ]
    assert "geheim" not in out + err
    assert "3 settings are wrong" in err


def test_without_a_profile_it_says_how(call: Callable[..., tuple[int, str, str]]) -> None:
    for command in ("show", "check"):
        status, out, err = call(command)
        assert (status, out) == (1, "")
        assert "no profile is chosen: give --profile, or set SAGE_ENV" in err


@pytest.mark.parametrize("assignment", ["server.port", "=geheim", "geheim"])
def test_an_assignment_has_a_key(
    assignment: str, call: Callable[..., tuple[int, str, str]]
) -> None:
    status, _, err = call("check", "--profile", "dev", "--set", assignment)
    assert status == 2
    assert "--set takes KEY=VALUE" in err
    assert "geheim" not in err


def test_a_warning_is_a_note(call: Callable[..., tuple[int, str, str]]) -> None:
    old = "tracing.jaeger_endpoint=http://jaeger:14268/api/traces"
    status, out, err = call("show", "--profile", "dev", *assigned(old))
    assert status == 0
    assert "endpoint: http://jaeger:4318/v1/traces\n" in out.replace('"', "")
    assert err.startswith("warning: tracing.jaeger_endpoint (command line) is called")


def test_the_schema_describes_every_file_of_ours(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    status, out, _ = call("schema")
    schema: dict[str, Any] = json.loads(out)
    assert status == 0
    assert schema == json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for profile in PROFILES:
        validator.validate(yaml.safe_load((PROFILE_FILES / f"{profile}.yaml").read_text()))
        shown = call("show", "--profile", profile, *assigned(*COMPLETE))[1]
        validator.validate(yaml.safe_load(shown))
    validator.validate({})
    for wrong in (
        {"server": {"prot": 1}},
        {"server": {"port": 70_000}},
        {"server": {"workers": 0}},
        {"profile": "dev"},
        {"session": {"max_age": "1 hour"}},
        {"secrets": {"provider": "vualt"}},
        {"limits": {"max_in_flight": None}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


def test_the_installed_command(tmp_path: Path) -> None:
    done = run("config", "check", env={"SAGE_ENV": "dev"}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("config", "check", "--profile", "production", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.decode().startswith("behind: none is named")


def test_the_package_starts_without_settings() -> None:
    code = (
        "import sys, sage_native, sage_native.cli.app\n"
        "late = ('sage_native.config', 'pydantic', 'yaml')\n"
        "print([name for name in sys.modules if name.startswith(late)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
