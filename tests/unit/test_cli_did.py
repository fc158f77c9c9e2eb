"""``sage-native did``: who is registered, revoked, listed."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest

from sage_native import SigningKey, VerifyingKey
from sage_native.cli import app
from tests.command_line import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an empty database, sage.db."""
    monkeypatch.chdir(tmp_path)
    for name in ("SAGE_DATABASE_URL", "SAGE_KEK", "SAGE_ENV"):
        monkeypatch.delenv(name, raising=False)
    assert app.run(["db", "migrate"]) == 0
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    capsys.readouterr()

    def call(*arguments: str | Path) -> str:
        status = app.run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return call


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    capsys.readouterr()

    def fail(*arguments: str | Path, status: int = 2) -> str:
        assert app.run([str(argument) for argument in arguments]) == status
        message = capsys.readouterr().err
        assert message.startswith("error: "), message
        return message

    return fail


def listed(call: Callable[..., str], *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in call("did", "list", "--json", *arguments).splitlines()]


def test_keys_come_from_files_dids_and_base64(call: Callable[..., str]) -> None:
    files, keys = [], []
    for form in ("pem", "openssh", "jwk", "raw"):
        did = call("keygen", "--out", f"{form}.key", "--format", form).strip()
        files.append(f"{form}.key.pub")
        keys.append(VerifyingKey.from_did(did).to_bytes())
    spelled, typed = SigningKey.generate(), SigningKey.generate()
    text = base64.urlsafe_b64encode(typed.verifying_key.to_bytes()).rstrip(b"=").decode()
    printed = call(
        *("did", "add", "did:sage:alice", "--key", *files, "--key", spelled.did),
        *("--key-base64", text, "--owner", "team a"),
    )
    assert printed == "did:sage:alice\n"
    (record,) = listed(call)
    assert (record["did"], record["owner"]) == ("did:sage:alice", "team a")
    assert record["revoked_ms"] is None
    found = record["keys"]
    keys += [key.verifying_key.to_bytes() for key in (spelled, typed)]
    assert found == [base64.b64encode(key).decode() for key in keys]
    assert "did:sage:alice  6 keys  " in call("did", "list")


def test_a_did_key_needs_no_key_beside_it(call: Callable[..., str]) -> None:
    key = SigningKey.generate()
    call("did", "add", key.did)
    (record,) = listed(call)
    assert record["keys"] == [base64.b64encode(key.verifying_key.to_bytes()).decode()]


def test_what_is_no_registration_is_refused(
    call: Callable[..., str], fail: Callable[..., str]
) -> None:
    call("keygen")
    key = SigningKey.generate().did
    assert "does not spell a key: give --key FILE" in fail("did", "add", "did:sage:a")
    assert "DID" in fail("did", "add", "alice", "--key", key)
    assert "this is a signing key" in fail("did", "add", "did:sage:a", "--key", "agent.key")
    assert "is not base64" in fail("did", "add", "did:sage:a", "--key-base64", "?")
    assert "holds 3 bytes; a verifying key has 32" in fail(
        "did", "add", "did:sage:a", "--key-base64", "AAAA"
    )
    small_order = base64.b64encode(bytes(32)).decode()
    fail("did", "add", "did:sage:a", "--key-base64", small_order)
    assert "twice" in fail("did", "add", "did:sage:a", "--key", key, "--key", key)
    assert "no other" in fail("did", "add", key, "--key", SigningKey.generate().did)
    assert listed(call) == []
    call("did", "add", "did:sage:a", "--key", key)
    assert "did:sage:a" in fail("did", "add", "did:sage:a", "--key", key, status=1)


def test_a_revocation_ends_the_sessions_in_every_store(
    call: Callable[..., str], fail: Callable[..., str], place: Path
) -> None:
    call("db", "new-kek", "k")
    call("db", "seed", "dev", "--kek", "k1=k")
    call("db", "backup", "b")
    beside = "sqlite:///beside.db"
    call("db", "migrate", "--database", beside)
    call("db", "restore", "b", "--database", beside)
    printed = call("did", "revoke", "did:sage:dev-bob", "--sessions-in", beside)
    for store in ("initiator", "responder"):
        for name in ("sage.db", "beside.db"):
            assert f"2 of {store} in the SQLite database {name} ended" in printed
    for arguments in ((), ("--database", beside)):
        assert json.loads(call("db", "status", "--json", *arguments))["sessions"] == {
            "initiator": 3,
            "responder": 3,
        }
    revoked = [record["did"] for record in listed(call) if record["revoked_ms"] is not None]
    assert revoked == ["did:sage:dev-bob", "did:sage:dev-mallory"]
    assert "revoked 20" in call("did", "list")
    call("did", "revoke", "did:sage:dev-bob")  # again: nothing changes
    key = SigningKey.generate().did
    fail("did", "add", "did:sage:dev-bob", "--key", key, status=1)
    assert "did:sage:nobody is not registered" in fail("did", "revoke", "did:sage:nobody", status=1)
    assert "DID" in fail("did", "revoke", "nobody")
    assert place.exists()


def test_a_did_key_that_nobody_registered_can_be_revoked(call: Callable[..., str]) -> None:
    did = SigningKey.generate().did
    call("did", "revoke", did)
    (record,) = listed(call)
    assert record["did"] == did
    assert record["revoked_ms"] is not None


def test_a_list_is_of_one_owner_or_all_and_obeys_no_owner(call: Callable[..., str]) -> None:
    owners = ["\x1b[31mred\n", "b", "b"]
    for number, owner in enumerate(owners):
        key = SigningKey.generate().did
        call("did", "add", f"did:sage:agent-{number}", "--key", key, "--owner", owner)
    assert [record["did"] for record in listed(call, "--owner", "b")] == [
        "did:sage:agent-1",
        "did:sage:agent-2",
    ]
    assert listed(call, "--owner", "nobody") == []
    printed = call("did", "list")
    assert printed.count("\n") == 3
    assert r"of \x1b[31mred\n" in printed
    assert "\x1b" not in printed
    assert listed(call)[0]["owner"] == owners[0]


def test_a_long_list_has_every_did_once(call: Callable[..., str]) -> None:
    call("db", "new-kek", "k")
    for _ in range(5):
        call("db", "seed", "staging", "--kek", "k1=k", "--force")
    dids = [record["did"] for record in listed(call)]
    assert len(dids) == len(set(dids)) == 510
    assert json.loads(call("db", "status", "--json"))["dids"] == 510


def test_as_a_user_runs_it(place: Path) -> None:
    did = SigningKey.generate().did
    done = run("did", "add", did, cwd=place)
    assert (done.stdout.decode(), done.stderr) == (f"{did}\n", b"registered with 1 key\n")
    assert run("did", "list", cwd=place).stdout.startswith(did.encode())


def test_a_store_that_is_down_keeps_nobody_from_the_others(
    call: Callable[..., str], fail: Callable[..., str]
) -> None:
    call("db", "new-kek", "k")
    beside = "sqlite:///beside.db"
    call("db", "migrate", "--database", beside)
    call("db", "seed", "dev", "--kek", "k1=k")
    call("db", "seed", "dev", "--kek", "k1=k", "--database", beside)
    others = ("--sessions-in", "redis://127.0.0.1:1", "--sessions-in", beside)
    text = fail("did", "revoke", "did:sage:dev-bob", *others, status=1)
    assert "did:sage:dev-bob is revoked, but its sessions could not be ended everywhere" in text
    assert "127.0.0.1:1" in text
    assert "sessions" not in call("did", "revoke", "did:sage:dev-bob", "--sessions-in", beside)


@pytest.mark.parametrize("length", [32, 64])
@pytest.mark.parametrize("spell", [bytes.hex, lambda key: base64.b64encode(key).decode()])
def test_what_may_be_a_key_is_not_shown(
    fail: Callable[..., str], length: int, spell: Callable[[bytes], str]
) -> None:
    key = spell(os.urandom(length))
    for arguments in (("--key", key), ("--key-base64", key + "!"), ("--key-base64", "A" + key)):
        assert key not in fail("did", "add", "did:sage:x", *arguments)
    assert key not in fail("db", "rewrap", "--kek", f"k={key}")
