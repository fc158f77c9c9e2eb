"""The Go and the TypeScript client are generated from the description, compile, and work."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sage_native.gateway import create_app
from tests.gateways import gateway_settings
from tests.openapi.browser import served
from tests.openapi.source import API_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = API_DIR / "generate-clients"
NOT_INSTALLED = 3


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(create_app(gateway_settings(tmp_path_factory.mktemp("gateway")))) as url:
        yield url


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def run(
    *command: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def generated(language: str, tmp_path: Path) -> Path:
    done = run(str(SCRIPT), "--only", language, str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "sdk" / language


@needs("go")
def test_the_go_client(tmp_path: Path, gateway: str) -> None:
    client = generated("go", tmp_path)
    assert "func (c *Client) InitiateHandshake(" in (client / "client.gen.go").read_text()
    tested = run("go", "test", "-count=1", "-v", "./...", cwd=client, SAGE_GATEWAY_URL=gateway)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.count("--- PASS") == 3

    # That a wrong use does not compile shows that something was compiled.
    (client / "wrong.go").write_text("package sage\n\nvar _ = Confirm{Nonsense: 1}\n")
    wrong = run("go", "vet", "./...", cwd=client)
    assert wrong.returncode != 0
    assert "unknown field Nonsense" in wrong.stderr


@needs("npm")
def test_the_typescript_client(tmp_path: Path, gateway: str) -> None:
    client = generated("typescript", tmp_path)
    assert "initiateHandshake" in (client / "src" / "schema.d.ts").read_text()
    tested = run("node", "dist/smoke.js", gateway, cwd=client)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.splitlines() == [
        "ok identity",
        "ok signature",
        "ok signatures",
        "ok problem",
    ]

    wrong = client / "src" / "wrong.ts"
    wrong.write_text(
        'import type { Schemas } from "./client.js";\n'
        'export const confirm: Schemas["Confirm"] = { session_id: 1, confirmation: "" };\n'
    )
    refused = run("npx", "--no-install", "tsc", cwd=client)
    assert refused.returncode != 0
    assert "Type 'number' is not assignable to type 'string'" in refused.stdout


@pytest.mark.parametrize(("language", "tool"), [("go", "go"), ("typescript", "npm")])
def test_a_missing_tool_is_named(language: str, tool: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    command = [str(SCRIPT), "--only", language, str(tmp_path / "out")]
    done = subprocess.run(
        command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == NOT_INSTALLED
    assert f"{tool} is not installed" in done.stderr
    assert not (tmp_path / "out").exists()
