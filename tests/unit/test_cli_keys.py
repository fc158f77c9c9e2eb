"""keygen, sign and verify: files, permissions, what others make of them, every refusal."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sage_native import SigningKey, UsageError, VerifyingKey
from sage_native.cli import app, files, key_files
from tests.command_line import openable, refused, run, run_without_root

if TYPE_CHECKING:
    from sage_native.cli.key_files import KeyForm

__all__ = ["openable"]

FORMS: tuple[KeyForm, ...] = ("pem", "openssh", "jwk", "raw")
PASSWORD = b"correct horse"


def invoke(*arguments: str | Path) -> int:
    return app.run([str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "agent.key"
    assert invoke("keygen", "--out", path) == 0
    return path


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_bytes(b"all is well\n")
    return path


def test_keygen_prints_the_did_and_writes_both_files(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    old_umask = os.umask(0o277)  # neither more nor less than 0600 may come of it
    try:
        done = run("keygen", "--out", path)
    finally:
        os.umask(old_umask)
    verifying_key = VerifyingKey.from_pem((tmp_path / "a.key.pub").read_bytes())
    assert done.stdout.decode() == verifying_key.did + "\n"
    assert SigningKey.from_pem(path.read_bytes()).did == verifying_key.did
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"{path}.pub" in done.stderr.decode()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.key", "a.key.pub"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_signs_and_verifies(form: KeyForm, tmp_path: Path, message: Path) -> None:
    key = tmp_path / "k"
    assert invoke("keygen", "--out", key, "--format", form) == 0
    assert invoke("sign", message, "--key", key) == 0
    assert invoke("verify", message, "--key", f"{key}.pub") == 0


@pytest.mark.parametrize("form", FORMS)
def test_forms_load_as_what_they_are(form: KeyForm, tmp_path: Path) -> None:
    with SigningKey.generate() as key:
        path = tmp_path / "k"
        path.write_bytes(key_files.encode_signing_key(key, form, None))
        assert key_files.load_signing_key(path, None).did == key.did
        path.write_bytes(key_files.encode_verifying_key(key.verifying_key, form))
        assert key_files.load_verifying_key(str(path)) == key.verifying_key


@pytest.mark.parametrize("beginning", [b"{", b" \n{", b"ssh-", b"-----BEGIN "])
def test_raw_keys_may_begin_like_anything(beginning: bytes, tmp_path: Path) -> None:
    seed = beginning.ljust(32, b"x")
    (tmp_path / "k").write_bytes(seed)
    assert key_files.load_signing_key(tmp_path / "k", None).did == SigningKey(seed).did


def test_keygen_refuses_to_overwrite(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = key.read_bytes()
    refused(run("keygen", "--out", key), f"'{key}'", "exists", "--force")
    assert key.read_bytes() == before
    (tmp_path / "other.pub").write_bytes(b"mine")
    assert invoke("keygen", "--out", tmp_path / "other") == 2
    assert "other.pub' exists" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert (tmp_path / "other.pub").read_bytes() == b"mine"


def test_keygen_does_not_follow_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "k").symlink_to(tmp_path / "elsewhere")
    assert invoke("keygen", "--out", tmp_path / "k") == 2
    assert not (tmp_path / "elsewhere").exists()


def test_force_replaces_whole_files(key: Path) -> None:
    key.chmod(0o644)
    before = key.read_bytes()
    assert invoke("keygen", "--out", key, "--force") == 0
    assert key.read_bytes() != before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in key.parent.iterdir()) == ["agent.key", "agent.key.pub"]
    signing_key = SigningKey.from_pem(key.read_bytes())
    assert signing_key.verifying_key.to_pem() == (key.parent / "agent.key.pub").read_bytes()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "directory"
    target.mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        files.write_private(target, b"x", force=True)
    assert list(tmp_path.iterdir()) == [target]
    refused(run("keygen", "--out", tmp_path / "no" / "k"), "cannot be written", "No such file")
    with pytest.raises(UsageError, match="cannot be written"):
        files.write_public(tmp_path / "missing" / "file", b"x", force=True)


def test_devices_are_not_replaced() -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        files.write_private(Path(os.devnull), b"x", force=True)
    assert Path(os.devnull).is_char_device()


def test_keygen_to_standard_output(tmp_path: Path) -> None:
    done = run("keygen", "--out", "-", cwd=tmp_path)
    assert SigningKey.from_pem(done.stdout).did in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_keygen_shows_no_key_to_a_terminal() -> None:
    reader, terminal = pty.openpty()
    code = "from sage_native.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "keygen", "--out", "-"],
        stdout=terminal,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(terminal)
    os.close(reader)
    refused(done, "--out -", "terminal", "--out FILE")


def test_password_protects_pem(
    tmp_path: Path, message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password, wrong, key = tmp_path / "pw", tmp_path / "wrong", tmp_path / "k"
    password.write_bytes(PASSWORD + b"\nnot this line\n")
    wrong.write_bytes(b"wrong")
    assert invoke("keygen", "--out", key, "--password-file", password) == 0
    assert b"ENCRYPTED" in key.read_bytes()
    SigningKey.from_pem(key.read_bytes(), password=PASSWORD)
    assert invoke("sign", message, "--key", key, "--password-file", password) == 0
    capsys.readouterr()
    assert invoke("sign", message, "--key", key) == 2
    assert "is encrypted; give --password-file" in capsys.readouterr().err
    assert invoke("sign", message, "--key", key, "--password-file", wrong) == 2
    assert "Incorrect password" in capsys.readouterr().err


def test_password_errors(
    key: Path, tmp_path: Path, message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = tmp_path / "pw"
    password.write_bytes(b"\n")
    assert invoke("keygen", "--out", tmp_path / "k", "--password-file", password) == 2
    assert "has no first line" in capsys.readouterr().err
    password.write_bytes(PASSWORD)
    for form in ("jwk", "raw"):
        arguments = ("--format", form, "--password-file", password)
        assert invoke("keygen", "--out", tmp_path / "k", *arguments) == 2
        assert f"--format {form} cannot be encrypted" in capsys.readouterr().err
    assert not (tmp_path / "k").exists()
    assert invoke("sign", message, "--key", key, "--password-file", password) == 2
    assert "leave out --password-file" in capsys.readouterr().err


def test_openssh_with_a_password_needs_bcrypt_or_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    (tmp_path / "pw").write_bytes(PASSWORD)
    with SigningKey.generate() as key, pytest.raises(UsageError, match="pip install bcrypt"):
        key_files.encode_signing_key(key, "openssh", PASSWORD)


def test_a_signature_is_plain_ed25519(key: Path, message: Path) -> None:
    done = run("sign", message, "--key", key)
    assert (done.returncode, done.stdout) == (0, b"")
    line = (message.parent / "report.txt.sig").read_bytes()
    assert line.endswith(b"\n")
    assert len(line) == 89
    raw = VerifyingKey.from_pem((key.parent / "agent.key.pub").read_bytes()).to_bytes()
    public = Ed25519PublicKey.from_public_bytes(raw)
    public.verify(base64.b64decode(line), message.read_bytes())
    did = SigningKey.from_pem(key.read_bytes()).did
    verified = run("verify", message, "--key", did)
    assert verified.returncode == 0
    assert verified.stdout.decode() == f"✓ {message} was signed by {did}\n"


def test_standard_input_and_output(key: Path, tmp_path: Path) -> None:
    signed = run("sign", "-", "--key", key, stdin=b"from a pipe")
    assert len(base64.b64decode(signed.stdout)) == 64
    (tmp_path / "s").write_bytes(signed.stdout)
    arguments = ("verify", "-", "--signature", tmp_path / "s", "--key", f"{key}.pub")
    assert run(*arguments, stdin=b"from a pipe").returncode == 0
    refused(run(*arguments, stdin=b"from a pipE"), "verification failed", status=1)
    refused(run("verify", "-", "--key", f"{key}.pub"), "give --signature")
    refused(run("sign", "-", "--key", "-", stdin=key.read_bytes()), "standard input", "twice")


def test_a_key_from_standard_input(key: Path, message: Path) -> None:
    assert run("sign", message, "--key", "-", stdin=key.read_bytes()).returncode == 0
    refused(run("sign", message, "--key", "-", stdin=b"?"), "signing key on standard input")


def test_verify_refuses(
    key: Path, message: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("sign", message, "--key", key) == 0
    with SigningKey.generate() as other:
        refused(run("verify", message, "--key", other.did), other.did, str(message), status=1)
    capsys.readouterr()
    pub, signature = f"{key}.pub", tmp_path / "s"
    for content, part in ((b"??", "is not base64"), (b"AAAA", "3 bytes"), (b"x" * 2000, "longer")):
        signature.write_bytes(content)
        assert invoke("verify", message, "--key", pub, "--signature", signature) == 2
        assert part in capsys.readouterr().err
    for wrong, part in (
        ("did:web:example.com", "does not spell an Ed25519 key"),
        (str(key), "this is a signing key"),
        (str(message), "none of the known forms"),
        (str(tmp_path / "no"), "does not exist"),
    ):
        assert invoke("verify", message, "--key", wrong) == 2
        assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"{", "is not JSON"),
        (b"[]", "none of the known forms"),
        (b'{"kty": "RSA"}', "JWK member 'kty'"),
        (b"-----BEGIN PUBLIC KEY-----", "this is a verifying key"),
        (b"ssh-ed25519 AAAA", "this is a verifying key"),
        (b"-----BEGIN PRIVATE KEY-----\nx", "PEM private key cannot be read"),
        (b"x" * 33, "none of the known forms"),
        (b"x" * 70_000, "longer than 64 KiB"),
    ],
)
def test_sign_says_what_is_wrong_with_a_key(
    content: bytes, part: str, tmp_path: Path, message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "k"
    key.write_bytes(content)
    assert invoke("sign", message, "--key", key) == 2
    error = capsys.readouterr().err
    assert part in error
    assert f"signing key '{key}'" in error


def test_a_private_jwk_is_no_verifying_key(
    tmp_path: Path, message: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "k"
    assert invoke("keygen", "--out", path, "--format", "jwk") == 0
    assert "d" in json.loads(path.read_bytes())
    assert invoke("sign", message, "--key", path) == 0
    assert invoke("verify", message, "--key", path) == 2
    assert "this is a signing key" in capsys.readouterr().err


def test_sign_refuses(
    key: Path, message: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("sign", message, "--key", key) == 0
    assert invoke("sign", message, "--key", key) == 2
    assert "report.txt.sig' exists" in capsys.readouterr().err
    assert invoke("sign", message, "--key", key, "--force") == 0
    assert invoke("sign", tmp_path, "--key", key) == 2
    assert "is a directory" in capsys.readouterr().err
    assert invoke("sign", tmp_path / "no", "--key", key) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "pad").write_bytes(b" " * 64 + b"x")
    assert invoke("sign", tmp_path / "pad", "--key", key) == 2
    assert "pad' cannot be signed: message must not begin with 64 spaces" in capsys.readouterr().err


def test_the_size_limit_is_named(message: Path) -> None:
    with pytest.raises(UsageError, match=r"file '.*' is longer than 11 bytes, the most"):
        files.read(message, "file", max_len=11)
    assert files.read(message, "file", max_len=12) == message.read_bytes()


def test_an_unreadable_key_is_named(openable: Path) -> None:
    key = openable / "k"
    key.write_bytes(bytes(32))
    key.chmod(0)
    refused(run_without_root("sign", "x", "--key", key), f"signing key '{key}' may not be read")
