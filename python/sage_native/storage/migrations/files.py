"""The SQL files of the migrations: ``000001_initial_schema.up.sql`` and its ``.down.sql``."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal, TypeAlias

from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Backend", "Migration", "load", "shipped"]

Backend: TypeAlias = Literal["postgres", "sqlite"]

_NAME = re.compile(r"(?P<version>[0-9]{6})_(?P<name>[a-z0-9_]+)\.(?P<direction>up|down)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        version: Its number, from 1.
        name: What it does, as in its file names.
        up: The SQL that leads to this version from the one before.
        down: The SQL that leads back.
    """

    version: int
    name: str
    up: str
    down: str

    def __str__(self) -> str:
        return f"{self.version:06}_{self.name}"


@functools.cache
def shipped(backend: Backend) -> tuple[Migration, ...]:
    """Return the migrations that this package carries for a backend, in order."""
    return load(resources.files(__package__) / backend)


def load(directory: Traversable) -> tuple[Migration, ...]:
    """Read the migrations of a directory.

    Returns:
        One for each version, in order, from 1 without a gap.

    Raises:
        ConfigurationError: A name is not of the form, a version is missing or there twice, or one
            of its two directions is missing.
    """
    texts: dict[tuple[int, str], tuple[str, str]] = {}
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(entry.name)
        if match is None:
            raise ConfigurationError(
                f"migration {entry.name} is not named like 000001_initial_schema.up.sql"
            )
        key = int(match["version"]), match["direction"]
        if key in texts:
            raise ConfigurationError(f"migration {key[0]:06} has two files for {key[1]}")
        texts[key] = match["name"], entry.read_text(encoding="utf-8")
    versions = sorted({version for version, _ in texts})
    if versions != list(range(1, len(versions) + 1)):
        raise ConfigurationError(
            f"migrations must be numbered from 1 without a gap, not {versions}"
        )
    return tuple(_joined(version, texts) for version in versions)


def _joined(version: int, texts: dict[tuple[int, str], tuple[str, str]]) -> Migration:
    for direction in ("up", "down"):
        if (version, direction) not in texts:
            raise ConfigurationError(f"migration {version:06} has no {direction}.sql")
    (name, up), (down_name, down) = texts[version, "up"], texts[version, "down"]
    if name != down_name:
        raise ConfigurationError(f"migration {version:06} has two names: {name} and {down_name}")
    return Migration(version, name, up, down)
