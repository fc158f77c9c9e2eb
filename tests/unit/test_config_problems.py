"""No error and no print shows a secret, wherever somebody wrote it."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from sage_native import ConfigurationError
from sage_native.config import load, load_settings
from sage_native.config.problems import masked, shown
from sage_native.config.sources import from_overrides

if TYPE_CHECKING:
    from pathlib import Path

WORD = "geheim7XyZ"
KEY_BASE64 = "q7Rk2mZxV0bT9sLwYd4uq7Rk2mZxV0bT9sLwYd4uAbC"
KEY_HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storage.url", f"postgres:/user:{WORD}@host/name"),
        ("storage.url", f"mysql://user:{WORD}@host/name"),
        ("storage.url", [f"postgresql://user:{WORD}@host"]),
        ("behind.upstream", f"http://user:{WORD}@host"),
        ("behind.upstream", f"http://host/?token={WORD}"),
        ("behind.application", f"user:{WORD}@host"),
        ("server.public_url", f"https://{WORD}@host"),
        ("secrets.vault_url", f"https://user:{WORD}@vault"),
        ("secrets.vault_url", f"vault {WORD}"),
        ("secrets.aws_endpoint_url", f"https://{WORD}:x@aws"),
        ("tracing.endpoint", f"http://u:{WORD}@otlp"),
        ("tracing.jaeger_endpoint", f"http://u:{WORD}@otlp:14268"),
        ("cors.origins", [f"https://u:{WORD}@app.example"]),
        ("identity.signing_key_secret", f"-----BEGIN PRIVATE KEY-----{WORD}"),
        ("identity.signing_key_secret", KEY_BASE64),
        ("identity.signing_key_secret", KEY_HEX),
        ("identity.older_signing_key_secrets", [f"k1:{WORD}"]),
        ("encryption.kek_secret", f"k1:{WORD}"),
        ("encryption.older_kek_secrets", [KEY_BASE64]),
        ("admin.token_secret", f"{WORD}="),
        ("server.tls.key_password_secret", f"{WORD} {WORD}"),
        ("secrets.vault_token_file", [WORD]),
        ("secrets.vault_token", WORD),
        ("signing_key", WORD),
        ("server.password", WORD),
        ("server.port", f"https://u:{WORD}@host"),
        ("session.max_age", f"u:{WORD}@host"),
    ],
)
@pytest.mark.filterwarnings("ignore:tracing.jaeger_endpoint:FutureWarning")
def test_a_secret_in_a_wrong_place_is_not_shown(key: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"{key.replace('.', ': {')}: {value!r}{'}' * key.count('.')}\n")
    for layers in ({"file": file}, {"overrides": {key: value}}):
        with pytest.raises(ConfigurationError) as refused:
            load_settings("dev", environ={}, **layers)
        told = "".join(traceback.format_exception(refused.value))
        for secret in (WORD, KEY_BASE64, KEY_HEX):
            assert secret not in told
        assert key.rpartition(".")[2] in told or "endpoint" in told


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory:", "memory:"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        (f"redis://:{WORD}@host:6379", "redis://***@host:6379"),
        (f"postgresql://u:{WORD}@h/d", "postgresql://***@h/d"),
        (f"postgresql://u:{WORD}@h1,h2/d", "postgresql://***@h1,h2/d"),
        (f"postgresql://u:a/{WORD}@h/d", "postgresql://***"),
        (f"postgresql://u:a@{WORD}@h/d", "postgresql://***"),
        (f"postgresql://u:a?{WORD}@h/d", "postgresql://***"),
        (f"postgresql://u:a#{WORD}@h/d", "postgresql://***"),
        (f"postgresql://h/d?password={WORD}", "postgresql://h/d?***"),
        (f"postgresql://h/d?user=a@b&password={WORD}", "postgresql://***"),
        (f"postgresql://u:p@h/d?password={WORD}", "postgresql://***@h/d?***"),
    ],
)
def test_urls_are_masked(url: str, expected: str) -> None:
    assert masked(url) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("a", "port"), 5, "5"),
        (("a", "port"), True, "true"),
        (("a", "port"), None, "null"),
        (("a", "level"), "x", "'x'"),
        (("a", "level"), "x\x1b[2J", r"'x\x1b[2J'"),
        (("a", "level"), "x" * 100, "'" + "x" * 58 + "…"),
        (("secrets", "provider"), "x", "'x'"),
        (("a", "list", 0), "x", "'x'"),
        (("a", "kek_secret"), "x", None),
        (("a", "older_kek_secrets", 0), "x", None),
        (("a", "level"), "a@b", None),
        (("a", "level"), {"x": 1}, None),
    ],
)
def test_values_are_shown_where_they_cannot_be_secret(
    path: tuple[object, ...], value: object, expected: str | None
) -> None:
    assert shown(path, value) == expected


def test_keys_do_not_speak_to_terminals() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings("dev", environ={}, overrides={"x\x1b[2J\n": 1})
    assert str(refused.value).isprintable()


def test_no_repr_shows_the_password_of_the_store() -> None:
    url = f"postgresql://user:{WORD}@host/name"
    found = load("dev", environ={}, overrides={"storage.url": url})
    assert found.settings.storage.url == url
    for thing in (
        found,
        found.settings,
        found.settings.storage,
        from_overrides({"storage.url": url}, []),
    ):
        assert WORD not in repr(thing) + str(thing)
