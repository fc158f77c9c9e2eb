"""Environment variables as a layer of settings: ``SAGE__SECTION__KEY=value``.

Every key can be set so. Values are text, lists and whole sections are JSON, ``null`` is null where
null is allowed, and an empty variable counts as none, since files of variables are full of those. A
variable that begins with ``SAGE__`` and names no key is an error: a slip must not go unnoticed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from sage_native.config.hints import renewed
from sage_native.config.layers import (
    NOT_IN_LAYERS,
    Entry,
    Layer,
    dotted,
    flatten,
    merged,
    section_of,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_native.config.section import Section

__all__ = ["PREFIX", "from_environment", "from_text"]

PREFIX: Final = "SAGE__"


def from_environment(
    environ: Mapping[str, str], model: type[Section], problems: list[str]
) -> Layer:
    """Return the layer of all variables that begin with `PREFIX`.

    Args:
        environ: The environment.
        model: What may be set.
        problems: What is wrong is added here.
    """
    names = [name for name in environ if name.upper().startswith(PREFIX) and environ[name]]
    layers = []
    # Whole sections first, so that a variable for one of their keys counts more.
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        path = tuple(part.lower() for part in name[len(PREFIX) :].split("__"))
        layers.append(from_text(path, environ[name], model, origin=name, problems=problems))
    combined: Layer = {}
    for layer in layers:
        combined = merged((combined, layer), exclusive=())
    return combined


def from_text(
    path: tuple[str, ...], text: str, model: type[Section], *, origin: str, problems: list[str]
) -> Layer:
    """Return the layer of one key whose value is written as text.

    Args:
        path: The key.
        text: Its value; JSON for a list or a section.
        model: What may be set.
        origin: Where the text stands, in words.
        problems: What is wrong is added here.
    """
    path, value = renewed(path, text, origin)
    text = str(value)
    holder = _holder(path, model)
    if holder is None:
        problems.append(unknown(path, model, origin))
        return {}
    annotation = holder.model_fields[path[-1]].annotation
    is_section = section_of(holder, path[-1]) is not None
    if text == "null" and type(None) in get_args(annotation):
        return {path: Entry(None, origin)}
    if not is_section and get_origin(annotation) is not tuple:
        return {path: Entry(text, origin)}
    parsed = _json(text)
    if isinstance(parsed, dict if is_section else list):
        for key in reversed(path):
            parsed = {key: parsed}
        return flatten(parsed, model, origin=lambda _: origin, problems=problems)
    example = '{"key": "value"}' if is_section else '["one", "two"]'
    problems.append(f"{dotted(path)} ({origin}): must be written as JSON, such as {example}")
    return {}


def _holder(path: tuple[str, ...], model: type[Section]) -> type[Section] | None:
    """Return the section that holds a key; None if there is no such key."""
    section: type[Section] | None = model
    for key in path[:-1]:
        if section is None or key not in section.model_fields:
            return None
        section = section_of(section, key)
    if section is None or path[-1] not in section.model_fields or path in NOT_IN_LAYERS:
        return None
    return section


def _json(text: str) -> Any:  # noqa: ANN401 - whatever it says
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        return None


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document
