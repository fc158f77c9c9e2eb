"""``sage-native config``: what the settings of a gateway are, and whether they are right."""

from __future__ import annotations

import json
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from sage_native.cli import console
from sage_native.exceptions import ConfigurationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sage_native.config import Loaded

__all__ = ["Assignments", "ConfigFile", "Profile", "app", "loaded"]

app = App(
    name="config",
    help_epilogue="Later layers count more: the profile, the file, variables such as "
    "SAGE__SERVER__PORT, --set. docs/CONFIGURATION.md lists all keys."
    "\n\nExit status: 0 right, 1 wrong or unsafe, 2 wrong usage.",
)
Profile: TypeAlias = Annotated[str | None, Parameter(name="--profile", env_var="SAGE_ENV")]
ConfigFile: TypeAlias = Annotated[Path | None, Parameter(name="--config", env_var="SAGE_CONFIG")]
Assignments: TypeAlias = Annotated[list[str] | None, Parameter(name="--set", negative=())]
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_/.-]*(:[A-Za-z0-9_/.-]+)*")
"""Text that needs no quotes in YAML, if it is no word such as null."""
_QUOTED_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@app.command(sort_key=0)
def show(
    *,
    profile: Profile = None,
    config: ConfigFile = None,
    set_: Assignments = None,
    origin: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Print the settings that count, as YAML. Secrets never stand in them; passwords are masked.

    Args:
        profile: local, dev, staging or production.
        config: A YAML file upon the profile.
        set_: KEY=VALUE upon all, such as server.port=8443. Can be given more than once.
        origin: Print beside each value where it comes from.
    """
    found = loaded(profile, config, set_)
    document = found.settings.model_dump(mode="json")
    print(f"# profile {document.pop('profile')}")
    for line in _lines(document, (), found.origins if origin else None):
        print(line)


@app.command(sort_key=1)
def check(*, profile: Profile = None, config: ConfigFile = None, set_: Assignments = None) -> None:
    """Check the settings without starting anything: every problem in a line of its own.

    Nothing is opened and nobody is asked: files, stores and secrets are looked at by the start.

    Args:
        profile: local, dev, staging or production.
        config: A YAML file upon the profile.
        set_: KEY=VALUE upon all, such as server.port=8443. Can be given more than once.
    """
    _demand_extra()
    from sage_native.config import SettingsError  # noqa: PLC0415 - as needed

    try:
        found = loaded(profile, config, set_)
    except SettingsError as error:
        for problem in error.problems:
            print(problem)
        count = len(error.problems)
        told = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        raise ConfigurationError(f"{told}; docs/CONFIGURATION.md lists all keys") from None
    console.note(f"the settings are right for profile {found.settings.profile}")


@app.command(sort_key=2)
def schema() -> None:
    """Print the JSON Schema of a settings file, for editors and checks."""
    _demand_extra()
    from sage_native.config.schema import json_schema  # noqa: PLC0415 - as needed

    print(json.dumps(json_schema(), indent=2))


def loaded(profile: str | None, config: Path | None, assignments: Sequence[str] | None) -> Loaded:
    """Load settings as the options of a command name them.

    Args:
        profile: The name of a profile; SAGE_ENV if it is left out.
        config: A settings file.
        assignments: Texts such as ``server.port=8443``.

    Raises:
        UsageError: An assignment has no ``=``.
        ConfigurationError: The settings are wrong.
    """
    overrides = {}
    for assignment in assignments or ():
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            # Not shown: it may be a value without its key.
            raise UsageError("--set takes KEY=VALUE, such as --set server.port=8443")
        overrides[key] = value
    _demand_extra()
    from sage_native.config import load  # noqa: PLC0415 - as needed

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", FutureWarning)
        found = load(profile, file=config, overrides=overrides)
    for warning in told:
        console.note(f"warning: {warning.message}")
    return found


def _demand_extra() -> None:
    missing = [name for name in ("pydantic", "yaml") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"{missing[0]} is not installed: install sage-native with its extra 'gateway'"
        )


def _lines(
    document: Mapping[str, Any],
    prefix: tuple[str, ...],
    origins: Mapping[tuple[str, ...], str] | None,
) -> list[str]:
    """Return the lines of a section; with origins behind them, if there are any."""
    lines = []
    for key, value in document.items():
        path, indent = (*prefix, key), "  " * len(prefix)
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, path, origins)]
            continue
        note = "" if origins is None else f"  # {console.plain(origins.get(path, 'default'))}"
        lines.append(f"{indent}{key}: {_written(path, value)}{note}")
    return lines


def _written(path: tuple[str, ...], value: object) -> str:
    from sage_native.config.problems import masked  # noqa: PLC0415 - as needed

    if path == ("storage", "url") and isinstance(value, str):
        value = masked(value)
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    if is_plain and str(value).lower() not in _QUOTED_WORDS:
        return str(value)
    return json.dumps(value)
