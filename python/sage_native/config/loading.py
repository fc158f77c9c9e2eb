"""Settings out of their layers: defaults < profile < file < environment < overrides.

What is wrong is collected, not reported one at a time, and every problem names its key, the place
where it stands and the way out. A gateway starts with all of its settings right or not at all.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pydantic import ValidationError

from sage_native.config.checks import inconsistencies, unsafe_in_production
from sage_native.config.environment import from_environment
from sage_native.config.layers import Entry, Layer, merged, nested
from sage_native.config.problems import SettingsError, violations
from sage_native.config.settings import PROFILES, Settings
from sage_native.config.sources import (
    DEFAULT,
    from_file,
    from_models,
    from_overrides,
    from_profile,
)
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Loaded", "load", "load_settings"]

PROFILE_VARIABLE: Final = "SAGE_ENV"
FILE_VARIABLE: Final = "SAGE_CONFIG"


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
        file: A YAML file upon the profile; that of SAGE_CONFIG if it is left out.
        environ: The environment; that of the process if it is left out. Variables such as
            ``SAGE__SERVER__PORT`` lie upon the file.
        overrides: What lies upon all: values by dotted keys, such as ``{"server.port": 8443}``.
            Text is read as in an environment variable.

    Raises:
        SettingsError: A ConfigurationError with all that is wrong: unknown keys, values against
            their rule, settings that do not go together or are unsafe in production.
        ConfigurationError: No profile was chosen, or a file cannot be read.

    Cost: some 5 ms, after 0.3 s once for importing what checks.
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
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    problems: list[str] = []
    layer = merged(
        (
            from_models(),
            from_profile(chosen, problems),
            {} if file is None else from_file(file, problems),
            from_environment(environ, Settings, problems),
            from_overrides(overrides or {}, problems),
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
