"""Runs every storm for so many seconds in all, and prints one line each.

The exit code is 1 if something was admitted twice, or refused without a reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import distinct, duplicates, kills, windows

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240, help="about, for all of them")
    seconds = parser.parse_args().seconds
    passed = True
    with tempfile.TemporaryDirectory() as directory:
        for verdict in _storms(Path(directory), seconds):
            print(verdict, flush=True)
            passed &= verdict.passed
    print(f"storm: {'PASS' if passed else 'FAIL'}")
    sys.exit(not passed)


def _storms(
    directory: Path, seconds: float
) -> Iterator[duplicates.Duplicates | distinct.Distinct | kills.Kills | windows.Windows]:
    yield duplicates.storm(directory / "duplicates", max(1_000_000, int(seconds * 40_000)))
    yield distinct.storm(max(10_000_000, int(seconds * 100_000)))
    yield kills.storm(directory / "kills", seconds * 0.5)
    yield windows.storm(directory / "windows", seconds * 0.2)


if __name__ == "__main__":
    main()
