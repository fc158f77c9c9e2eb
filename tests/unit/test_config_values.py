"""How single settings are written, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_native import ConfigurationError
from sage_native.config import load_settings
from sage_native.config.durations import parse_duration, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), ("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("2d", 172_800), (" 5s ", 5)],
)
def test_durations(text: object, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "1.5h",
        "-1s",
        "1 h",
        "1H",
        "1hour",
        "1h30m",
        "1:30",
        "٣s",
        "1e3",
        1.5,
        True,
        None,
        [],
    ],
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be whole seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(0.9, 0.9), (2, 2.0), ("900ms", 0.9), ("1.5s", 1.5), ("0.25", 0.25), ("2m", 120.0)],
)
def test_seconds_with_a_fraction(text: object, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "1.s", ".5", "inf", "nan", "-1", True, None])
def test_what_is_no_number_of_seconds(text: object) -> None:
    with pytest.raises(ValueError, match="must be seconds"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [(17, 17), ("17", 17), ("17B", 17), ("64KiB", 65_536), ("64 KiB", 65_536), ("1MiB", 1 << 20)],
)
def test_sizes(text: object, length: int) -> None:
    assert parse_size(text) == length


@pytest.mark.parametrize("text", ["", "1KB", "1kib", "1M", "-1B", "1.5MiB", "0x10", 1.0, False])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="must be whole bytes"):
        parse_size(text)


@given(st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none())
def test_values_are_read_or_refused(value: object) -> None:
    for parse in (parse_duration, parse_seconds, parse_size):
        try:
            assert parse(value) is not None
        except ValueError as error:
            assert str(error).startswith("must be")  # noqa: PT017 - or it is read


REFUSED = [
    ("server.port", 65_536, "65536 must be less than or equal to 65535"),
    ("server.port", -1, "greater than or equal to 0"),
    ("server.port", True, "true must be a whole number"),
    ("server.port", 8480.0, "must be a whole number"),
    ("server.port", "http", "'http' must be a whole number"),
    ("server.workers", 0, "greater than or equal to 1"),
    ("server.host", "not a host", "must be an address or the name of a host"),
    ("server.trusted_proxies", ["10.0.0.0/33"], "must be an address or a network"),
    ("server.trusted_proxies", ["proxy.example"], "must be an address or a network"),
    ("server.trusted_proxies", [167_772_160], "must be an address or a network"),
    ("server.public_url", "ftp://host", "begins with http:// or https://"),
    ("admin.ui", "maybe", "'maybe' must be true or false"),
    ("behind.upstream", "http://", "names a host"),
    ("behind.upstream", "http://host:port", "must be a URL"),
    ("behind.upstream", "http://host/?a=b", "without ?"),
    ("behind.application", "os.system", "module:attribute"),
    ("behind.application", "a:b;c", "module:attribute"),
    ("behind.max_response", "2MiB", "less than or equal to 1048576"),
    ("identity.dids", ["did:SAGE:alice"], "did"),
    ("session.max_age", "59s", "59"),
    ("session.max_age", "2d", "less than or equal to 86400"),
    ("session.idle_timeout", 0, "greater than or equal to 60"),
    ("session.cleanup_interval", "30s", "greater than or equal to 60"),
    ("session.max_sessions", 0, "greater than or equal to 1"),
    ("storage.timeout", 0, "greater than 0"),
    ("storage.timeout", float("nan"), "greater than 0"),
    ("storage.url", "mysql://host/name", "must begin with one of memory:, sqlite:///"),
    ("replay.guarantee", "process", "must be 'node', 'durable' or 'failover'"),
    ("limits.requests_per_address.rate", 0, "greater than 0"),
    ("limits.requests_per_address.rate", float("inf"), "finite"),
    ("limits.max_in_flight", 0, "greater than or equal to 1"),
    ("limits.max_in_flight", None, "null must be a whole number"),
    ("logging.level", "warn", "did you mean warning?"),
    ("secrets.provider", "vualt", "'vualt' must be 'env', 'file', 'vault' or 'aws-secrets'; did"),
    ("secrets.prefix", "sage_", "upper-case letters"),
    ("tracing.sample_rate", 1.5, "less than or equal to 1"),
    ("cors.origins", ["*"], "begins with http:// or https://"),
    ("cors.origins", ["https://app.example/"], "without a path"),
    ("logging.output", "", "at least 1 character"),
]


@pytest.mark.parametrize(("key", "value", "rule"), REFUSED)
def test_a_refusal_names_key_place_and_rule(key: str, value: object, rule: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings("dev", environ={}, overrides={key: value})
    assert str(refused.value).startswith(key)
    assert "(command line): " in str(refused.value)
    assert rule in str(refused.value)


def test_text_of_numbers_and_words_is_read() -> None:
    texts = {"server.port": "9000", "admin.ui": "no", "tracing.enabled": "on"}
    settings = load_settings("dev", environ={}, overrides=texts)
    assert (settings.server.port, settings.admin.ui, settings.tracing.enabled) == (
        9000,
        False,
        True,
    )


def test_settings_are_frozen() -> None:
    settings = load_settings("dev", environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
