"""``sage-native pseudonym``: the names that an operator finds in the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.gateway.observing import pseudonyms_of
from tests.command_line import refused, run
from tests.gateways import gateway_settings

if TYPE_CHECKING:
    from pathlib import Path

DID, SESSION_ID = "did:example:alice", "01234567-89ab-cdef-0123-456789abcdef"


def test_ids_have_the_names_of_the_logs(tmp_path: Path) -> None:
    settings = gateway_settings(tmp_path)
    named = pseudonyms_of(settings)
    expected = f"{named.of_did(DID)}\n{named.of_session(SESSION_ID)}\n"
    options = ("--profile", "dev", "--set", f"state_dir={settings.state_dir}")
    for _ in range(2):
        assert run("pseudonym", DID, SESSION_ID, *options).stdout.decode() == expected
    (settings.state_dir / "pseudonym.key").unlink()
    assert run("pseudonym", DID, *options).stdout.decode() != f"{named.of_did(DID)}\n"


def test_a_gateway_must_be_named() -> None:
    refused(run("pseudonym", DID, env={"SAGE_ENV": ""}), "no profile is chosen", status=1)
