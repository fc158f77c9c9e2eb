"""Secrets in the environment, and the rules that every provider shares."""

from __future__ import annotations

import copy
import pickle

import pytest

from sage_native import UsageError
from sage_native.config.secrets import (
    MAX_SECRET_LEN,
    SecretNotFoundError,
    SecretRefusedError,
    checked_name,
)
from sage_native.config.secrets.env import EnvProvider
from sage_native.exceptions import ConfigurationError
from tests.watch import Watch


async def test_a_name_is_a_variable() -> None:
    environ = {"SAGE_SECRET_SIGNING_KEY": "-----BEGIN\nx\n", "KEY_KEK": "ü\udcff"}
    assert await EnvProvider(environ=environ).get("signing-key") == b"-----BEGIN\nx\n"
    # Bytes that are no text come back as they were given.
    assert await EnvProvider(environ=environ, prefix="KEY_").get("kek") == "ü".encode() + b"\xff"


async def test_the_process_s_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = EnvProvider()
    with pytest.raises(SecretNotFoundError, match="SAGE_SECRET_OPERATOR_TOKEN, or choose another"):
        await provider.get("operator-token")
    monkeypatch.setenv("SAGE_SECRET_OPERATOR_TOKEN", "now it is")
    assert await provider.get("operator-token") == b"now it is"
    monkeypatch.setenv("SAGE_SECRET_OPERATOR_TOKEN", "")
    with pytest.raises(SecretNotFoundError, match="is empty"):
        await provider.get("operator-token")


async def test_nothing_is_written() -> None:
    environ: dict[str, str] = {}
    with pytest.raises(SecretRefusedError, match="Set environment variable SAGE_SECRET_KEK where"):
        await EnvProvider(environ=environ).set("kek", b"value")
    assert not environ


@pytest.mark.parametrize("prefix", ["", "1A", "A-B", "A B", "SÄGE_", "A=", "A_\n"])
def test_prefixes_that_no_variable_has(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"secrets\.prefix"):
        EnvProvider(prefix=prefix)


@pytest.mark.parametrize("name", ["kek", "k", "signing-key-2", "a1", "a" * 40])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "..", ".", "a/b", "../kek", "/etc/passwd", "a\\b", "a\0b", "kek\n", " kek", "%2e%2e"),
        *("Kek", "1kek", "-kek", "kek-", "a--b", "a_b", "a.b", "kék", "a" * 41, "..data"),
    ],
)
async def test_what_is_no_name(name: str) -> None:
    provider = EnvProvider(environ={})
    with pytest.raises(SecretRefusedError, match="lower-case letters, digits and single hyphens"):
        await provider.get(name)
    with pytest.raises(SecretRefusedError, match="secret name"):
        await provider.set(name, b"value")


async def test_a_secret_in_place_of_a_name_is_not_shown() -> None:
    secret = "c0ffee" * 10 + "beef"
    with Watch(secret.encode()) as watch, pytest.raises(SecretRefusedError) as refused:
        await EnvProvider(environ={}).get(secret)
    watch.error(refused.value)
    assert "of 64 signs" in str(refused.value)


async def test_lengths() -> None:
    environ = {"SAGE_SECRET_LONG": "x" * (MAX_SECRET_LEN + 1), "SAGE_SECRET_FULL": "x" * 65_536}
    provider = EnvProvider(environ=environ)
    assert len(await provider.get("full")) == MAX_SECRET_LEN
    with pytest.raises(SecretRefusedError, match="longer than 65536 bytes"):
        await provider.get("long")
    for value in (b"", b"x" * (MAX_SECRET_LEN + 1)):
        with pytest.raises(UsageError, match=f"'kek' would have {len(value)}"):
            await provider.set("kek", value)


async def test_a_provider_is_neither_pickled_nor_copied_nor_shown() -> None:
    async with EnvProvider(environ={"SAGE_SECRET_KEK": "hidden"}) as provider:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="EnvProvider is not pickled or copied"):
                attempt(provider)
        assert repr(provider) == "<EnvProvider>"
