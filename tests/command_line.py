"""Running ``sage-native`` as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PROGRAM = Path(sysconfig.get_path("scripts")) / "sage-native"
TIMEOUT_S = 60
NOBODY = 65534
# A process that has given up being root sees what any user sees. What it needs is imported, and
# has printed once, before: its own installation may lie where only root can read.
AS_NOBODY = f"""
import os, sys
from sage_native.cli.app import run
run(["demo", os.devnull])
print("--", file=sys.stderr)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.exit(run(sys.argv[1:]))
"""


def run(
    *arguments: str | Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the installed entry point."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )


def run_without_root(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run as a user whom permissions bind."""
    if os.geteuid() != 0:
        return run(*arguments)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, arguments)],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    done.stderr = done.stderr.partition(b"--\n")[2]
    return done


def refused(done: subprocess.CompletedProcess[bytes], *parts: str, status: int = 2) -> None:
    """Assert that a run ended with one error message, which holds these parts."""
    text = done.stderr.decode()
    assert done.returncode == status, text
    assert text.startswith("error: "), text
    assert text.count("\n") == 1, text
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


@pytest.fixture
def openable(tmp_path: Path) -> Path:
    """Return a directory below which every user may look."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    return tmp_path
