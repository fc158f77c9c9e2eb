"""The storms of ``make storm``, short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.storm import distinct, duplicates, kills, windows

if TYPE_CHECKING:
    from pathlib import Path


def test_every_process_presents_every_nonce(tmp_path: Path) -> None:
    """8 processes, a million nonces each: exactly one gets each of them."""
    verdict = duplicates.storm(tmp_path / "replays", 1_000_000)
    assert (verdict.process_count, verdict.nonce_count) == (8, 1_000_000)
    assert verdict.passed, verdict


def test_ten_million_nonces_are_all_admitted() -> None:
    verdict = distinct.storm(10_000_000)
    assert verdict.nonce_count == 10_000_000
    assert verdict.passed, verdict


def test_workers_are_killed(tmp_path: Path) -> None:
    verdict = kills.storm(tmp_path / "replays", seconds=6)
    assert verdict.kill_count > 20
    assert verdict.passed, verdict


def test_workers_that_share_windows_are_killed(tmp_path: Path) -> None:
    verdict = windows.storm(tmp_path / "windows", seconds=4)
    assert verdict.kill_count > 10
    assert verdict.passed, verdict
