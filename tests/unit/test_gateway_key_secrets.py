"""The gateway's keys as secrets hold them: every spelling, and what is none."""

from __future__ import annotations

import base64

import pytest

from sage_native import SigningKey
from sage_native.exceptions import ConfigurationError
from sage_native.gateway.key_secrets import (
    keks_of,
    new_keks,
    new_operator_token,
    new_signing_key,
    operator_token_of,
    signing_keys_of,
)

SEED = bytes(range(101, 133))
PUBLIC = SigningKey(SEED).verifying_key_bytes
KEY_TEXT = base64.b64encode(SEED).decode()
HEX = SEED.hex()


def pem() -> bytes:
    return SigningKey(SEED).to_pem()


SIGNING_KEYS = {
    "PKCS#8": pem(),
    "PKCS#8 with text around it": b"a comment\n" + pem() + b"\nanother\n",
    "PKCS#8 with carriage returns": pem().replace(b"\n", b"\r\n"),
    "OpenSSH": SigningKey(SEED).to_openssh(),
    "base64url": base64.urlsafe_b64encode(SEED),
    "base64url without padding": base64.urlsafe_b64encode(SEED).rstrip(b"="),
    "base64": base64.b64encode(SEED) + b"\n",
    "hex": HEX.encode() + b"\n",
}


@pytest.mark.parametrize("title", SIGNING_KEYS)
def test_spellings_of_signing_keys(title: str) -> None:
    (key,) = signing_keys_of("signing-key", SIGNING_KEYS[title])
    assert key.verifying_key_bytes == PUBLIC


def test_a_raw_seed() -> None:
    raw = bytes(range(200, 232))
    (key,) = signing_keys_of("signing-key", raw)
    assert key.verifying_key_bytes == SigningKey(raw).verifying_key_bytes


def test_several_blocks_are_several_keys_in_their_order() -> None:
    first, second = SigningKey.generate(), SigningKey(SEED)
    keys = signing_keys_of("signing-key", first.to_pem() + second.to_openssh())
    assert [key.did for key in keys] == [first.did, second.did]


NO_SIGNING_KEYS = {
    "nothing": b"",
    "white space": b" \n",
    "a password of 32 signs": b"correct-horse-battery-staple-123",
    "31 bytes": base64.b64encode(SEED[:31]),
    "33 bytes": base64.b64encode(SEED + b"x"),
    "one byte repeated": bytes(32),
    "text": b"no key at all",
    "a block that does not end": pem().partition(b"-----END")[0],
    "a block cut short": pem()[:-40],
    "a second block that does not end": pem() + pem().partition(b"-----END")[0],
    "an empty block": b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    "another kind of block": pem().replace(b"PRIVATE KEY", b"CERTIFICATE"),
    "an encrypted block": SigningKey(SEED).to_pem(password=b"a password of the test"),
    "no base64 inside": b"-----BEGIN PRIVATE KEY-----\n\xff\xfe\n-----END PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("title", NO_SIGNING_KEYS)
def test_what_is_no_signing_key(title: str) -> None:
    with pytest.raises(ConfigurationError, match="secret 'my-key' holds no Ed25519") as caught:
        signing_keys_of("my-key", NO_SIGNING_KEYS[title])
    assert_silent(caught.value, NO_SIGNING_KEYS[title])


def test_a_ring_of_keys() -> None:
    other = base64.b64encode(bytes(range(32))).decode()
    keys = keks_of("kek", f"\n kek-2 : {KEY_TEXT} \n\nkek-1:{other}\nkek-0:{HEX}\n".encode())
    assert [key.kek_id for key in keys] == ["kek-2", "kek-1", "kek-0"]


@pytest.mark.parametrize("text", [KEY_TEXT, HEX, KEY_TEXT.replace("=", "")])
def test_a_key_alone_is_called_like_its_secret(text: str) -> None:
    (key,) = keks_of("kek-2026", text.encode())
    assert key.kek_id == "kek-2026"


NO_KEKS = {
    "nothing": b"",
    "white space": b" \n\t\n",
    "a password": b"correct horse battery staple",
    "an id without key": b"kek-1:",
    "no separator": b"kek-1 " + KEY_TEXT.encode(),
    "no base64": b"kek-1:!!!",
    "31 bytes": b"kek-1:" + base64.b64encode(SEED[:31]),
    "33 bytes": b"kek-1:" + base64.b64encode(SEED + b"x"),
    "a placeholder": b"kek-1:" + base64.b64encode(bytes(32)),
    "a good line and a bad one": b"kek-1:" + KEY_TEXT.encode() + b"\nkek-2:short\n",
    "no UTF-8": b"\xff\xfe:\xfd",
}


@pytest.mark.parametrize("title", NO_KEKS)
def test_what_is_no_kek(title: str) -> None:
    with pytest.raises(ConfigurationError, match="secret 'my-kek'") as caught:
        keks_of("my-kek", NO_KEKS[title])
    assert_silent(caught.value, NO_KEKS[title])


@pytest.mark.parametrize("kek_id", ["", "x" * 300, "a\0b"])
def test_ids_that_rows_cannot_name(kek_id: str) -> None:
    with pytest.raises(ConfigurationError, match="secret 'my-kek'") as caught:
        keks_of("my-kek", f"{kek_id}:{KEY_TEXT}".encode())
    assert_silent(caught.value, KEY_TEXT.encode())


def test_operator_tokens() -> None:
    token = b"0123456789abcdef0123456789ABCDEF"
    assert operator_token_of("token", b" " + token + b"\r\n") == token


NO_TOKENS = (
    *(b"", b"0123456789abcdef0123456789ABCDE", b"0123456789abcdef 0123456789ABCDEF"),
    *("0123456789abcdef0123456789ABCDÉF".encode(), b"change-me-change-me-change-me-change-me"),
    b"a" * 64,
)


@pytest.mark.parametrize("content", NO_TOKENS)
def test_what_is_no_operator_token(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="secret 'my-token'") as caught:
        operator_token_of("my-token", content)
    assert_silent(caught.value, content)


def assert_silent(error: ConfigurationError, content: bytes) -> None:
    """Assert that an error shows no piece of a secret, and hides no other that does."""
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    for line in content.split():
        piece = line.rpartition(b":")[2].decode("latin-1")
        if len(piece) > 8 and not piece.startswith("-----"):
            assert piece not in str(error)


def test_what_is_made_is_read() -> None:
    made = signing_keys_of("signing-key", new_signing_key())
    assert len(made) == 1
    assert signing_keys_of("signing-key", new_signing_key())[0].did != made[0].did
    assert [key.kek_id for key in keks_of("kek", new_keks())] == ["kek-1"]
    assert new_keks() != new_keks()
    assert len(operator_token_of("token", new_operator_token())) >= 32
