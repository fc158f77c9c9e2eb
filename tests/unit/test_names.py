"""Tests that share a name do not go to several processes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.walks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TWINS = """
def pytest_collection_modifyitems(items):
    items.append(items[0])
"""


@pytest.mark.parametrize(
    ("conftest", "process_count", "status"), [(TWINS, 2, 4), (TWINS, 0, 0), ("", 2, 0)]
)
def test_a_name_that_is_shared_ends_the_run(
    conftest: str, process_count: int, status: int, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.names", "-p", "no:cacheprovider"),
            *("--numprocesses", str(process_count), "--dist", "loadfile"),
            *("--rootdir", tmp_path, tmp_path),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert ("several tests have one name" in done.stdout + done.stderr) == (status != 0)
