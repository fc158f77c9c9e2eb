"""Secrets in AWS Secrets Manager, against moto's server over real HTTP."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sage_native.config import SecretsSettings
from sage_native.config.secrets import (
    CachedProvider,
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
    open_provider,
)
from sage_native.exceptions import ConfigurationError, ConflictError
from tests.servers.moto import MotoServer
from tests.servers.processes import free_ports
from tests.servers.vault import DROP, HANG, VaultServer
from tests.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

CANARY = bytes(range(200, 232))
"""32 bytes that are no text."""
ACCESS_SECRET = "canaryAccessSecretOfTheseTests0123456789"  # noqa: S105 - of these tests


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


@pytest.fixture
def server(moto: MotoServer) -> MotoServer:
    moto.forget()
    return moto


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give credentials, and nothing of whoever runs the tests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ACCESS_SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def opened(url: str, **changed: object) -> AsyncIterator[CachedProvider]:
    """Open the provider; nothing is remembered, so that each get asks."""
    values: dict[str, Any] = {
        "provider": "aws-secrets",
        "aws_endpoint_url": url,
        "aws_region": "eu-central-1",
    }
    async with open_provider(SecretsSettings(**(values | changed))) as provider:
        yield CachedProvider(provider.inner, cache_s=0, stale_s=0, retry_s=0)


async def ask(provider: CachedProvider, operation: str, **parameters: object) -> Any:  # noqa: ANN401
    """Act as another client, with the AWS library itself."""
    client = await provider.inner._opened()  # type: ignore[attr-defined]
    return await getattr(client, operation)(**parameters)


async def test_set_and_get(server: MotoServer) -> None:
    async with opened(server.url) as provider:
        with pytest.raises(SecretNotFoundError, match="AWS secret 'sage/kek' does not exist"):
            await provider.get("kek")
        await provider.set("kek", CANARY)
        assert await provider.get("kek") == CANARY
        await provider.set("kek", b"second")
        assert await provider.get("kek") == b"second"
        stored = await ask(provider, "get_secret_value", SecretId="sage/kek")
        assert stored["SecretBinary"] == b"second"
        versions = await ask(provider, "list_secret_version_ids", SecretId="sage/kek")
        assert len(versions["Versions"]) == 2


async def test_text_that_was_stored_otherwise(server: MotoServer) -> None:
    async with opened(server.url, aws_prefix="prod/") as provider:
        await ask(provider, "create_secret", Name="prod/kek", SecretString="k1:schlüssel\n")
        assert await provider.get("kek") == "k1:schlüssel\n".encode()


async def test_only_new(server: MotoServer) -> None:
    async with opened(server.url) as provider:
        values = [b"%d" % number for number in range(4)]
        outcomes = await asyncio.gather(
            *(provider.inner.set("kek", value, only_new=True) for value in values),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
        assert await provider.get("kek") == values[outcomes.index(None)]


async def test_a_secret_that_is_to_be_deleted(server: MotoServer) -> None:
    async with opened(server.url) as provider:
        await provider.set("kek", CANARY)
        await ask(provider, "delete_secret", SecretId="sage/kek", RecoveryWindowInDays=7)
        with pytest.raises(SecretNotFoundError, match="restore-secret --secret-id sage/kek"):
            await provider.get("kek")
        await ask(provider, "restore_secret", SecretId="sage/kek")
        assert await provider.get("kek") == CANARY


async def test_rotation(server: MotoServer) -> None:
    settings = SecretsSettings(
        provider="aws-secrets",
        aws_endpoint_url=server.url,
        aws_region="eu-central-1",
        timeout=1,
    )
    async with open_provider(settings) as provider, opened(server.url) as operator:
        await operator.set("kek", b"first")
        assert await provider.get("kek") == b"first"
        await operator.set("kek", b"second")
        assert await provider.get("kek") == b"first"
        assert (await provider.refresh()).changed == {"kek"}
        assert await provider.get("kek") == b"second"
        server.freeze()
        try:
            refreshed = await provider.refresh()
        finally:
            server.thaw()
        assert refreshed.stale == {"kek"}
        assert not refreshed.lost
        assert await provider.get("kek") == b"second"


async def test_no_answer(server: MotoServer) -> None:
    async with opened(server.url, timeout=1) as provider:
        server.freeze()
        try:
            with pytest.raises(SecretUnavailableError, match="within 1 s") as failed:
                await provider.get("kek")
        finally:
            server.thaw()
        assert failed.value.reason == "timeout"


async def test_nobody_there() -> None:
    async with opened(f"http://127.0.0.1:{free_ports()[0]}") as provider:
        with pytest.raises(SecretUnavailableError, match="EndpointConnectionError") as failed:
            await provider.get("kek")
        assert failed.value.reason == "unreachable"


async def test_no_region(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(server.url, aws_region=None) as provider:
        with pytest.raises(ConfigurationError, match=r"set secrets\.aws_region"):
            await provider.get("kek")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    async with opened(server.url, aws_region=None) as provider:
        await provider.set("kek", CANARY)


async def test_no_credentials(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with opened(server.url) as provider:
        with pytest.raises(SecretRefusedError, match="no AWS credentials were found"):
            await provider.get("kek")


# What AWS answers and moto never does; said by a server of a few lines.


@pytest.mark.parametrize(
    ("status", "code", "expected", "text"),
    [
        (400, "AccessDeniedException", SecretRefusedError, "check credentials and policy"),
        (400, "UnrecognizedClientException", SecretRefusedError, "UnrecognizedClientException"),
        (400, "ExpiredTokenException", SecretRefusedError, "ExpiredTokenException"),
        (400, "DecryptionFailure", SecretRefusedError, "KMS key"),
        (400, "ThrottlingException", SecretUnavailableError, "too many requests"),
        (500, "InternalServiceError", SecretUnavailableError, "answers InternalServiceError"),
        (400, "hidden in a code", SecretUnavailableError, "an error without a code"),
        (200, "", SecretUnavailableError, "does not speak Secrets Manager's protocol"),
        (DROP, "", SecretUnavailableError, "AWS answers"),
        (HANG, "", SecretUnavailableError, "within 1 s"),
    ],
)
async def test_trouble(status: int, code: str, expected: type[Exception], text: str) -> None:
    body = f'{{"__type": "{code}", "Message": "{ACCESS_SECRET}"}}'.encode() if code else b"<html>"
    with VaultServer() as scripted, Watch(ACCESS_SECRET.encode(), b"hidden in a code") as watch:
        scripted.script.extend([(status, body)] * 3)
        async with opened(scripted.url, timeout=1 if status == HANG else 5) as provider:
            with pytest.raises(expected, match=text) as failed:
                await provider.get("kek")
            watch.error(failed.value)
            assert 1 <= len(scripted.requests) <= 3
            scripted.script.clear()
            scripted.script.extend([(200, b"<html>")] * 2)
            with pytest.raises(SecretUnavailableError, match="does not speak"):
                await provider.set("kek", CANARY)


async def test_neither_secret_nor_credentials_are_shown(server: MotoServer) -> None:
    for name in ("botocore.parsers", "botocore.endpoint", "aiobotocore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with Watch(CANARY, ACCESS_SECRET.encode()) as watch:
        async with opened(server.url) as provider:
            await provider.set("kek", CANARY)
            await provider.set("kek", CANARY)
            assert await provider.get("kek") == CANARY
            watch.text(repr(provider), repr(provider.inner), repr(vars(provider.inner)))
            with pytest.raises(ConflictError) as refused:
                await provider.set("kek", CANARY, only_new=True)
            watch.error(refused.value)
            with pytest.raises(SecretNotFoundError) as missing:
                await provider.get("other")
            watch.error(missing.value)
        assert watch.record_count > 20


async def test_the_canary_would_be_heard(server: MotoServer) -> None:
    """The library does write secrets to its log if it is let."""
    with pytest.raises(AssertionError, match="a secret is shown"), Watch(b"schlecht") as watch:  # noqa: PT012
        async with opened(server.url) as provider:
            await ask(provider, "create_secret", Name="a", SecretString="schlecht")
            logging.getLogger("botocore.parsers").setLevel(logging.DEBUG)
            try:
                await ask(provider, "get_secret_value", SecretId="a")
            finally:
                logging.getLogger("botocore.parsers").setLevel(logging.INFO)
        assert watch.record_count
