"""One session in several processes: no key and nonce twice, one receiver, one decider."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EACH = 20_000


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Return what ``forks.py`` found."""
    command = [sys.executable, "-m", "tests.security.forks", str(EACH)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_no_key_and_nonce_twice(told: dict[str, Any]) -> None:
    """fork after set-up, both seal; two workers, one session"""
    child = told["child"]
    parts = [
        *(told["before"], told["after"], told["sibling"], told["restarted"]),
        *(child["seals"], child["grandchild"], child["after"]),
    ]
    slots = [slot for part in parts for slot in part]
    assert len(slots) == 5 * EACH + 20
    assert len(set(slots)) == len(slots)


def test_every_process_has_its_own_incarnation(told: dict[str, Any]) -> None:
    """fork after set-up, both seal; two workers, one session"""
    child = told["child"]
    parts = [
        told["before"],
        told["sibling"],
        told["restarted"],
        child["seals"],
        child["grandchild"],
    ]
    incarnations = [{slot[:32] for slot in part} for part in parts]
    assert [len(mine) for mine in incarnations] == [1] * 5
    assert len(set.union(*incarnations)) == 5
    assert {slot[:32] for slot in told["after"]} == incarnations[0], "the parent goes on as before"
    assert {slot[:32] for slot in child["after"]} == incarnations[3], "and so does the child"


@pytest.mark.parametrize("step", ["open", "ask", "answer", "wrap"])
def test_a_child_does_not_decide(told: dict[str, Any], step: str) -> None:
    assert "came here by fork" in told["child"][step]


def test_the_parent_still_opens(told: dict[str, Any]) -> None:
    assert told["parent opens"]
