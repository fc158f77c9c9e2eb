"""Layers of settings, and how one lies upon another.

A layer is a flat mapping from a key's path, such as ``("server", "port")``, to a value and where it
stands. So every value can say where it comes from, an unknown key is found at its place, and a
section is merged key by key, while a list is replaced as a whole.

Two rules beyond "the upper one counts": null for a section removes what lies below it, and of keys
that exclude each other (`EXCLUSIVE`) the one that an upper layer names removes the other one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from sage_native.config.hints import HINTS, renewed
from sage_native.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "NOT_IN_LAYERS",
    "Entry",
    "KeyPath",
    "Layer",
    "dotted",
    "flatten",
    "known_keys",
    "merged",
    "nested",
    "section_of",
    "unknown",
]

KeyPath: TypeAlias = tuple[str, ...]
NOT_IN_LAYERS: Final = frozenset({("profile",)})
"""Keys that no layer sets."""
EXCLUSIVE: Final = ((("behind", "application"), ("behind", "upstream")),)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and where it stands."""

    value: object = field(repr=False)  # it may hold a password
    origin: str


Layer: TypeAlias = "dict[KeyPath, Entry]"


def dotted(path: Iterable[object]) -> str:
    """Return the written form of a path, such as ``server.port``."""
    return ".".join(str(part) for part in path)


def section_of(model: type[Section], key: str) -> type[Section] | None:
    """Return the section that a key of a model holds, or None if it holds a value."""
    annotation = model.model_fields[key].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _is_nullable(model: type[Section], key: str) -> bool:
    return type(None) in get_args(model.model_fields[key].annotation)


def known_keys(model: type[Section], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key that a layer may set, sections included."""
    for key in model.model_fields:
        if (*prefix, key) not in NOT_IN_LAYERS:
            yield (*prefix, key)
        section = section_of(model, key)
        if section is not None:
            yield from known_keys(section, (*prefix, key))


def flatten(
    document: Mapping[object, object],
    model: type[Section],
    *,
    origin: Callable[[KeyPath], str],
    problems: list[str],
) -> Layer:
    """Return the layer that a nested document makes.

    Args:
        document: Sections and values.
        model: What may stand in it.
        origin: Where the key of a path stands, in words.
        problems: What is wrong is added here: unknown keys, and values in place of sections.
    """
    layer: Layer = {}

    def walk(part: Mapping[object, object], section: type[Section], prefix: KeyPath) -> None:
        for key, written in part.items():
            place = origin((*prefix, str(key)))
            path, value = renewed((*prefix, str(key)), written, place)
            if path[-1] not in section.model_fields or path in NOT_IN_LAYERS:
                problems.append(unknown(path, model, place))
                continue
            inner = section_of(section, path[-1])
            if inner is not None and isinstance(value, Mapping):
                walk(value, inner, path)
            elif inner is not None and value is None and not _is_nullable(section, path[-1]):
                continue  # a heading whose keys are all commented out
            elif inner is not None and value is not None:
                problems.append(f"{dotted(path)} ({place}): is a section: it holds keys")
            else:
                layer[path] = Entry(value, place)

    walk(document, model, ())
    return layer


def unknown(path: KeyPath, model: type[Section], origin: str) -> str:
    """Return what to say of a key that is not known: never its value, which may be a secret."""
    name = dotted(path)
    hint = HINTS.get(name)
    if hint is None:
        known = [dotted(known) for known in known_keys(model)]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        # A key without its section, or in a wrong one.
        near = near or [known for known in known if known.rpartition(".")[2] == path[-1]]
        hint = f"did you mean {near[0]}?" if near else "see docs/CONFIGURATION.md for all keys"
    return f"{name} ({origin}): is not a known key; {hint}"


def merged(layers: Iterable[Layer], *, exclusive: Iterable[Sequence[KeyPath]] = EXCLUSIVE) -> Layer:
    """Lay each layer upon those before it.

    Args:
        layers: The lowest first.
        exclusive: Groups of keys of which an upper layer that names one removes the others.
    """
    result: Layer = {}
    for layer in layers:
        for group in exclusive:
            named = next((layer[path] for path in group if _names(layer, path)), None)
            if named is not None:
                result |= {path: Entry(None, named.origin) for path in group}
        for path, entry in layer.items():
            for other in [other for other in result if _overrides(path, other)]:
                del result[other]
            result[path] = entry
    return result


def _names(layer: Layer, path: KeyPath) -> bool:
    return path in layer and layer[path].value is not None


def _overrides(path: KeyPath, other: KeyPath) -> bool:
    """Tell whether a key takes the place of what stands at, below or in place of its section."""
    shorter = min(len(path), len(other))
    return path[:shorter] == other[:shorter]


def nested(layer: Layer) -> dict[str, object]:
    """Return the document that a layer makes."""
    document: dict[str, object] = {}
    for path, entry in layer.items():
        part = document
        for key in path[:-1]:
            inner = part.setdefault(key, {})
            assert isinstance(inner, dict)  # noqa: S101 - `merged` keeps no value above a key
            part = inner
        part[path[-1]] = entry.value
    return document
