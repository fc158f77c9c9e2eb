"""One SQLite file and several processes: killed under load, at the same nonces, and forked."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from sage_native.storage import Outcome, RequestNonce
from tests.integration.sqlite_scripts import SCOPE, nonce, open_storage, until_ms

ROOT = Path(__file__).parents[2]


class Process:
    """A script, and what it printed, read as it is printed."""

    def __init__(self, name: str, path: Path, *numbers: int) -> None:
        words = [sys.executable, "-m", "tests.integration.sqlite_scripts", name, str(path)]
        self._process = subprocess.Popen(
            [*words, *map(str, numbers)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            self.lines.extend(map(str.strip, output))

    def wait(self) -> list[str]:
        assert self._process.wait() == 0
        self._reader.join()
        return self.lines

    def kill_after(self, seconds: float) -> list[int]:
        """Kill it a while after it got going; return the numbers that it was given an answer on."""
        while "ready" not in self.lines and self._process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)
        self._process.kill()
        self._process.wait()
        self._reader.join()
        return [int(line) for line in self.lines if line.isdigit()]


def accepted(lines: list[str]) -> list[int]:
    return [int(line) for line in lines if line.isdigit()]


async def test_two_processes_accept_each_nonce_once(tmp_path: Path) -> None:
    path = tmp_path / "sage.db"
    await (await open_storage(path)).aclose()
    # 4 x 10^4 presentations of 10^4 nonces.
    processes = [Process("present", path, seed, 10_000, 500) for seed in (1, 2)]
    printed = [process.wait() for process in processes]
    counts = Counter(number for lines in printed for number in accepted(lines))
    assert set(counts) == set(range(10_000))
    assert set(counts.values()) == {1}
    # Neither was kept out.
    assert all(len(accepted(lines)) > 500 for lines in printed)


async def test_kill_9_forgets_no_answer_and_accepts_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "sage.db"
    await (await open_storage(path)).aclose()
    moments = random.Random(9)
    counts: Counter[int] = Counter()
    round_count = 0
    for seed in range(10):
        numbers = Process("present", path, seed, 40_000, 200).kill_after(moments.random() / 2)
        counts.update(numbers)
        round_count += bool(numbers)
    assert round_count >= 5
    assert len(counts) > 500
    assert set(counts.values()) == {1}
    async with await open_storage(path) as storage:
        assert await storage.nonces.count() >= len(counts)
        requests = [RequestNonce(SCOPE, nonce(number), until_ms()) for number in counts]
        outcomes = await storage.nonces.admit_many(requests)
        assert set(outcomes) == {Outcome.REPLAY}


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    (line,) = Process("full", tmp_path / "sage.db").wait()
    words = line.split()
    assert int(words[1]) > 0
    assert words[2:] == ["twice", "0"]


def test_a_file_that_may_not_be_written_is_refused() -> None:
    # Not below pytest's directory, which other users may not enter.
    with tempfile.TemporaryDirectory() as directory:
        lines = Process("read-only", Path(directory) / "sage.db").wait()
    assert lines[0].startswith("refused: ")
    assert lines[1:] == ["accepted"]


def test_a_child_must_open_the_store_again(tmp_path: Path) -> None:
    lines = Process("fork", tmp_path / "sage.db").wait()
    assert [line.startswith("child: the SQLite database") for line in lines[:2]] == [True, True]
    assert all("open the store again after a fork" in line for line in lines[:2])
    assert lines[2:] == ["parent goes on"]
