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
    refused(run("pseudonym", DID, *options), "pseudonym.key does not exist", status=1)
    assert not (settings.state_dir / "pseudonym.key").exists(), "no log has names under a new one"
    assert pseudonyms_of(settings).of_did(DID) != named.of_did(DID)


def test_no_directory_is_made_where_no_gateway_runs(tmp_path: Path) -> None:
    options = ("--profile", "dev", "--set", f"state_dir={tmp_path / 'elsewhere'}")
    refused(run("pseudonym", DID, *options), "pseudonym.key does not exist", status=1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_gateway_must_be_named() -> None:
    refused(run("pseudonym", DID, env={"SAGE_ENV": ""}), "no profile is chosen", status=1)
