"""Which tests may be skipped where everything is installed: in CI, where ``.ci/run`` sets SAGE_CI.

Elsewhere a test that lacks a program is skipped and says so. In CI nobody would miss it, so a skip
that is not listed here fails there.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ALLOWED", "is_allowed", "pytest_make_collect_report", "pytest_runtest_makereport"]

ALLOWED: Final = {
    r"nginx is not installed": "its file is held against the settings all the same",
    r"golang-migrate is not installed": "Debian has no package of it; the form of the files is "
    "tested",
    r"granian waits for ever for a client that does not read": "a fault of another server, under "
    "which the application is tried",
    r"systemd-analyze is not installed": "what the unit says is held against the settings",
    r"--benchmark-skip": "benchmarks run by `make bench-python`",
}
"""Patterns of the reasons for which a test may be skipped in CI, and why that is well."""

_LISTED = re.compile("|".join(ALLOWED))


def is_allowed(reason: str) -> bool:
    """Tell whether a test may be skipped for this reason, wherever it runs."""
    return "SAGE_CI" not in os.environ or _LISTED.search(reason) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail that is skipped and may not be; an expected failure is not skipped."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do so with a whole file."""
    report = yield
    if report.skipped:
        _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, and tests/skips.py does not list it: {reason}"
