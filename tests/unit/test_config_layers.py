"""Layers: which one counts, that every key can be set in each, and what a slip is told."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sage_native import ConfigurationError
from sage_native.config import PROFILES, SettingsError, load, load_settings
from sage_native.config.layers import known_keys, section_of
from sage_native.config.settings import Settings

if TYPE_CHECKING:
    from sage_native.config.section import Section

DID = "did:sage:alice"
SAMPLES: dict[str, tuple[str, object]] = {
    "state_dir": ("/srv/sage", Path("/srv/sage")),
    "server.host": ("::1", "::1"),
    "server.port": ("1", 1),
    "server.workers": ("3", 3),
    "server.tls.certificate": ("/c.pem", Path("/c.pem")),
    "server.tls.key": ("/k.pem", Path("/k.pem")),
    "server.tls.key_password_secret": ("tls-password", "tls-password"),
    "server.trusted_proxies": ('["10.0.0.0/8"]', (ip_network("10.0.0.0/8"),)),
    "server.drain_timeout": ("1m", 60),
    "server.backlog": ("2", 2),
    "server.public_url": ("https://sage.example", "https://sage.example"),
    "admin.enabled": ("false", False),
    "admin.host": ("::1", "::1"),
    "admin.port": ("2", 2),
    "admin.token_secret": ("token-2", "token-2"),
    "admin.ui": ("false", False),
    "identity.signing_key_secret": ("key-2", "key-2"),
    "identity.older_signing_key_secrets": ('["key-1"]', ("key-1",)),
    "identity.dids": (json.dumps([DID]), (DID,)),
    "encryption.kek_secret": ("kek-2", "kek-2"),
    "encryption.older_kek_secrets": ('["kek-1"]', ("kek-1",)),
    "admission.policy": ("allow_list", "allow_list"),
    "admission.allow_list": (json.dumps([DID]), (DID,)),
    "handshake.challenges": ("always", "always"),
    "handshake.confirmation": ("signature", "signature"),
    "session.max_age": ("2h", 7200),
    "session.idle_timeout": ("5m", 300),
    "session.cleanup_interval": ("90", 90),
    "session.max_messages": ("7", 7),
    "session.max_sessions": ("8", 8),
    "session.max_sessions_per_client": ("9", 9),
    "session.max_half_open": ("10", 10),
    "session.max_half_open_per_client": ("11", 11),
    "storage.url": ("redis://host", "redis://host"),
    "storage.guarantee": ("node", "node"),
    "storage.timeout": ("500ms", 0.5),
    "replay.guarantee": ("durable", "durable"),
    "replay.capacity": ("2000", 2000),
    "replay.windows": ("3000", 3000),
    "behind.application": ("app:main", "app:main"),
    "behind.upstream": ("http://app", "http://app"),
    "behind.connect_timeout": ("3s", 3),
    "behind.timeout": ("1m", 60),
    "behind.max_response": ("64KiB", 65_536),
    "behind.max_connections": ("12", 12),
    "limits.body_timeout": ("6s", 6),
    "limits.max_in_flight": ("13", 13),
    "limits.max_connections": ("14", 14),
    "limits.handshakes_per_address.rate": ("1.5", 1.5),
    "limits.handshakes_per_address.burst": ("15", 15),
    "limits.requests_per_address.rate": ("2.5", 2.5),
    "limits.requests_per_address.burst": ("16", 16),
    "limits.handshakes_per_did.rate": ("3.5", 3.5),
    "limits.handshakes_per_did.burst": ("17", 17),
    "limits.records_per_did.rate": ("4.5", 4.5),
    "limits.records_per_did.burst": ("18", 18),
    "limits.challenge_above_in_flight": ("19", 19),
    "limits.buckets": ("128", 128),
    "logging.level": ("error", "error"),
    "logging.format": ("json", "json"),
    "logging.output": ("/var/log/sage", "/var/log/sage"),
    "logging.audit": ("/var/log/audit", Path("/var/log/audit")),
    "tracing.enabled": ("true", True),
    "tracing.endpoint": ("http://otlp:4318", "http://otlp:4318"),
    "tracing.sample_rate": ("0.5", 0.5),
    "tracing.from_proxies": ("false", False),
    "metrics.enabled": ("false", False),
    "metrics.host": ("10.0.0.7", "10.0.0.7"),
    "metrics.port": ("3", 3),
    "cors.origins": ('["https://app.example"]', ("https://app.example",)),
    "secrets.provider": ("vault", "vault"),
    "secrets.directory": ("/run/secrets", Path("/run/secrets")),
    "secrets.prefix": ("MY_", "MY_"),
    "secrets.vault_url": ("https://vault", "https://vault"),
    "secrets.vault_mount": ("kv", "kv"),
    "secrets.vault_path": ("gateway", "gateway"),
    "secrets.vault_token_file": ("/run/token", Path("/run/token")),
    "secrets.vault_namespace": ("team", "team"),
    "secrets.aws_region": ("no", "no"),
    "secrets.aws_prefix": ("s/", "s/"),
    "secrets.aws_endpoint_url": ("https://aws", "https://aws"),
    "secrets.cache": ("2m", 120),
    "secrets.timeout": ("6", 6),
    "features.tracing": ("false", False),
    "features.metrics": ("false", False),
    "features.rate_limiting": ("false", False),
    "features.cors": ("true", True),
    "features.websockets": ("false", False),
}
"""A value for every key: as text, and as it is once read."""


def leaves() -> set[str]:
    found = set()
    for path in known_keys(Settings):
        model: type[Section] | None = Settings
        for key in path:
            model = section_of(model, key) if model is not None else None
        if model is None:
            found.add(".".join(path))
    return found


def variable(key: str) -> str:
    return "SAGE__" + key.upper().replace(".", "__")


def value_at(settings: Settings, key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def fail(**layers: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_settings("dev", **{"environ": {}, **layers})  # type: ignore[arg-type]
    return str(refused.value)


def test_the_samples_are_all_keys() -> None:
    assert set(SAMPLES) == leaves()


@pytest.mark.parametrize("left_out", ["behind.application", "behind.upstream"])
def test_every_key_can_be_set_by_the_environment(left_out: str) -> None:
    samples = {key: sample for key, sample in SAMPLES.items() if key != left_out}
    environ = {variable(key): text for key, (text, _) in samples.items()}
    found = load("dev", environ=environ)
    for key, (_, value) in samples.items():
        assert value_at(found.settings, key) == value, key
        assert found.origins[tuple(key.split("."))] == variable(key)


@pytest.mark.parametrize("left_out", ["behind.application", "behind.upstream"])
def test_every_key_can_be_set_by_an_override_and_by_a_file(left_out: str, tmp_path: Path) -> None:
    samples = {key: sample for key, sample in SAMPLES.items() if key != left_out}
    overrides = {key: text for key, (text, _) in samples.items()}
    over = load_settings("dev", environ={}, overrides=overrides)
    document: dict[str, object] = {}
    for key, (text, _) in samples.items():
        *sections, last = key.split(".")
        part = document
        for section in sections:
            part = part.setdefault(section, {})  # type: ignore[assignment]
        part[last] = json.loads(text) if text.startswith("[") else text
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps(document))
    assert load_settings("dev", environ={}, file=file) == over


def test_an_upper_layer_counts_more(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("server:\n  port: 2\n  workers: 2\n  backlog: 2\nadmin:\n  ui: false\n")
    environ = {"SAGE__SERVER__WORKERS": "3", "SAGE__SERVER__BACKLOG": "3"}
    found = load("dev", file=file, environ=environ, overrides={"server.backlog": 4})
    server = found.settings.server
    assert (server.host, server.port, server.workers, server.backlog) == ("127.0.0.1", 2, 3, 4)
    assert not found.settings.admin.ui
    assert found.origins["server", "host"] == "default"
    assert found.origins["server", "port"] == f"{file} line 2"
    assert found.origins["server", "workers"] == "SAGE__SERVER__WORKERS"
    assert found.origins["server", "backlog"] == "command line"
    assert found.origins["logging", "format"].startswith("profile dev line ")
    assert {".".join(path) for path in found.origins} >= leaves() - {
        f"server.tls.{key}" for key in ("certificate", "key", "key_password_secret")
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_the_profile_is_argument_or_variable(profile: str) -> None:
    rest = {
        "state_dir": "/srv", "behind.upstream": "http://app", "server.trusted_proxies": ["::1"],
    }  # fmt: skip
    argued = load_settings(profile, environ={"SAGE_ENV": "nonsense"}, overrides=rest)
    named = load_settings(environ={"SAGE_ENV": profile}, overrides=rest)
    assert argued == named
    assert argued.profile == profile


@pytest.mark.parametrize("environ", [{}, {"SAGE_ENV": ""}])
def test_without_a_profile_nothing_starts(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"give --profile, or set SAGE_ENV, to one of loc"):
        load_settings(environ=environ)


@pytest.mark.parametrize("name", ["prod", "Production", "developement", "../dev"])
def test_an_unknown_profile_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match="is unknown; known are: local, dev, staging, prod"
    ):
        load_settings(name, environ={})


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_ENV", "dev")
    monkeypatch.setenv("SAGE__SERVER__PORT", "77")
    assert load_settings().server.port == 77


def test_the_file_is_argument_or_variable(tmp_path: Path) -> None:
    named, argued = tmp_path / "a.yaml", tmp_path / "b.yaml"
    named.write_text("server: {port: 1}")
    argued.write_text("server: {backlog: 2}")
    environ = {"SAGE_CONFIG": str(named)}
    assert load_settings("dev", environ=environ).server.port == 1
    server = load_settings("dev", environ=environ, file=argued).server
    assert (server.port, server.backlog) == (8480, 2)


def test_names_of_variables_are_read_in_any_case() -> None:
    assert load_settings("dev", environ={"sage__Server__port": "5"}).server.port == 5


def test_an_empty_variable_counts_as_none() -> None:
    assert load_settings("dev", environ={"SAGE__SERVER__PORT": ""}).server.port == 8480


def test_variables_that_are_not_settings_are_left_alone() -> None:
    others = {"SAGE_KEK": "x", "SAGE_SECRET_KEK": "x", "SAGE_DATABASE_URL": "x", "PORT": "1"}
    assert load_settings("dev", environ=others) == load_settings("dev", environ={})


def test_null_is_null_where_it_is_allowed() -> None:
    base = {"SAGE__SESSION__MAX_MESSAGES": "5"}
    unset = load_settings("dev", environ=base, overrides={"session.max_messages": "null"})
    assert unset.session.max_messages is None
    assert "must be a whole number" in fail(environ={"SAGE__SERVER__PORT": "null"})


def test_a_section_can_be_set_as_json() -> None:
    environ = {
        "SAGE__SERVER__TLS": '{"certificate": "/a", "key": "/b"}',
        "SAGE__SERVER": '{"port": 5, "backlog": 5}',
        "SAGE__SERVER__BACKLOG": "6",
    }
    server = load_settings("dev", environ=environ).server
    assert server.tls is not None
    assert (server.port, server.backlog, server.tls.key) == (5, 6, Path("/b"))


def test_null_removes_a_section_of_a_lower_layer(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("server:\n  tls:\n    certificate: /a\n    key: /b\n")
    assert load_settings("dev", file=file, environ={}).server.tls is not None
    assert load_settings("dev", file=file, environ={"SAGE__SERVER__TLS": "null"}).server.tls is None


def test_a_heading_without_keys_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("limits:\n  # max_in_flight: 1\nserver: null\n")
    assert load_settings("dev", file=file, environ={}) == load_settings("dev", environ={})


def test_one_of_two_keys_that_exclude_each_other_replaces_the_other() -> None:
    behind = load_settings("dev", environ={"SAGE__BEHIND__UPSTREAM": "http://app"}).behind
    assert (behind.application, behind.upstream) == (None, "http://app")
    both = {"SAGE__BEHIND__UPSTREAM": "http://app", "SAGE__BEHIND__APPLICATION": "a:b"}
    assert "both are named" in fail(environ=both)
    behind = load_settings("dev", environ=both, overrides={"behind.application": "c:d"}).behind
    assert (behind.application, behind.upstream) == ("c:d", None)


UNKNOWN = [
    ("server.prot", "did you mean server.port?"),
    ("port", "did you mean server.port?"),
    ("session.maxage", "did you mean session.max_age?"),
    ("limits.handshakes_per_address.rats", "did you mean limits.handshakes_per_address.rate?"),
    ("features.authentication", "it cannot be switched off"),
    ("features.replay_protection", "it cannot be switched off"),
    ("server.tls.enabled", "TLS is on once server.tls names certificate and key"),
    ("profile", "the profile is chosen by --profile or SAGE_ENV"),
    ("secrets.vault_token", "settings hold no secrets"),
    ("qqqq", "see docs/CONFIGURATION.md for all keys"),
]


@pytest.mark.parametrize(("key", "hint"), UNKNOWN)
def test_an_unknown_key_is_told_with_place_and_nearest(key: str, hint: str, tmp_path: Path) -> None:
    told = f"is not a known key; {hint}"
    assert told in fail(environ={variable(key): "geheim"})
    assert f"({variable(key)})" in fail(environ={variable(key): "geheim"})
    assert told in fail(overrides={key: "geheim"})
    assert told in fail(overrides={key: 17})
    file = tmp_path / "settings.yaml"
    *sections, last = key.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(sections)]
    file.write_text("\n".join([*lines, f"{'  ' * len(sections)}{last}: geheim", ""]))
    message = fail(file=file)
    assert told in message
    assert f"({file} line {len(sections) + 1})" in message
    assert "geheim" not in message


def test_an_unknown_section_is_told_with_the_nearest() -> None:
    assert (
        "servre.port (SAGE__SERVRE__PORT): is not a known key; did you mean server.port?"
        in fail(environ={"SAGE__SERVRE__PORT": "1"})
    )
    assert "did you mean server?" in fail(overrides={"servre": {"port": 1}})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("SAGE__IDENTITY__DIDS", "did:sage:alice", 'as JSON, such as ["one", "two"]'),
        ("SAGE__IDENTITY__DIDS", '{"a": 1}', 'as JSON, such as ["one", "two"]'),
        ("SAGE__IDENTITY__DIDS", "[" * 100_000, 'as JSON, such as ["one", "two"]'),
        ("SAGE__SERVER", "8480", 'as JSON, such as {"key": "value"}'),
        ("SAGE__SERVER", '{"port": 1, "port": 2}', 'as JSON, such as {"key": "value"}'),
        ("SAGE__SERVER", '{"prot": 1}', "server.prot (SAGE__SERVER): is not a known key; did you"),
        ("SAGE__SERVER__", "1", "is not a known key"),
        ("SAGE__", "1", "is not a known key"),
        ("SAGE__SERVER__PORT__X", "1", "is not a known key"),
    ],
)
def test_slips_in_variables_are_refused(name: str, text: str, told: str) -> None:
    assert told in fail(environ={name: text})


def test_a_value_in_place_of_a_section_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("server: geheim\n")
    assert fail(file=file) == f"server ({file} line 1): is a section: it holds keys"


def test_all_problems_are_told_at_once() -> None:
    environ = {"SAGE__SERVER__PORT": "x", "SAGE__SERVRE": "1", "SAGE__SESSION__MAX_AGE": "1s"}
    with pytest.raises(SettingsError) as refused:
        load_settings("dev", environ=environ)
    assert len(refused.value.problems) == 3
    assert str(refused.value).startswith("3 settings are wrong:\n  ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "are not text in UTF-8"),
        (b"#" * (1 << 20) + b"#", "are longer than 1,048,576"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    assert told in fail(file=file)
    assert "cannot be read: No such file" in fail(file=tmp_path / "missing.yaml")
    assert "cannot be read: Is a directory" in fail(file=tmp_path)


def test_what_follows_from_the_state_directory(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "a state")}
    settings = load_settings("dev", environ=environ)
    assert settings.state_dir == tmp_path / "a state/sage-native/dev"
    assert settings.storage.url == f"sqlite:///{tmp_path}/a%20state/sage-native/dev/sessions.db"
    assert settings.secrets.directory == settings.state_dir / "secrets"
    home = load_settings("local", environ={}).state_dir
    assert home == Path("~/.local/state/sage-native/local").expanduser()
    named = load_settings("dev", environ={}, overrides={"state_dir": "~/x"})
    assert named.state_dir == Path("~/x").expanduser()


def test_the_old_name_of_the_endpoint_is_taken_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("tracing:\n  jaeger_endpoint: http://jaeger:14268/api/traces\n")
    with pytest.warns(FutureWarning, match=r"line 2\) is called tracing.endpoint"):
        settings = load_settings("dev", file=file, environ={})
    assert settings.tracing.endpoint == "http://jaeger:4318/v1/traces"
    environ = {"SAGE__TRACING__JAEGER_ENDPOINT": "http://otlp:4318/v1/traces"}
    with pytest.warns(FutureWarning, match="is called tracing.endpoint"):
        settings = load_settings("dev", environ=environ)
    assert settings.tracing.endpoint == "http://otlp:4318/v1/traces"
