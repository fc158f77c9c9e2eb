"""What does not go together, what production refuses, and what no flag can do."""

from __future__ import annotations

import pytest

from sage_native import ConfigurationError, UsageError
from sage_native.config import (
    SettingsError,
    is_feature_enabled,
    is_placeholder,
    load_settings,
)
from sage_native.config.settings import FeatureSettings

SAFE = {
    "state_dir": "/var/lib/sage",
    "server.trusted_proxies": ["10.0.0.0/8"],
    "behind.upstream": "http://127.0.0.1:8000",
}
LISTED = {"admission.policy": "allow_list", "admission.allow_list": ["did:sage:alice"]}
TLS = {"server.tls": {"certificate": "/c.pem", "key": "/k.pem"}}


def problems(profile: str, overrides: dict[str, object]) -> list[str]:
    try:
        load_settings(profile, environ={}, overrides=overrides)
    except SettingsError as error:
        return list(error.problems)
    return []


def test_a_complete_production_starts() -> None:
    settings = load_settings("production", environ={}, overrides=SAFE)
    assert settings.handshake.challenges == "always"
    assert settings.admission.policy == "registered"
    assert settings.features.rate_limiting
    without_proxy = {key: value for key, value in SAFE.items() if "proxies" not in key}
    assert not problems("production", {**without_proxy, **TLS})


def test_production_alone_names_what_it_needs() -> None:
    told = problems("production", {})
    assert [problem.partition(":")[0] for problem in told] == ["behind", "state_dir", "server.tls"]


UNSAFE: list[tuple[dict[str, object], str]] = [
    ({"server.trusted_proxies": []}, "server.tls: is off"),
    ({"server.trusted_proxies": ["0.0.0.0/0"]}, "server.trusted_proxies: 0.0.0.0/0 believes"),
    ({"server.trusted_proxies": ["::1", "::/0"]}, "server.trusted_proxies: ::/0 believes"),
    ({"features.rate_limiting": False}, "features.rate_limiting: false lets one client take all"),
    ({"admission.policy": "any_did_key"}, "admission.policy: any_did_key admits everybody"),
    ({"handshake.challenges": "when_needed"}, "handshake.challenges: when_needed with"),
    ({"storage.url": "memory:", "server.workers": 1}, "storage.url: memory: forgets"),
    ({"storage.guarantee": "process"}, "storage.guarantee: process"),
    ({"storage.url": "postgresql://u:postgres@h/d"}, "storage.url: its password is one that"),
    ({"storage.url": "postgresql://u:Ch%61ngeme@h/d"}, "storage.url: its password is one that"),
    (
        {"storage.url": "redis://:xxxxxx@h", **LISTED},
        "storage.url: its password is one that everybody",
    ),
    ({"secrets.provider": "env"}, "secrets.provider: env shows secrets"),
    ({"admin.host": "0.0.0.0"}, "admin.host: 0.0.0.0 is not loopback"),  # noqa: S104 - refused
    ({"admin.host": "10.0.0.5"}, "admin.host: 10.0.0.5 is not loopback"),
    ({"admin.host": "operators.example"}, "admin.host: operators.example is not loopback"),
    ({"admin.ui": True}, "admin.ui: the Swagger page is not served in production"),
    ({"behind.application": "echo", "behind.upstream": None}, "behind.application: echo is for"),
]


@pytest.mark.parametrize(("change", "told"), UNSAFE)
def test_production_refuses_with_key_and_reason(change: dict[str, object], told: str) -> None:
    (problem,) = problems("production", {**SAFE, **change})
    assert problem.startswith(told)
    # It says what to do as well.
    assert len(problem) > len(told) + 10
    # What is only unsafe is no error elsewhere.
    assert not problems("staging", {**SAFE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"handshake.challenges": "when_needed", "handshake.confirmation": "signature"},
        {"admission.policy": "allow_list", "admission.allow_list": ["did:sage:alice"]},
        {"secrets.provider": "vault", "secrets.vault_url": "https://vault:8200"},
        {"secrets.provider": "vault", "secrets.vault_url": "http://127.0.0.1:8200"},
        {"secrets.provider": "vault", "secrets.vault_url": "http://[::1]:8200"},
        {"storage.url": "postgresql://u:Pq9-xv7w@h/d"},
        {"admin.host": "::1"},
        {"admin.host": "0.0.0.0", **TLS},  # noqa: S104 - with TLS
        {"admin.host": "0.0.0.0", "admin.enabled": False},  # noqa: S104 - off
        {"replay.guarantee": "durable"},
    ],
)
def test_production_accepts(change: dict[str, object]) -> None:
    assert not problems("production", {**SAFE, **change})


INCONSISTENT: list[tuple[dict[str, object], str]] = [
    ({"features.websockets": True}, "features.websockets: true is not built yet"),
    ({"behind.application": None}, "behind: none is named"),
    ({"behind.application": "echo", "behind.upstream": "http://a"}, "behind: both are named"),
    ({"features.cors": True}, "cors.origins: is empty"),
    ({"cors.origins": ["https://a.example"]}, "cors.origins: has no effect"),
    ({"admission.policy": "allow_list"}, "admission.allow_list: is empty"),
    ({"admission.allow_list": ["did:sage:a"]}, "admission.allow_list: has no effect"),
    ({"session.max_age": "1m"}, "session.idle_timeout: 600 s is longer than session.max_age, 60 s"),
    ({"storage.url": "memory:", "server.workers": 2}, "storage.url: memory: is not shared by 2"),
    ({"storage.url": "memory:", "replay.guarantee": "durable"}, "replay.guarantee: durable needs"),
    ({"storage.url": "redis://h"}, "admission.policy: registered needs a registry of DIDs, and re"),
    ({"admin.port": 8480}, "admin.port: 8480 is server.port too"),
    ({"metrics.port": 8481}, "metrics.port: 8481 is admin.port too"),
    (
        {"secrets.provider": "vault", "secrets.vault_url": "http://vault:8200"},
        "secrets.vault_url: secrets would travel in clear",
    ),
    (
        {"secrets.provider": "aws-secrets", "secrets.aws_endpoint_url": "http://aws"},
        "secrets.aws_endpoint_url: secrets would travel in clear",
    ),
    ({"secrets.provider": "vault"}, "secrets: provider vault needs vault_url"),
]


@pytest.mark.parametrize(("change", "told"), INCONSISTENT)
def test_what_does_not_go_together_is_refused(change: dict[str, object], told: str) -> None:
    (problem,) = problems("dev", change)
    assert problem.startswith(told)


def test_ports_that_do_not_clash() -> None:
    assert not problems("dev", {"server.port": 0, "admin.port": 0, "metrics.port": 0})
    assert not problems("dev", {"admin.port": 8480, "admin.enabled": False})


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (b"", True), (b"secret", True), (b"a" * 32, True), (b"abab" * 10, True),
        (b"changeme-changeme-1", True), (b"<your-token-goes-here>", True),
        (b"REPLACE_WITH_REAL_TOKEN", True), (b"placeholder-of-32-characters-xyz", True),
        (b"q7Rk2mZxV0bT9sLwYd4u", False), (bytes(range(32)), False),
    ],
)  # fmt: skip
def test_placeholders(secret: bytes, expected: object) -> None:
    assert is_placeholder(secret) is expected


@pytest.mark.parametrize("name", FeatureSettings.model_fields)
def test_a_feature_is_what_its_flag_says(name: str) -> None:
    base = {"tracing.enabled": True, "cors.origins": [], "features.cors": False}
    for value in (True, False):
        change: dict[str, object] = {**base, f"features.{name}": value}
        if name == "websockets" and value:
            assert problems("dev", change)
            continue
        if name == "cors" and value:
            change["cors.origins"] = ["https://a.example"]
        settings = load_settings("dev", environ={}, overrides=change)
        assert is_feature_enabled(settings, name) is value


@pytest.mark.parametrize("name", ["tracing", "metrics"])
def test_a_feature_needs_its_section_too(name: str) -> None:
    settings = load_settings("dev", environ={}, overrides={f"{name}.enabled": False})
    assert not is_feature_enabled(settings, name)


@pytest.mark.parametrize("name", ["websocket", "", "__class__", "authentication", "Tracing"])
def test_an_unknown_feature_is_an_error(name: str) -> None:
    settings = load_settings("dev", environ={})
    with pytest.raises(UsageError, match="is unknown; known are: tracing, metrics"):
        is_feature_enabled(settings, name)


def test_no_flag_is_about_authentication_or_replay() -> None:
    assert set(FeatureSettings.model_fields) == {
        "tracing", "metrics", "rate_limiting", "cors", "websockets",
    }  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        "limits.max_in_flight", "limits.max_connections", "limits.body_timeout",
        "limits.handshakes_per_address.rate", "limits.records_per_did.burst", "limits.buckets",
        "session.max_sessions", "session.max_sessions_per_client", "session.max_half_open",
        "session.max_age", "session.idle_timeout", "replay.capacity", "replay.windows",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [None, 0, -1, 10**12])
def test_limits_cannot_be_removed(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{key}"):
        load_settings("local", environ={}, overrides={key: value})
