"""The table of known sessions that a client hands to ``finish`` may be any container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sage_native import AuthenticationError
from tests.agents import NOW_MS, Agents

CLOSES_THE_KEY = """
from tests.agents import NOW_MS, Agents

agents = Agents(signed=True)

class Known:
    def __contains__(self, session_id):
        agents.alice.close()
        return False

attempt = agents.initiator.initiate(now_ms=NOW_MS)
reply, _ = agents.responder.respond(attempt.message, now_ms=NOW_MS)
m3, session = attempt.finish(reply, known=Known(), now_ms=NOW_MS)
assert (len(m3), session.state, agents.alice.closed) == (112, "open", True)
"""


class Unreachable:
    """A table whose look-up fails."""

    def __contains__(self, session_id: object) -> bool:
        raise ConnectionError


def test_the_table_may_run_code_that_needs_the_key() -> None:
    """No lock is held meanwhile; in a process of its own, for a deadlock would hold the lock."""
    command = [sys.executable, "-c", CLOSES_THE_KEY]
    root = Path(__file__).parents[2]
    subprocess.run(command, cwd=root, check=True, timeout=30)


def test_an_error_of_the_table_is_raised_and_spends_the_attempt() -> None:
    agents = Agents()
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply, _ = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    with pytest.raises(ConnectionError):
        attempt.finish(reply, known=Unreachable(), now_ms=NOW_MS)
    assert attempt.closed


def test_the_table_is_asked_last() -> None:
    agents = Agents()
    attempt = agents.initiator.initiate(now_ms=NOW_MS)
    reply, _ = agents.responder.respond(attempt.message, now_ms=NOW_MS)
    with pytest.raises(AuthenticationError):
        attempt.finish(reply[:-1] + b"\0\0", known=Unreachable(), now_ms=NOW_MS)
