"""Where layers of settings come from, the environment apart: the models, YAML files, overrides."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from sage_native.config.environment import from_text
from sage_native.config.layers import Entry, KeyPath, Layer, flatten, merged, section_of
from sage_native.config.section import Section
from sage_native.config.settings import Settings
from sage_native.config.yaml_text import read_yaml
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["DEFAULT", "OVERRIDE", "from_file", "from_models", "from_overrides", "from_profile"]

DEFAULT: Final = "default"
"""Where a value stands that no other layer names."""
OVERRIDE: Final = "command line"
MAX_FILE_LEN: Final = 1 << 20


def from_models() -> Layer:
    """Return the defaults of all keys that have one."""
    return {path: Entry(value, DEFAULT) for path, value in _defaults(Settings, ())}


def _defaults(model: type[Section], prefix: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    for key, field in model.model_fields.items():
        path, inner = (*prefix, key), section_of(model, key)
        value = None if field.is_required() else field.get_default()
        if isinstance(value, Section):
            yield from _values(value, path)
        elif inner is not None and field.is_required():
            yield from _defaults(inner, path)
        elif not field.is_required():
            yield path, value


def _values(section: Section, prefix: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    for key in type(section).model_fields:
        value, path = getattr(section, key), (*prefix, key)
        if isinstance(value, Section):
            yield from _values(value, path)
        else:
            yield path, value


def from_profile(name: str, problems: list[str]) -> Layer:
    """Return the layer of a profile."""
    file = resources.files("sage_native.config").joinpath("profiles", f"{name}.yaml")
    return _from_yaml(file.read_text("utf-8"), f"profile {name}", problems)


def from_file(file: Path, problems: list[str]) -> Layer:
    """Return the layer of a settings file.

    Raises:
        ConfigurationError: It cannot be read, or is no YAML of ours.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_LEN + 1)
    except OSError as error:
        raise ConfigurationError(f"settings '{file}' cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_LEN:
        raise ConfigurationError(f"settings '{file}' are longer than {MAX_FILE_LEN:,} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"settings '{file}' are not text in UTF-8") from None
    return _from_yaml(text, str(file), problems)


def _from_yaml(text: str, name: str, problems: list[str]) -> Layer:
    document, lines = read_yaml(text, name)
    return flatten(
        document, Settings, origin=lambda path: f"{name} line {lines[path]}", problems=problems
    )


def from_overrides(overrides: Mapping[str, object], problems: list[str]) -> Layer:
    """Return the layer of values by dotted keys; text is read as in an environment variable."""
    layer: Layer = {}
    for name, value in overrides.items():
        path = tuple(name.split("."))
        if isinstance(value, str):
            part = from_text(path, value, Settings, origin=OVERRIDE, problems=problems)
        else:
            document: Any = value
            for key in reversed(path):
                document = {key: document}
            part = flatten(document, Settings, origin=lambda _: OVERRIDE, problems=problems)
        layer = merged((layer, part), exclusive=())
    return layer
