"""Settings out of their layers: defaults < profile < file < environment < overrides.

What is wrong is collected, not reported one at a time, and every problem names its key, the place
where it stands and the way out. A gateway starts with all of its settings right or not at all.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pydantic import ValidationError

from sage_native.config.checks import inconsistencies, unsafe_in_production
from sage_native.config.environment import from_environment, from_text
from sage_native.config.layers import Entry, Layer, flatten, merged, nested, section_of
from sage_native.config.problems import SettingsError, violations
from sage_native.config.section import Section
from sage_native.config.settings import PROFILES, Settings
from sage_native.config.yaml_text import read_yaml
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Loaded", "load", "load_settings"]

PROFILE_VARIABLE: Final = "SAGE_ENV"
DEFAULT: Final = "default"
"""Where a value stands that no layer names."""
MAX_FILE_LEN: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each value comes from.

    Attributes:
        settings: What counts.
        origins: By the path of a key, where its value stands: ``default``, ``profile dev line 3``,
            a file with its line, an environment variable, or ``command line``.
    """

    settings: Settings
    origins: Mapping[tuple[str, ...], str]


def load_settings(
    profile: str | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read all layers and check what they make together.

    Args:
        profile: ``local``, ``dev``, ``staging`` or ``production``; SAGE_ENV if it is left out.
        file: A YAML file upon the profile.
        environ: The environment; that of the process if it is left out. Variables such as
            ``SAGE__SERVER__PORT`` lie upon the file.
        overrides: What lies upon all: values by dotted keys, such as ``{"server.port": 8443}``.
            Text is read as in an environment variable.

    Raises:
        SettingsError: A ConfigurationError with all that is wrong: unknown keys, values against
            their rule, settings that do not go together or are unsafe in production.
        ConfigurationError: No profile was chosen, or a file cannot be read.

    Cost: some 20 ms, most of it for reading YAML.
    """
    return load(profile, file=file, environ=environ, overrides=overrides).settings


def load(
    profile: str | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Loaded:
    """Do what `load_settings` does, and tell where each value comes from."""
    environ = os.environ if environ is None else environ
    chosen = chosen_profile(profile, environ)
    problems: list[str] = []
    layer = merged(
        (
            _defaults(Settings),
            _profile_layer(chosen, problems),
            {} if file is None else _file_layer(file, problems),
            from_environment(environ, Settings, problems),
            _override_layer(overrides or {}, problems),
        )
    )
    _complete(layer, chosen, environ)
    try:
        settings = Settings.model_validate(nested(layer))
    except ValidationError as error:
        raise SettingsError([*problems, *violations(error, layer)]) from None
    problems += inconsistencies(settings)
    if chosen == "production":
        if layer["state_dir",].origin == DEFAULT:
            problems.append(
                "state_dir: is not set: name a directory that outlives restarts; replay protection "
                "and sessions rest on it"
            )
        problems += unsafe_in_production(settings)
    if problems:
        raise SettingsError(problems)
    return Loaded(settings, {path: entry.origin for path, entry in layer.items()})


def chosen_profile(profile: str | None, environ: Mapping[str, str]) -> str:
    """Return the name of the profile.

    Raises:
        ConfigurationError: None was chosen, or it does not exist.
    """
    known = ", ".join(PROFILES)
    name = profile or environ.get(PROFILE_VARIABLE)
    if not name:
        raise ConfigurationError(
            f"no profile is chosen: give --profile, or set {PROFILE_VARIABLE}, to one of {known}"
        )
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"profile {name[:40]!r} is unknown; known are: {known}{hint}")
    return name


def _complete(layer: Layer, profile: str, environ: Mapping[str, str]) -> None:
    """Add what follows from other keys, where no layer says it."""
    layer["profile",] = Entry(profile, "command line or SAGE_ENV")
    if ("state_dir",) not in layer:
        home = environ.get("XDG_STATE_HOME") or "~/.local/state"
        layer["state_dir",] = Entry(str(Path(home).expanduser() / "sage-native" / profile), DEFAULT)
    written = layer.get(("state_dir",))
    if written is None or not isinstance(written.value, str | Path):
        return
    state_dir = Path(written.value).expanduser().absolute()
    layer["state_dir",] = Entry(state_dir, written.origin)
    layer.setdefault(
        ("storage", "url"), Entry(f"sqlite:///{quote(str(state_dir / 'sessions.db'))}", DEFAULT)
    )
    if layer["secrets", "directory"].value is None:
        layer["secrets", "directory"] = Entry(state_dir / "secrets", DEFAULT)


def _defaults(model: type[Section], prefix: tuple[str, ...] = ()) -> Layer:
    layer: Layer = {}
    for key, field in model.model_fields.items():
        value = field.get_default(call_default_factory=False)
        if isinstance(value, Section):
            for inner, entry in _of_instance(value).items():
                layer[(*prefix, key, *inner)] = entry
        elif (section := section_of(model, key)) is not None and field.is_required():
            layer |= _defaults(section, (*prefix, key))
        elif not field.is_required():
            layer[(*prefix, key)] = Entry(value, DEFAULT)
    return layer


def _of_instance(section: Section) -> Layer:
    layer: Layer = {}
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            layer |= {(key, *inner): entry for inner, entry in _of_instance(value).items()}
        else:
            layer[(key,)] = Entry(value, DEFAULT)
    return layer


def _profile_layer(name: str, problems: list[str]) -> Layer:
    text = resources.files("sage_native.config").joinpath("profiles", f"{name}.yaml").read_text()
    return _yaml_layer(text, f"profile {name}", problems)


def _file_layer(file: Path, problems: list[str]) -> Layer:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_LEN + 1)
        text = content.decode()
    except OSError as error:
        raise ConfigurationError(f"settings '{file}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"settings '{file}' are no text in UTF-8") from None
    if len(content) > MAX_FILE_LEN:
        raise ConfigurationError(f"settings '{file}' are longer than {MAX_FILE_LEN:,} bytes")
    return _yaml_layer(text, str(file), problems)


def _yaml_layer(text: str, name: str, problems: list[str]) -> Layer:
    document, lines = read_yaml(text, name)

    def origin(path: tuple[str, ...]) -> str:
        return f"{name} line {lines[path]}"

    return flatten(document, Settings, origin=origin, problems=problems)


def _override_layer(overrides: Mapping[str, object], problems: list[str]) -> Layer:
    layer: Layer = {}
    for name, value in overrides.items():
        path, origin = tuple(name.split(".")), "command line"
        if isinstance(value, str):
            part = from_text(path, value, Settings, origin=origin, problems=problems)
        else:
            document = value
            for key in reversed(path):
                document = {key: document}
            assert isinstance(document, dict)  # noqa: S101 - a name has one part at least
            part = flatten(document, Settings, origin=lambda _: "command line", problems=problems)
        layer = merged((layer, part), exclusive=())
    return layer
