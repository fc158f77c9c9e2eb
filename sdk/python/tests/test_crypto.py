"""Identities from files and bytes in every form, and from what is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey

from sage_client import load_identity, load_server_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey(bytes(range(32)))
IDENTITIES = {
    "raw": KEY.to_bytes(),
    "pem": KEY.to_pem(),
    "openssh": KEY.to_openssh(),
    "jwk": json.dumps(KEY.to_jwk()).encode(),
}
SERVER_KEYS = {
    "raw": KEY.verifying_key.to_bytes(),
    "pem": KEY.verifying_key.to_pem(),
    "openssh": KEY.verifying_key.to_openssh(),
    "jwk": json.dumps(KEY.verifying_key.to_jwk()).encode(),
    "did": KEY.did.encode() + b"\n",
}


@pytest.mark.parametrize("form", IDENTITIES)
def test_an_identity(form: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    path.write_bytes(IDENTITIES[form])
    for source in (IDENTITIES[form], path, str(path)):
        assert load_identity(source).did == KEY.did
    assert load_identity(KEY) is KEY


@pytest.mark.parametrize("form", SERVER_KEYS)
def test_a_server_key(form: str, tmp_path: Path) -> None:
    path = tmp_path / "server.pub"
    path.write_bytes(SERVER_KEYS[form])
    for source in (SERVER_KEYS[form], path, str(path), KEY.did, KEY.verifying_key):
        assert load_server_key(source) == KEY.verifying_key


def test_an_encrypted_identity() -> None:
    data = KEY.to_pem(password=b"open")
    assert load_identity(data, password=b"open").did == KEY.did
    for password in (b"wrong", None):
        with pytest.raises(UsageError):
            load_identity(data, password=password)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (SERVER_KEYS["pem"], "this is a verifying key"),
        (SERVER_KEYS["openssh"], "this is a verifying key"),
        (b"", "0 bytes of no known form"),
        (b"x" * 33, "33 bytes of no known form"),
        (b"{", "is not JSON"),
    ],
)
def test_no_identity(data: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_identity(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (IDENTITIES["pem"], "this is a signing key"),
        (IDENTITIES["openssh"], "this is a signing key"),
        (b"x" * 33, "33 bytes of no known form"),
        (b"{", "is not JSON"),
        (bytes([1]) + bytes(31), "small order|order"),
    ],
)
def test_no_server_key(data: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_server_key(data)


def test_a_signing_key_as_jwk_is_no_server_key() -> None:
    with pytest.raises(UsageError, match="this is a signing key"):
        load_server_key(IDENTITIES["jwk"])


def test_files_that_are_none(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(1 << 17))
    for path in (tmp_path / "none", tmp_path, large):
        for load in (load_identity, load_server_key):
            with pytest.raises(UsageError, match=str(path)):
                load(path)


def test_errors_hold_no_secret() -> None:
    seed = b"secret-secret-secret-secret-secr"
    with pytest.raises(UsageError) as caught:
        load_identity(b'{"d": "' + seed + b'"')
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
