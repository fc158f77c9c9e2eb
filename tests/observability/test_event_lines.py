"""Which events the log listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native import events
from sage_native.observability.event_lines import EventLog
from sage_native.observability.logging import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native.observability.logging import Level

ERRORS = {events.HandshakeFinished, events.StoreFailed}
WARNINGS = ERRORS | {events.ReplayRefused, events.OperatorActed}
DEBUG = {events.SessionRekeyed, events.SessionStarted}
# Refused requests have lines of their own, and answers of stores are for metrics.
INFO = {*events.KINDS} - DEBUG - {events.RequestRefused, events.StoreAnswered}


@pytest.mark.parametrize(
    ("level", "kinds"),
    [("error", ERRORS), ("warning", WARNINGS), ("info", INFO), ("debug", INFO | DEBUG)],
)
def test_the_log_listens_to_what_may_have_a_line(
    level: Level, kinds: set[type[events.Event]], tmp_path: Path
) -> None:
    output = configure_logging(level=level, format="json", output=str(tmp_path / "log"))
    try:
        assert set(EventLog(output).kinds) == kinds
    finally:
        output.close()


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (events.HandshakeFinished("refused", "ed25519", None, None, None, None), None),
        (events.HandshakeFinished("failed", "ed25519", None, None, None, None), "error"),
        (events.OperatorActed("did_revoked", "did:example:a", "done"), None),
        (events.OperatorActed("token_refused", None, "refused"), "warning"),
    ],
)
def test_what_is_worse_is_told_at_a_level_of_its_own(
    event: events.Event, level: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    output = configure_logging(level="warning", format="json", output=str(path))
    EventLog(output)(event)
    output.close()
    text = path.read_text()
    assert (f'"level":"{level}"' in text) if level else not text
