"""The directory that the workers of one gateway share."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage_native.exceptions import ConfigurationError, StorageError
from sage_native.gateway import state
from sage_native.gateway.state import StateDirectory


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_private(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "a" / "b")
    assert mode_of(directory.path) == 0o700
    assert directory.replay_path.parent == directory.windows_path.parent == directory.path
    assert directory.replay_path != directory.windows_path
    StateDirectory(tmp_path / "a" / "b")


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o704, 0o750, 0o755, 0o777, 0o720])
def test_others_may_not_look(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 700 {path}"):
        StateDirectory(path)
    assert mode_of(path) == mode, "nothing is changed behind the operator's back"


def test_it_belongs_to_whom_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    StateDirectory(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="belongs to user"):
        StateDirectory(path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is not a directory"):
        StateDirectory(path)
    with pytest.raises(StorageError, match="cannot be made"):
        StateDirectory(path / "below")


def test_one_challenge_key_for_all(tmp_path: Path) -> None:
    one, other = StateDirectory(tmp_path / "state"), StateDirectory(tmp_path / "state")
    key = one.challenge_key()
    assert len(key) == 32
    assert other.challenge_key() == one.challenge_key() == key
    assert mode_of(one.path / "challenge.key") == 0o600
    assert StateDirectory(tmp_path / "another").challenge_key() != key


def test_another_challenge_key_after_a_start_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    monkeypatch.setattr(state, "_BOOT_ID", boot)
    directory = StateDirectory(tmp_path / "state")
    first = directory.challenge_key()
    assert directory.challenge_key() == first
    boot.write_text("second\n")
    second = directory.challenge_key()
    assert second != first
    assert directory.challenge_key() == second


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"00\n", b"zz" * 32, b"\xff" * 64, b"0" * 64, b"0" * 66 + b"\n"]
)
def test_a_damaged_challenge_key_is_drawn_anew(tmp_path: Path, content: bytes) -> None:
    directory = StateDirectory(tmp_path / "state")
    (directory.path / "challenge.key").write_bytes(content)
    key = directory.challenge_key()
    assert len(key) == 32
    assert directory.challenge_key() == key


def test_digits_that_are_none(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    right = directory.challenge_key()
    path = directory.path / "challenge.key"
    _, _, boot = path.read_bytes().partition(b"\n")
    path.write_bytes(b"zz" * 32 + b"\n" + boot)
    drawn = directory.challenge_key()
    assert drawn != right
    assert directory.challenge_key() == drawn


def test_the_lock_is_held_by_one(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with StateDirectory(directory.path).locked():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_lock_ends_with_an_error_inside(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(ZeroDivisionError), directory.locked():
            raise ZeroDivisionError
    assert len(list(Path("/dev/fd").iterdir())) == before


SCRIPT = """
import sys
from pathlib import Path
from sage_native.gateway.state import StateDirectory
print(StateDirectory(Path(sys.argv[1])).challenge_key().hex())
"""


def test_processes_that_start_together_share_the_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "state")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    keys = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64
