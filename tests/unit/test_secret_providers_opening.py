"""From settings to a provider: only what is named is imported, and nothing falls back."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from sage_native.config import SecretsSettings
from sage_native.config.secrets import PROVIDERS, SecretsOptions, open_provider, opening
from sage_native.config.secrets.aws import AwsProvider
from sage_native.config.secrets.endpoints import checked_endpoint
from sage_native.config.secrets.env import EnvProvider
from sage_native.config.secrets.file import FileProvider
from sage_native.config.secrets.vault import VaultProvider
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def options(**changed: object) -> SecretsOptions:
    """What the models would refuse must be refused here too."""
    return cast("SecretsOptions", SimpleNamespace(**(dict(SecretsSettings()) | changed)))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"provider": "env"}, EnvProvider),
        ({"provider": "file", "directory": "/run/secrets"}, FileProvider),
        ({"provider": "vault", "vault_url": "https://vault.example:8200/"}, VaultProvider),
        ({"provider": "aws-secrets", "aws_region": "eu-central-1"}, AwsProvider),
    ],
)
async def test_each_provider(settings: dict[str, Any], kind: type) -> None:
    async with open_provider(SecretsSettings(**settings), environ={}) as provider:
        assert type(provider.inner) is kind
        assert provider.name == settings["provider"]


def test_the_providers_of_the_settings_are_those_that_are_known() -> None:
    said = SecretsSettings.model_json_schema()["properties"]["provider"]["enum"]
    assert tuple(said) == PROVIDERS


async def test_settings_reach_the_provider() -> None:
    settings = SecretsSettings(provider="env", prefix="MINE_", cache=0)
    environ = {"MINE_KEK": "1"}
    async with open_provider(settings, environ=environ) as provider:
        assert await provider.get("kek") == b"1"
        environ["MINE_KEK"] = "2"  # not remembered
        assert await provider.get("kek") == b"2"


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        (
            "vualt",
            "'vualt' is unknown; known are: env, file, vault, aws-secrets; did you mean 'vault'?",
        ),
        ("aws-secret", "did you mean 'aws-secrets'"),
        ("Env", "did you mean 'env'"),
        ("xyzzy", "secrets.provider 'xyzzy' is unknown; known are: env"),
        ("", "secrets.provider '' is unknown"),
    ],
)
def test_an_unknown_provider_names_the_nearest(provider: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_provider(options(provider=provider))
    assert text in str(refused.value)
    assert ("did you mean" in str(refused.value)) == (provider not in {"xyzzy", ""})


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"provider": "file"}, "secrets.directory is not set, and provider 'file' needs it"),
        ({"provider": "vault"}, "secrets.vault_url is not set"),
        ({"provider": "env", "prefix": "A B"}, "secrets.prefix 'A B'"),
        *(
            (
                {"provider": "vault", "vault_url": "https://v", key: value},
                f"secrets.{key} {value!a}",
            )
            for key in ("vault_mount", "vault_path", "vault_namespace")
            for value in (
                "",
                "../sys",
                "a//b",
                "/a",
                "a/..",
                "a?b",
                "a%2fb",
                "a\r\nX-Vault-Token: b",
                "ä",
            )
        ),
    ],
)
def test_settings_that_cannot_be_meant(changed: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_provider(options(**changed), environ={})
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://vault.example:8200", "would travel in clear. Use https"),
        ("http://10.0.0.1:8200", "would travel in clear"),
        ("http://localhost.example", "would travel in clear"),
        ("https://root:hunter2@vault.example", "take user, password"),
        ("https://vault.example/?token=hunter2", "take user, password"),
        ("https://vault.example/#hunter2", "take user, password"),
        ("vault.example:8200", "is not a URL such as"),
        ("unix:///run/hunter2", "is not a URL such as"),
        ("https://", "is not a URL such as"),
        ("https://[::1", "is not a URL such as"),
        ("https://vault:99999", "is not a URL such as"),
        ("https://vault:x", "is not a URL such as"),
    ],
)
def test_addresses_to_which_no_secret_goes(url: str, text: str) -> None:
    for provider in (
        {"provider": "vault", "vault_url": url},
        {"provider": "aws-secrets", "aws_endpoint_url": url},
    ):
        with pytest.raises(ConfigurationError) as refused:
            open_provider(options(**provider), environ={})
        assert text in str(refused.value)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        *("https://vault.example", "https://vault.example/base", "http://127.0.0.1:8200"),
        *("http://[::1]:8200", "http://localhost"),
    ],
)
def test_addresses(url: str) -> None:
    assert checked_endpoint(url, setting="secrets.vault_url") == url
    assert checked_endpoint(url + "/", setting="secrets.vault_url") == url


@pytest.mark.parametrize(
    ("provider", "missing", "text"),
    [
        ("vault", "httpx2", "httpx2 is not installed: install sage-native[gateway]"),
        ("vault", "msgspec", "msgspec is not installed: install sage-native[gateway]"),
        ("aws-secrets", "aiobotocore", "aiobotocore is not installed: install sage-native[aws]"),
    ],
)
def test_an_extra_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, provider: str, missing: str, text: str
) -> None:
    real = find_spec
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(ConfigurationError) as refused:
        open_provider(options(provider=provider, vault_url="https://v"))
    assert text in str(refused.value)


def test_nothing_is_imported_that_is_not_used(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
from sage_native.config.secrets import open_provider
for name in ("env", "file"):
    open_provider(SimpleNamespace(
        provider=name, prefix="A", directory=Path({str(tmp_path)!r}), cache=1
    ))
print([one for one in ("aiobotocore", "botocore", "httpx2", "msgspec") if one in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


async def test_a_file_of_authorities_that_holds_none(tmp_path: Path) -> None:
    settings = SecretsSettings(provider="vault", vault_url="https://vault.example")
    path = tmp_path / "ca.pem"
    for _ in ("missing", "no certificate"):
        with pytest.raises(ConfigurationError, match=r"VAULT_CACERT '.*ca.pem' holds no cert"):
            open_provider(settings, environ={"VAULT_CACERT": str(path)})
        path.write_text("no certificate")
