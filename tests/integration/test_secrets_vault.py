"""Secrets in Vault, over real HTTP: what is asked, what is answered, and what is never shown."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sage_native.config import SecretsSettings
from sage_native.config.secrets import (
    CachedProvider,
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
    open_provider,
)
from sage_native.exceptions import ConflictError
from tests.servers.processes import free_ports
from tests.servers.vault import DROP, HANG, VaultServer
from tests.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

CANARY = bytes(range(200, 232))
"""32 bytes that are no text."""
TEXT = base64.b64encode(CANARY).decode()


@pytest.fixture
def server() -> Iterator[VaultServer]:
    with VaultServer() as vault:
        yield vault


@asynccontextmanager
async def opened(
    server: VaultServer,
    changed: dict[str, object] | None = None,
    *,
    environ: dict[str, str] | None = None,
) -> AsyncIterator[CachedProvider]:
    """Open the provider; nothing is remembered, so that each get asks."""
    values: dict[str, Any] = {"provider": "vault", "vault_url": server.url, "cache": 0}
    environ = {"VAULT_TOKEN": server.token} if environ is None else environ
    async with open_provider(
        SecretsSettings(**(values | (changed or {}))), environ=environ
    ) as provider:
        # The test's, and not the settings', which count whole seconds.
        yield CachedProvider(provider.inner, cache_s=0, stale_s=0, retry_s=0)


async def test_set_and_get(server: VaultServer) -> None:
    async with opened(server) as provider:
        with pytest.raises(SecretNotFoundError, match="'sage/kek' of mount 'secret' does not ex"):
            await provider.get("kek")
        await provider.set("kek", CANARY)
        assert await provider.get("kek") == CANARY
        assert server.newest("sage/kek") == {"value": TEXT}
        await provider.set("kek", b"second")
        assert await provider.get("kek") == b"second"
        assert len(server.entries["sage/kek"].versions) == 2


async def test_mount_path_and_namespace(server: VaultServer) -> None:
    server.mount, server.namespace = "kv/team", "agents/eu"
    server.put("prod/sage.v1/kek", {"value": TEXT})
    where: dict[str, object] = {"vault_mount": "kv/team", "vault_path": "prod/sage.v1"}
    async with opened(server, where | {"vault_namespace": "agents/eu"}) as provider:
        assert await provider.get("kek") == CANARY
    assert server.requests[0].path == "/v1/kv/team/data/prod/sage.v1/kek"
    async with opened(server, where) as provider:
        with pytest.raises(SecretNotFoundError, match="vault_namespace"):
            await provider.get("kek")


@pytest.mark.parametrize(
    "value",
    [TEXT + "\n", TEXT[:20] + "\n" + TEXT[20:] + "\r\n", f" {TEXT} "],
)
async def test_base64_as_the_command_writes_it(server: VaultServer, value: str) -> None:
    server.put("sage/kek", {"value": value, "note": {"by": ["another", 1]}})
    async with opened(server) as provider:
        assert await provider.get("kek") == CANARY


@pytest.mark.parametrize(
    "data",
    [
        *({"value": value} for value in ("canary, no base64", 12, "Zm9v!", "Zg", None, "ä")),
        {},
        {"key": TEXT},
    ],
)
async def test_a_field_that_is_no_base64(server: VaultServer, data: dict[str, object]) -> None:
    server.put("sage/kek", data)
    async with opened(server) as provider:
        with (
            Watch(b"canary, no base64", CANARY) as watch,
            pytest.raises(SecretUnavailableError, match="vault kv put -mount=secret") as failed,
        ):
            await provider.get("kek")
        watch.error(failed.value)
        assert failed.value.reason == "malformed"


async def test_a_deleted_entry(server: VaultServer) -> None:
    server.put("sage/kek", {"value": TEXT})
    server.put("sage/kek", {"value": TEXT})
    server.delete("sage/kek")
    async with opened(server) as provider:
        with pytest.raises(SecretNotFoundError):
            await provider.get("kek")
        await provider.set("kek", b"again", only_new=True)
        assert await provider.get("kek") == b"again"
    assert len(server.entries["sage/kek"].versions) == 3


async def test_of_two_writers_one_is_told(server: VaultServer) -> None:
    server.put("sage/kek", {"value": TEXT})
    server.before_write = lambda: server.put("sage/kek", {"value": "b3RoZXI="})
    async with opened(server) as provider:
        with pytest.raises(ConflictError, match="somebody else wrote"):
            await provider.set("kek", b"mine")
        assert await provider.get("kek") == b"other"
        with pytest.raises(ConflictError, match="is there already"):
            await provider.set("kek", b"mine", only_new=True)
        assert await provider.get("kek") == b"other"


async def test_only_one_of_many_makes_a_secret(server: VaultServer) -> None:
    async with opened(server) as provider:
        values = [b"%d" % number for number in range(8)]
        outcomes = await asyncio.gather(
            *(provider.inner.set("kek", value, only_new=True) for value in values),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 7
        assert await provider.get("kek") == values[outcomes.index(None)]


# The token.


async def test_a_token_file_is_read_again_when_it_changes(
    server: VaultServer, tmp_path: Path
) -> None:
    server.put("sage/kek", {"value": TEXT})
    path = tmp_path / "token"
    path.write_text(server.token + "\n")
    path.chmod(0o640)
    async with opened(server, {"vault_token_file": path}, environ={"VAULT_TOKEN": "x"}) as provider:
        assert await provider.get("kek") == CANARY
        server.token = "hvs.renewed"  # noqa: S105 - of this test
        with pytest.raises(SecretRefusedError, match=r"refuses the token \(403\)"):
            await provider.get("kek")
        path.write_text(server.token)
        assert await provider.get("kek") == CANARY
        path.chmod(0o644)
        with pytest.raises(SecretRefusedError, match=f"chmod 640 {path}, and renew"):
            await provider.get("kek")
        path.unlink()
        with pytest.raises(SecretRefusedError, match="no token for Vault: token file"):
            await provider.get("kek")
        os.mkfifo(path, 0o600)
        with pytest.raises(SecretRefusedError, match="is not a regular file"):
            await provider.get("kek")


@pytest.mark.parametrize(
    "token", ["", " \n", "two words", "line\nbreak", "hvs.ü", "\x7f", "a" * 8193, "a\0b"]
)
async def test_what_is_no_token(server: VaultServer, token: str) -> None:
    async with opened(server, environ={"VAULT_TOKEN": token}) as provider:
        with pytest.raises(SecretRefusedError, match="VAULT_TOKEN") as refused:
            await provider.get("kek")
    if token.strip():
        assert token not in str(refused.value)
    assert server.requests == []


# What Vault may answer.


@pytest.mark.parametrize(
    ("status", "body", "reason", "text", "request_count"),
    [
        (503, b'{"errors":["Vault is sealed"]}', "sealed", "Vault is sealed", 1),
        (503, b"<html>no healthy upstream</html>", "failed", "Vault answers 503", 3),
        (500, b'{"errors":["internal error"]}', "failed", "Vault answers 500", 3),
        (502, b"", "failed", "Vault answers 502", 3),
        (429, b'{"errors":["request path: rate limit quota"]}', "throttled", "429", 3),
        (412, b'{"errors":["required index state not present"]}', "failed", "412", 3),
        (307, b"", "redirect", "goes nowhere else", 1),
        (301, b"", "redirect", "goes nowhere else", 1),
        (418, b"", "failed", "Vault answers 418", 1),
        (200, b"", "garbage", "does not speak", 1),
        (200, b"<html>welcome</html>", "garbage", "does not speak", 1),
        (200, b"[" * 100_000, "garbage", "does not speak", 1),
        (200, b'{"data":{"value":"dmVyc2lvbiBvbmU="}}', "garbage", "does not speak", 1),
        (200, b'{"data":{"data":null,"metadata":{"version":1}}}', "garbage", "does not speak", 1),
        (200, b'{"data":{"data":{"value":"YQ=="},"metadata":{}}}', "garbage", "does not", 1),
        (200, b"\xff\xfe{}", "garbage", "does not speak", 1),
        *((status, b"<html>", "garbage", "does not speak", 1) for status in (400, 403, 404, 405)),
        (404, b"{}", "garbage", "does not speak", 1),
        (200, b'{"data":"' + b"x" * (1 << 20) + b'"}', "garbage", "does not speak", 1),
        (DROP, b"", "unreachable", "connection lost: RemoteProtocolError", 3),
    ],
)
async def test_trouble(  # noqa: PLR0917 - one row of the table
    server: VaultServer, status: int, body: bytes, reason: str, text: str, request_count: int
) -> None:
    server.put("sage/kek", {"value": TEXT})
    async with opened(server) as provider:
        server.script.extend([(status, body)] * request_count)
        with pytest.raises(SecretUnavailableError, match=text) as failed:
            await provider.get("kek")
        assert failed.value.reason == reason
        assert len(server.requests) == request_count
        assert "/elsewhere" not in {request.path for request in server.requests}
        assert await provider.get("kek") == CANARY


@pytest.mark.parametrize(
    ("status", "text"), [(403, "refuses the token"), (400, "refuses the req"), (405, "KV v2")]
)
async def test_refusals(server: VaultServer, status: int, text: str) -> None:
    async with opened(server) as provider:
        server.script.append((status, b'{"errors":["permission denied"]}'))
        with pytest.raises(SecretRefusedError, match=text):
            await provider.get("kek")
        server.script.extend([(404, b'{"errors":[]}'), (status, b'{"errors":[]}')])
        with pytest.raises(SecretRefusedError, match=text):
            await provider.set("kek", b"value")
        assert not server.script


async def test_trouble_that_passes_is_not_seen(server: VaultServer) -> None:
    server.put("sage/kek", {"value": TEXT})
    async with opened(server) as provider:
        server.script.extend([(502, b""), (DROP, b"")])
        assert await provider.get("kek") == CANARY
    assert len(server.requests) == 3


async def test_a_write_is_repeated_only_if_it_was_certainly_not_done(server: VaultServer) -> None:
    async with opened(server) as provider:
        for status, tries in ((500, 1), (503, 1), (DROP, 1), (429, 3), (412, 3)):
            server.requests.clear()
            # The first question is for the version.
            server.script.extend([(404, b'{"errors":[]}'), *[(status, b"")] * tries])
            with pytest.raises(SecretUnavailableError):
                await provider.set("kek", b"value")
            assert [one.method for one in server.requests] == ["GET", *["POST"] * tries]
            assert not server.script
        server.script.extend([(404, b'{"errors":[]}'), (429, b"")])
        await provider.set("kek", CANARY)
        assert await provider.get("kek") == CANARY


async def test_a_mount_that_is_not_there(server: VaultServer) -> None:
    async with opened(server, {"vault_mount": "other"}) as provider:
        with pytest.raises(SecretNotFoundError, match="no KV v2 engine is mounted there"):
            await provider.get("kek")
        with pytest.raises(SecretNotFoundError, match="no KV v2 engine is mounted there"):
            await provider.set("kek", b"value")


async def test_a_token_that_is_renewed_meanwhile(server: VaultServer, tmp_path: Path) -> None:
    server.put("sage/kek", {"value": TEXT})
    path = tmp_path / "token"
    path.write_text("hvs.old")
    path.chmod(0o600)
    server.before_answer = lambda: path.write_text(server.token)
    async with opened(server, {"vault_token_file": path}) as provider:
        assert await provider.get("kek") == CANARY
    assert [one.headers["x-vault-token"] for one in server.requests] == ["hvs.old", server.token]


async def test_no_answer(server: VaultServer) -> None:
    server.put("sage/kek", {"value": TEXT})
    async with opened(server, {"timeout": 1}) as provider:
        server.script.append((HANG, b""))
        with pytest.raises(SecretUnavailableError, match="did not answer within 1 s") as failed:
            await provider.get("kek")
        assert failed.value.reason == "timeout"
        assert await provider.get("kek") == CANARY


async def test_nobody_there(server: VaultServer) -> None:
    url = f"http://127.0.0.1:{free_ports()[0]}"
    async with opened(server, {"vault_url": url}) as provider:
        with pytest.raises(SecretUnavailableError, match=r"cannot be reached.*not conn") as failed:
            await provider.get("kek")
        assert failed.value.reason == "unreachable"


async def test_a_sealed_vault_is_outlived(server: VaultServer) -> None:
    server.put("sage/kek", {"value": TEXT})
    settings = SecretsSettings(provider="vault", vault_url=server.url, cache=0)
    environ = {"VAULT_TOKEN": server.token}
    async with open_provider(settings, environ=environ) as provider:
        assert await provider.get("kek") == CANARY
        server.is_sealed = True
        assert await provider.get("kek") == CANARY
        assert (await provider.refresh()).stale == {"kek"}
        with pytest.raises(SecretUnavailableError, match="sealed"):
            await provider.get("signing-key")
        server.is_sealed = False
        server.put("sage/kek", {"value": "bmV3"})
        assert (await provider.refresh()).changed == {"kek"}
        server.token = "hvs.other"  # noqa: S105 - of this test
        assert isinstance((await provider.refresh()).lost["kek"], SecretRefusedError)
        with pytest.raises(SecretRefusedError):
            await provider.get("kek")


async def test_proxies_of_the_environment_get_nothing(
    server: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("sage/kek", {"value": TEXT})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports()[0]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
    async with opened(server) as provider:
        assert await provider.get("kek") == CANARY


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of a certificate that nobody trusts, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "vault.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_certificates_are_verified(certificate: Path) -> None:
    with VaultServer(certificate=str(certificate)) as server:
        server.put("sage/kek", {"value": TEXT})
        url = f"https://localhost:{server.port}"
        trusting = {"VAULT_TOKEN": server.token, "VAULT_CACERT": str(certificate)}
        async with opened(server, {"vault_url": url}, environ=trusting) as provider:
            assert await provider.get("kek") == CANARY
        server.requests.clear()
        # Trusted by nobody; and of another name.
        for environ, host in (({"VAULT_TOKEN": "t"}, "localhost"), (trusting, "127.0.0.1")):
            url = f"https://{host}:{server.port}"
            async with opened(server, {"vault_url": url}, environ=environ) as provider:
                with pytest.raises(SecretUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                    await provider.get("kek")
        assert server.requests == []


# Nothing is shown.


async def test_neither_secret_nor_token_is_shown(server: VaultServer) -> None:
    token = server.token.encode()
    quoting = json.dumps({"errors": [f"{server.token} {TEXT} sealed"]}).encode()
    with Watch(CANARY, token) as watch:
        async with opened(server) as provider:
            await provider.set("kek", CANARY)
            assert await provider.get("kek") == CANARY
            watch.text(repr(provider), repr(provider.inner), repr(vars(provider.inner)))
            for status in (200, 400, 403, 404, 500, 503, DROP):
                for script in (
                    [(status, quoting)] * 3,
                    [(404, b'{"errors":[]}'), *[(status, quoting)] * 3],
                ):
                    server.script.extend(script)
                    act = provider.get("kek") if len(script) == 3 else provider.set("kek", CANARY)
                    try:
                        await act
                    except (
                        SecretNotFoundError,
                        SecretRefusedError,
                        SecretUnavailableError,
                    ) as error:
                        watch.error(error)
                    else:
                        raise AssertionError(f"{status} is taken for an answer")
                    server.script.clear()
        assert watch.record_count > 50  # the HTTP client has written to its log
