"""docs/CONFIGURATION.md says of every key what the models and profiles say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sage_native.config import PROFILES, SettingsError, load_settings
from sage_native.config.layers import known_keys, section_of
from sage_native.config.settings import RateSettings, Settings
from sage_native.config.sources import from_models, from_profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_native.config.section import Section

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/CONFIGURATION.md").read_text("utf-8")
DURATIONS = {86_400: "1d", 3600: "1h", 60: "1m"}
SECONDS = re.compile(r"timeout|interval|max_age|cache$")
LEFT_OUT = {
    "state_dir": "`~/.local/state/sage-native/<profile>`",
    "storage.url": "`sessions.db` in `state_dir`",
    "secrets.directory": "`secrets` in `state_dir`",
    "server.tls.certificate": "",
    "server.tls.key": "",
}
"""Keys whose default is not a value."""


def default_of(key: str) -> str:
    if key in LEFT_OUT:
        return LEFT_OUT[key]
    entry = from_models().get(tuple(key.split(".")))
    return f"`{written(key, None if entry is None else entry.value)}`"


def written(key: str, value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps([str(item) for item in value])
    if isinstance(value, str):
        return value
    if key == "behind.max_response":
        return "1MiB"
    if isinstance(value, int) and not isinstance(value, bool) and SECONDS.search(key):
        unit = next((unit for unit in DURATIONS if value >= unit and value % unit == 0), 1)
        return f"{value // unit}{DURATIONS.get(unit, 's')[-1]}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def rows(model: type[Section], prefix: str = "", about: str = "") -> Iterator[str]:
    """Yield a row of the table for each key."""
    for name, field in model.model_fields.items():
        key, section = f"{prefix}{name}", section_of(model, name)
        if section is not None:
            inner = f"{str(field.description)[:-1]}: " if section is RateSettings else ""
            yield from rows(section, f"{key}.", inner)
        elif key != "profile":
            assert field.description, key
            said = field.description
            told = f"{about}{said[0].lower()}{said[1:]}" if about else said
            yield f"| `{key}` | {told} | {default_of(key)} |"


def test_every_key_is_in_its_table_as_the_models_say() -> None:
    expected = list(rows(Settings))
    documented = [line for line in DOCUMENT.splitlines() if re.match(r"\| `[a-z_.]+` \| ", line)]
    keys = set(map(key_of, expected))
    found = [line for line in documented if key_of(line) in keys and line.count(" | ") == 2]
    assert found == expected, "\n".join(["the tables must say:", *expected])
    assert len(expected) > 80


def key_of(row: str) -> str:
    return row.split("`")[1]


def test_sections_begin_with_what_the_models_say() -> None:
    for name in Settings.model_fields:
        section = section_of(Settings, name)
        if section is not None:
            assert f"### {name}\n\n{section.__doc__}\n" in DOCUMENT, (name, section.__doc__)


def test_the_profiles_differ_as_the_table_says() -> None:
    lines = DOCUMENT.splitlines()
    start = lines.index("| key | default | local | dev | staging | production |")
    table = [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[start + 2 :]
    ]
    table = table[: next(i for i, cells in enumerate(table) if len(cells) != 6)]
    profiles = {name: from_profile(name, []) for name in PROFILES}
    changed = {".".join(path) for layer in profiles.values() for path in layer}
    assert {cells[0] for cells in table} == changed
    for key, default, *values in table:
        path = tuple(key.split("."))
        assert default == default_of(key).strip("`"), key
        for name, value in zip(PROFILES, values, strict=True):
            entry = profiles[name].get(path)
            assert value == ("" if entry is None else written(key, entry.value)), (key, name)


def test_the_examples_are_settings(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml (\w+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    for number, (profile, text) in enumerate(examples):
        if profile == "before":
            continue
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        assert load_settings(profile, environ={}, file=file).profile == profile


def test_variables_of_the_document_are_settings() -> None:
    keys = {"__".join(path).upper() for path in known_keys(Settings)} | {"SECTION__KEY"}
    named = re.findall(r"\bSAGE__([A-Z0-9_]+)", DOCUMENT)
    assert len(named) >= 5
    assert set(named) <= keys


def test_the_guide_changes_what_the_old_file_must_change(tmp_path: Path) -> None:
    found = re.search(
        r"^```yaml before\n(.*?)^```$.*?^```yaml dev\n(.*?)^```$",
        DOCUMENT,
        re.MULTILINE | re.DOTALL,
    )
    assert found is not None
    file = tmp_path / "settings.yaml"
    file.write_text(found[1])
    with pytest.warns(FutureWarning, match="jaeger_endpoint"), pytest.raises(SettingsError) as told:
        load_settings("dev", environ={}, file=file)
    (problem,) = told.value.problems
    assert problem.startswith(f"server.tls.enabled ({file} line 5): is not a known key; TLS is on")
    file.write_text(found[1].replace("  tls:\n    enabled: false\n", "").replace("9090", "9464"))
    with pytest.warns(FutureWarning, match="jaeger_endpoint"):
        old = load_settings("dev", environ={}, file=file)
    file.write_text(found[2])
    assert load_settings("dev", environ={}, file=file) == old
