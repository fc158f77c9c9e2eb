"""In CI a test is skipped for the reasons that are listed, or fails."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.docs.walks import ROOT
from tests.skips import ALLOWED, is_allowed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SKIPPING = """
import pytest

@pytest.mark.skip(reason="nginx is not installed")
def test_listed(): pass

def test_unlisted(): pytest.skip("prometheus is not installed")

@pytest.mark.xfail(reason="a fault of others")
def test_expected(): assert False
"""
WHOLE_FILE = """
import pytest

pytest.importorskip("a_package_that_nobody_has")
"""


def outcome_of(text: str, folder: Path, **environment: str) -> str:
    (folder / "test_it.py").write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", "-p", "no:cacheprovider"),
            *("--rootdir", folder, folder),
        ],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()[-1]


def test_what_is_not_listed_fails_in_ci_alone(tmp_path: Path) -> None:
    assert "2 skipped, 1 xfailed in" in outcome_of(SKIPPING, tmp_path)
    assert "1 failed, 1 skipped, 1 xfailed in" in outcome_of(SKIPPING, tmp_path, SAGE_CI="1")


def test_so_does_a_whole_file(tmp_path: Path) -> None:
    assert "1 skipped in" in outcome_of(WHOLE_FILE, tmp_path)
    assert "1 error in" in outcome_of(WHOLE_FILE, tmp_path, SAGE_CI="1")


def test_ci_says_that_it_is_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(r"^export SAGE_CI=1$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
    monkeypatch.setenv("SAGE_CI", "1")
    assert not is_allowed("chromium is not installed")
    assert not is_allowed("prometheus is not installed")


def test_reasons_on_the_list_are_given_somewhere() -> None:
    sources = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "tests").rglob("*.py")
        if path.name not in ("skips.py", "test_skips.py")
    )
    ours = [reason for reason in ALLOWED if not reason.startswith("--")]
    assert ours
    for reason in ours:
        assert reason in sources, reason
