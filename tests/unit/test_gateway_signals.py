"""A supervisor waits until there is something to do, and misses nothing meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage_native.gateway.signals import Signals

ENOUGH_S = 20.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_waits_no_longer(number: int) -> None:
    with Signals() as signals:
        assert not signals.pause(0.0)
        signal.raise_signal(number)
        signals.wait()  # it came before
        assert signals.pause(ENOUGH_S)
        assert signals.is_told


def test_the_end_of_a_process_ends_a_wait() -> None:
    with Signals() as signals, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as one:
        assert one.stdin is not None
        threading.Timer(0.05, one.stdin.close).start()
        while one.poll() is None:
            signals.wait()
        assert not signals.is_told


def test_what_can_be_read_ends_a_wait_and_is_told_from_a_signal() -> None:
    reading, writing = os.pipe()
    try:
        with Signals() as signals:
            assert not signals.wait(0.0, readable=reading)
            signal.raise_signal(signal.SIGCHLD)
            assert not signals.wait(readable=reading)
            os.write(writing, b"1")
            assert signals.wait(readable=reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_what_was_there_before_is_there_again() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    files = set(Path("/proc/self/fd").glob("*"))
    with Signals():
        assert signal.getsignal(signal.SIGCHLD) not in {signal.SIG_DFL, signal.SIG_IGN}
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert set(Path("/proc/self/fd").glob("*")) == files
