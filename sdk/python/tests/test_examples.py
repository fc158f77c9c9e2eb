"""The examples and the README's code, run as a reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sage_native.keys import SigningKey

from gateway import running_gateway
from sage_client import SyncSageClient

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL and DID of a running gateway."""
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state") as url:
        with SyncSageClient(url) as client:
            did = client.fetch_identity().keys[0][1].did
        yield url, did


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_basic_usage(gateway: tuple[str, str], tmp_path: Path) -> None:
    key = SigningKey.generate()
    path = tmp_path / "agent.key"
    path.write_bytes(key.to_pem())
    lines = run(str(HOME / "examples/basic_usage.py"), *gateway, str(path)).splitlines()
    assert lines[0] == f"I am {key.did}"
    assert lines[1].endswith(f"with {gateway[1]}")
    assert lines[2:] == [
        "answer: b'hello'",
        "answer: b'hello again'",
        "HTTP answer: 200 b'one tea'",
    ]


def test_async_usage(gateway: tuple[str, str]) -> None:
    lines = run(str(HOME / "examples/async_usage.py"), *gateway).splitlines()
    assert lines[0] == f"the server answers to {gateway[1]}"
    assert lines[1:11] == [f"answer: question {number}" for number in range(10)]
    assert lines[11:] == ["epoch 1"]


def test_the_code_of_the_readme(gateway: tuple[str, str], tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (HOME / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 3
    url, did = gateway
    path = tmp_path / "agent.key"
    path.write_bytes(SigningKey.generate().to_pem())
    for number, block in enumerate(blocks):
        code = block.replace("https://gateway.example:8480", url).replace("did:key:z6Mk…", did)
        script = tmp_path / f"block_{number}.py"
        script.write_text(code.replace('"agent.key"', repr(str(path))))
        run(str(script))
